"""Serve the connections of an endpoint: log, script, plan, then the right answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_hf_endpoint._protocols import tei_server
from langchain_hf_endpoint._protocols.tei_server import RefusedError
from langchain_hf_endpoint.testing.answering import (
    answer_to_get,
    scores,
    texts_of,
    texts_to_embed,
    tokens_reply,
    vectors,
)
from langchain_hf_endpoint.testing.connections import HEAD_LIMIT, ClientGone, Connection, Ended
from langchain_hf_endpoint.testing.corruptions import answer_with, change
from langchain_hf_endpoint.testing.faults import Asked
from langchain_hf_endpoint.testing.messages import Arrival, Reply, refusal, unauthorized

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from langchain_hf_endpoint.testing.answering import Traits
    from langchain_hf_endpoint.testing.connections import Request
    from langchain_hf_endpoint.testing.faults import Fault
    from langchain_hf_endpoint.testing.plans import Plan


class Scripted(NamedTuple):
    """A fault, or a right answer, and which requests it is for."""

    fault: Fault | None
    path: str
    containing: str

    def is_for(self, asked: Asked) -> bool:
        """Whether this request meets it."""
        if self.path != asked.path and (self.path or asked.method != "POST"):
            return False
        return not self.containing or any(self.containing in text for text in asked.texts)


class Serving:
    """A server's state, and what it does with each request. It lives on the endpoint's loop."""

    def __init__(self, traits: Traits, plan: Plan | None) -> None:
        self.arrivals: list[Arrival] = []
        self.script: deque[Scripted] = deque()
        self.lasting: tuple[Fault, float] | None = None
        self.connections: dict[asyncio.Task[None], Connection] = {}
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._numbered = 0
        self._in_flight = 0
        self._being_answered: list[tuple[str, ...]] = []
        self._arrived = threading.Condition()
        self.configure(traits)

    def configure(self, traits: Traits) -> None:
        """Be another server from the next request on."""
        self.traits = traits
        self._permits = Permits(traits.max_concurrent_requests)

    async def listen(self, port: int, context: ssl.SSLContext | None) -> int:
        """Begin to serve, on this port or on any; return which it is."""
        loop = asyncio.get_running_loop()
        # What goes wrong on a connection is what this server is for.
        loop.set_exception_handler(lambda _loop, _context: None)
        self.configure(self.traits)
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
            # Not for long: the caller has looked without the lock, and may have missed an arrival.
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
        content: dict[str, Any] | RefusedError
        try:
            content = tei_server.json_object(request.body)
        except RefusedError as refused:
            content = refused
        texts = texts_of(content) if isinstance(content, dict) else ()
        self._in_flight += len(texts)
        arrival = Arrival(
            time=time.time(),
            monotonic=time.monotonic(),
            method=request.method,
            path=request.path,
            headers=request.headers,
            texts=texts,
            body_bytes=len(request.body),
            connection=number,
            texts_in_flight=self._in_flight,
        )
        others = tuple(self._being_answered)
        self._being_answered.append(texts)
        asked = Asked(request.method, request.route, texts, self.traits.release, others)
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
                reply = await self._right_answer(request, content, connection)
                # A refusal stays what it is, and the fault does not happen.
                if fault is not None and fault.change and not change(reply, fault.change):
                    fault, arrival.fault = None, ""
                if fault is not None and fault.vectors and texts:
                    answer_with(reply, partial(fault.vectors, asked))
            if fault is None or fault.cut not in ("before", "head"):
                arrival.status = reply.status
                arrival.tokens = int(reply.headers.get("x-compute-tokens", 0))
            await connection.send(reply, fault, arrival.finish)
        finally:
            self._in_flight -= len(texts)
            self._being_answered.remove(texts)

    def _fault(self, asked: Asked) -> Fault | None:
        """What a request meets: what lasts, the script's next, what the plan says."""
        now = time.monotonic()
        if self.lasting is not None and now < self.lasting[1]:
            return self.lasting[0]
        scripted = next((each for each in list(self.script) if each.is_for(asked)), None)
        if scripted is not None:
            self.script.remove(scripted)
            fault = scripted.fault
        else:
            fault = self._plan(asked) if self._plan is not None else None
        if fault is not None and fault.lasts:
            self.lasting = (fault, now + fault.lasts)
        return fault

    async def _right_answer(
        self, request: Request, content: dict[str, Any] | RefusedError, connection: Connection
    ) -> Reply:
        traits, path = self.traits, request.route
        if traits.api_key and request.headers.get("authorization") != f"Bearer {traits.api_key}":
            return unauthorized()
        if request.method != "POST":
            return answer_to_get(path, traits)
        tokenizes = path == "/tokenize" and traits.shape in ("tei", "reranker")
        reranks = path in traits.rerank_paths
        if path not in traits.embed_paths and not tokenizes and not reranks:
            return Reply(404)
        try:
            if len(request.body) > traits.payload_limit:
                raise tei_server.body_too_large()
            if isinstance(content, RefusedError):
                raise content
            if tokenizes:
                return tokens_reply(content, traits)
            if reranks:
                reply, count = scores(content, traits), len(texts_of(content))
                seconds = traits.service_seconds(count)
            else:
                wanted = tei_server.embed_request(content, path, traits)
                texts = texts_to_embed(wanted, traits)
                seconds = traits.service_seconds(count := len(texts))
                reply = vectors(wanted, texts, path, traits, seconds)
            async with self._permits.held(count, is_waited_for=traits.waits_for_permits):
                if seconds:
                    await connection.wait(seconds)
                return reply
        except RefusedError as refused:
            return refusal(refused, path)


class Permits:
    """TEI's permits: one for each input in flight, whatever ``max_concurrent_requests`` says."""

    def __init__(self, total: int) -> None:
        self._free = self._total = total
        self._first_in_line = asyncio.Lock()
        self._given_back = asyncio.Event()

    @contextlib.asynccontextmanager
    async def held(self, count: int, *, is_waited_for: bool) -> AsyncIterator[None]:
        """Hold so many permits, first come first served.

        Raises:
            RefusedError: There are not enough, and they are not waited for.
        """
        if is_waited_for:
            count = min(count, self._total)
            async with self._first_in_line:
                while count > self._free:
                    self._given_back.clear()
                    await self._given_back.wait()
                self._free -= count
        elif count > self._free:
            raise tei_server.overloaded()
        else:
            self._free -= count
        try:
            yield
        finally:
            self._free += count
            self._given_back.set()
