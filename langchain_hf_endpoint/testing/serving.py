"""From a connection to an answer: the log, the script, the plan, then the right answer.

It lives on the endpoint's own event loop. It must not know who holds the endpoint.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from langchain_hf_endpoint.testing import tei
from langchain_hf_endpoint.testing.answering import answer_to_get, read_question, refusal, vectors
from langchain_hf_endpoint.testing.connections import HEAD_LIMIT, ClientGone, Connection, Ended
from langchain_hf_endpoint.testing.corruptions import change
from langchain_hf_endpoint.testing.fault import Asked
from langchain_hf_endpoint.testing.permits import Permits
from langchain_hf_endpoint.testing.request_log import Arrival

if TYPE_CHECKING:
    import ssl

    from langchain_hf_endpoint.testing.answering import Question, Traits
    from langchain_hf_endpoint.testing.connections import Request
    from langchain_hf_endpoint.testing.fault import Fault
    from langchain_hf_endpoint.testing.plans import Plan
    from langchain_hf_endpoint.testing.replies import Reply


class Serving:
    """A server's state, and what it does with each request."""

    def __init__(self, traits: Traits, plan: Plan | None) -> None:
        self.arrivals: list[Arrival] = []
        self.script: deque[tuple[str, Fault | None]] = deque()
        self.lasting: tuple[Fault, float] | None = None
        self.connections: dict[asyncio.Task[None], Connection] = {}
        self._traits = traits
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._numbered = 0
        self._in_flight = 0
        self._permits = Permits(traits.max_concurrent_requests)
        self._arrived = threading.Condition()

    async def listen(self, port: int, context: ssl.SSLContext | None) -> int:
        """Begin to serve, on this port or on any; return which it is."""
        loop = asyncio.get_running_loop()
        # What goes wrong on a connection is what this server is for.
        loop.set_exception_handler(lambda _loop, _context: None)
        self._permits = Permits(self._traits.max_concurrent_requests)
        self._in_flight = 0
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", port, ssl=context, limit=HEAD_LIMIT, backlog=1024
        )
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def shut(self) -> None:
        """End everything."""
        if self._server is not None:
            # asyncio loses the socket of one that was accepted and not yet served when the server
            # closes or its task is cancelled. So nobody more is accepted first, and whoever was
            # becomes a transport in the first turn, a connection in the second and third.
            with contextlib.suppress(NotImplementedError):  # Windows
                for listening in self._server.sockets:
                    asyncio.get_running_loop().remove_reader(listening)
            for _turn in range(3):
                await asyncio.sleep(0)
            self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in self.connections.values():
            connection.reset()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # for the transports to let go of their sockets

    def next_arrival(self, timeout: float) -> bool:
        """Wait, in another thread, until something happens; False where it does not in time."""
        if timeout <= 0:
            return False
        with self._arrived:
            self._arrived.wait(min(timeout, 0.05))
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        connection = self.connections[task] = Connection(reader, writer)
        self._numbered += 1
        number = self._numbered
        try:
            while (request := await connection.request()) is not None:
                await self._answer(request, connection, number)
                if request.headers.get("connection", "").lower() == "close":
                    break
        except (ClientGone, Ended):
            pass
        finally:
            connection.close()
            del self.connections[task]

    async def _answer(self, request: Request, connection: Connection, number: int) -> None:
        question = read_question(request.body)
        path = request.path.partition("?")[0]
        self._in_flight += len(question.texts)
        arrival = Arrival(
            time=time.time(),
            monotonic=time.monotonic(),
            method=request.method,
            path=request.path,
            headers=request.headers,
            texts=question.texts,
            body_bytes=len(request.body),
            connection=number,
            texts_in_flight=self._in_flight,
        )
        asked = Asked(request.method, path, question.texts, self._traits.release)
        fault = self._fault(asked)
        arrival.fault = fault.kind if fault else ""
        self.arrivals.append(arrival)
        with self._arrived:
            self._arrived.notify_all()
        try:
            if fault is not None and fault.delay:
                await connection.wait(fault.delay)
            reply = fault.answer_to(asked) if fault else None
            if reply is None:
                reply = await self._right_answer(request, path, question, connection)
                if fault is not None and fault.change:
                    fault = _spoil(reply, fault)
                    arrival.fault = fault.kind if fault else ""
            if fault is None or fault.cut not in ("before", "head"):
                arrival.status = reply.status
            await connection.send(reply, fault, arrival.finish)
        finally:
            self._in_flight -= len(question.texts)

    def _fault(self, asked: Asked) -> Fault | None:
        """What a request meets: what lasts, the script's next, what the plan says."""
        now = time.monotonic()
        if self.lasting is not None and now < self.lasting[1]:
            return self.lasting[0]
        fault = self._scripted_or_planned(asked)
        if fault is not None and fault.lasts:
            self.lasting = (fault, now + fault.lasts)
        return fault

    def _scripted_or_planned(self, asked: Asked) -> Fault | None:
        for place, (path, fault) in enumerate(self.script):
            if asked.path == path or (not path and asked.method == "POST"):
                del self.script[place]
                return fault
        return self._plan(asked) if self._plan is not None else None

    async def _right_answer(
        self, request: Request, path: str, question: Question, connection: Connection
    ) -> Reply:
        traits = self._traits
        if traits.api_key and request.headers.get("authorization") != f"Bearer {traits.api_key}":
            return tei.unauthorized()
        if request.method != "POST":
            return answer_to_get(path, traits)
        refused = refusal(path, request.body, question, traits)
        if refused is not None:
            return refused
        texts = len(question.texts)
        if traits.waits_for_permits:
            await self._permits.take(min(texts, self._permits.total))
        elif not self._permits.take_now(texts):
            return tei.overloaded(path)
        try:
            seconds = traits.service_seconds(texts)
            if seconds:
                await connection.wait(seconds)
            return vectors(path, question, traits)
        finally:
            self._permits.give(min(texts, self._permits.total))


def _spoil(reply: Reply, fault: Fault) -> Fault | None:
    """Change a right answer; a refusal stays what it is, and the fault does not happen."""
    if reply.status != 200:  # noqa: PLR2004 - a success
        return None
    change(reply, fault.change)
    return fault
