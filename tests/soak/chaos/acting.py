"""A scenario is run: a server, one embeddings object, threads and loops that use it at once."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing, closing
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scenario import PASSING, PATIENT

from langchain_hf_endpoint import (
    EmbeddingUsage,
    HFEndpointEmbeddings,
    RequestsPerMinuteLimiter,
    get_embedding_usage,
)
from langchain_hf_endpoint._session.session import close_sessions, session_for
from langchain_hf_endpoint.testing import FaultPlan, ScriptedEndpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from scenario import Actor, Call, Scenario

    from langchain_hf_endpoint.testing import Arrival, Asked, Fault

KEY = "hf_canary_of_the_chaos"
_SETTLING = 10.0  # seconds in which what was stopped must be gone


class SourceBrokeError(Exception):
    """What a broken source of texts raises."""


@dataclass
class Ended:
    """How one call ended."""

    call: Call
    result: object = None
    error: BaseException | None = None
    chunks: list[object] = field(default_factory=list)
    was_cancelled: bool = False
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)


@dataclass
class Ran:
    """What is left to be judged when a scenario is over."""

    scenario: Scenario
    begun: float
    limiter: RequestsPerMinuteLimiter
    ended: list[Ended] = field(default_factory=list)
    arrivals: Sequence[Arrival] = ()
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)
    left_behind: list[str] = field(default_factory=list)


class _Plan:
    """The scenario's faults, where they can be noticed, until they are switched off."""

    def __init__(self, scenario: Scenario) -> None:
        chances = {scenario.faults[name]: share for name, share in scenario.chances.items()}
        self._plan = FaultPlan(
            scenario.seed,
            chances,
            most_in_a_row=scenario.most_in_a_row,
            on_info=scenario.on_info and set(scenario.faults) <= set(PASSING),
        )
        self.is_over = False

    def __call__(self, asked: Asked) -> Fault | None:
        fault = None if self.is_over else self._plan(asked)
        needs_two = fault is not None and fault.kind in ("ragged", "repeated_index")
        return None if needs_two and len(asked.texts) == 1 else fault


def run(scenario: Scenario) -> Ran:
    """Run it to its end, then see whether the object still works, and what it left behind."""
    plan = _Plan(scenario)
    limiter = RequestsPerMinuteLimiter(scenario.rate, period=scenario.period)
    with ScriptedEndpoint(plan=plan, api_key=KEY, **scenario.server) as server:
        settings = dict(scenario.service)
        if scenario.dimensions is not None:
            settings["task_settings"] = {"dimensions": scenario.dimensions}
        embeddings = HFEndpointEmbeddings(
            url=server.url + scenario.path,
            api_key=KEY,
            chunking_settings=scenario.chunking,
            rate_limiter=limiter,
            **settings,
        )
        ran = Ran(scenario, time.monotonic(), limiter)
        with get_embedding_usage() as ran.usage:
            _act_all(scenario.actors, embeddings, ran)
        plan.is_over = True
        server.resume()
        _look_for_remains(embeddings, ran)
        ran.arrivals = server.arrivals
        _try_once_more(embeddings, ran)
        close_sessions()
        _wait(lambda: server.open_connections == 0)
        if server.open_connections:
            ran.left_behind.append(f"{server.open_connections} connections")
    return ran


def _act_all(actors: Sequence[Actor], embeddings: HFEndpointEmbeddings, ran: Ran) -> None:
    threads = [
        threading.Thread(target=copy_context().run, args=(_act, actor, embeddings, ran))
        for actor in actors
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _act(actor: Actor, embeddings: HFEndpointEmbeddings, ran: Ran) -> None:
    if actor.kind == "thread":
        ran.ended.extend(_sync(call, embeddings) for call in actor.calls)
    else:
        asyncio.run(_act_in_loop(actor, embeddings, ran))


async def _act_in_loop(actor: Actor, embeddings: HFEndpointEmbeddings, ran: Ran) -> None:
    problems: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: problems.append(str(context)))
    calls = list(actor.calls)
    blocking = calls.pop() if actor.kind == "inside" else None
    tasks = [asyncio.create_task(_async_or_cancelled(call, embeddings)) for call in calls]
    if blocking is not None:
        await asyncio.sleep(0.003 if tasks else 0)
        if blocking.source == "async":
            blocking = type(blocking)(blocking.method, blocking.texts)
        ran.ended.append(_sync(blocking, embeddings))
    ran.ended.extend(await asyncio.gather(*tasks))
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    ran.left_behind.extend(f"a task: {task!r}" for task in others)
    ran.left_behind.extend(problems)


def _sync(call: Call, embeddings: HFEndpointEmbeddings) -> Ended:
    ended = Ended(call)
    with get_embedding_usage() as ended.usage:
        _sync_within(call, embeddings, ended)
    return ended


def _sync_within(call: Call, embeddings: HFEndpointEmbeddings, ended: Ended) -> None:
    try:
        if call.method == "stream":
            with closing(embeddings.stream_chunks(_source(call))) as stream:
                if call.stop_after != 0:
                    for chunk in stream:
                        ended.chunks.append(chunk)
                        if len(ended.chunks) == call.stop_after:
                            break
        elif call.method == "query":
            ended.result = embeddings.embed_query(call.texts[0])
        else:
            ended.result = getattr(embeddings, f"embed_{call.method}")(list(call.texts))
    except Exception as error:  # noqa: BLE001 - to be judged
        ended.error = error


async def _async_or_cancelled(call: Call, embeddings: HFEndpointEmbeddings) -> Ended:
    ended = Ended(call)
    with get_embedding_usage() as ended.usage:
        task = asyncio.create_task(_async(call, embeddings, ended))
    if call.cancel_after is not None:
        await asyncio.wait({task}, timeout=call.cancel_after)
        ended.was_cancelled = task.cancel()
    await asyncio.wait({task})
    if task.cancelled():
        ended.error = asyncio.CancelledError()
    else:
        ended.error = task.exception()
    return ended


async def _async(call: Call, embeddings: HFEndpointEmbeddings, ended: Ended) -> None:
    if call.method == "stream":
        source = _async_source(call) if call.source == "async" else _source(call)
        async with aclosing(embeddings.astream_chunks(source)) as stream:
            if call.stop_after == 0:
                return
            async for chunk in stream:
                ended.chunks.append(chunk)
                if len(ended.chunks) == call.stop_after:
                    break
    elif call.method == "query":
        ended.result = await embeddings.aembed_query(call.texts[0])
    else:
        ended.result = await getattr(embeddings, f"aembed_{call.method}")(list(call.texts))


def _source(call: Call) -> Iterator[str] | list[str]:
    if call.source == "list" and call.breaks_at is None:
        return list(call.texts)
    return _generated(call)


def _generated(call: Call) -> Iterator[str]:
    for number, text in enumerate(call.texts):
        if number == call.breaks_at:
            raise SourceBrokeError
        yield text
    if call.breaks_at == len(call.texts):
        raise SourceBrokeError


async def _async_source(call: Call) -> AsyncIterator[str]:
    for text in _generated(call):
        await asyncio.sleep(0)
        yield text


def _look_for_remains(embeddings: HFEndpointEmbeddings, ran: Ran) -> None:
    """No thread, no place in the window, no turn at the limiter."""

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "hf-endpoint"]

    _wait(lambda: not threads())
    ran.left_behind.extend(f"a thread: {thread!r}" for thread in threads())
    window = repr(session_for(embeddings.endpoint.service_settings).window)
    if "0 in flight with 0 inputs, 0 waiting" not in window:
        ran.left_behind.append(window)
    if "waiting: query 0, document 0" not in repr(ran.limiter):
        ran.left_behind.append(repr(ran.limiter))


def _try_once_more(embeddings: HFEndpointEmbeddings, ran: Ran) -> None:
    from judging import are_right  # noqa: PLC0415 - judges what is done here

    texts = [f"afterwards {number}" for number in range(3)]
    # Without patience a kept-alive connection that the server has reset costs a try.
    for tries_left in reversed(range(1 if ran.scenario.service["max_wait"] == PATIENT else 20)):
        try:
            vectors = embeddings.embed_documents(texts)
        except Exception as error:  # noqa: BLE001 - to be judged
            if not tries_left:
                ran.left_behind.append(f"the object is of no use any more: {error!r}")
                return
        else:
            break
    if not are_right(texts, vectors, ran.scenario):
        ran.left_behind.append("wrong vectors afterwards")


def _wait(is_so: object) -> None:
    deadline = time.monotonic() + _SETTLING
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)
