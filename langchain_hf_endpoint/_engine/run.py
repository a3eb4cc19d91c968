"""Runs a call: the planner is filled, batches are sent, results entered, texts come out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_hf_endpoint._engine.chunk_cache import look_up, way_to_embed
from langchain_hf_endpoint._engine.drivers import (
    OwnLoop,
    TaskDriver,
    TaskWorkers,
    ThreadDriver,
    ThreadWorkers,
)
from langchain_hf_endpoint._engine.failures import of_the_machine, rejects_everything
from langchain_hf_endpoint._engine.isolation import Fault, Outcome
from langchain_hf_endpoint._engine.planner import LOOK_AHEAD, BatchBounds, Planner
from langchain_hf_endpoint._engine.preparation import bound_for, prepare
from langchain_hf_endpoint._engine.sources import AsyncSource, Source
from langchain_hf_endpoint._engine.vectors import Rows
from langchain_hf_endpoint._lifecycle import in_thread
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from langchain_hf_endpoint._engine.call import EmbeddingCall
    from langchain_hf_endpoint._engine.planner import Batch, PlannedText

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")

# Batches of which nothing was embedded, one after another, after which no more are sent. Where each
# text was rejected by itself, more than a look-ahead from a server that works: the longest inputs
# come first, and may all be too long.
_FAILED = 3
_REJECTED_BY_A_WORKING_SERVER = 20
_A_MOMENT = 0.05  # seconds: most servers have answered by then
_WORTH_A_THREAD = 50_000  # characters whose chunking would be felt on an event loop
_LIKELY_ONE_CHUNK = 2_000  # characters of a text that is hardly ever cut, which takes no time


@dataclass(slots=True)
class Run(Generic[RowT]):
    """How far a call is."""

    call: EmbeddingCall[RowT]  # what it is
    # Is given the numbers of the inputs of each good reply and their vectors as soon as they are
    # there, in the order of the replies: for those who keep them safe.
    received: Callable[[Sequence[int], Sequence[RowT]], None] | None = None
    rows: Rows[RowT] = field(default_factory=Rows, repr=False)  # takes the vectors of inputs
    # Whether they are kept to the end of the call (a list) or dropped when they are out (a
    # stream).
    keep: bool = True
    # Whether every text comes out, or those alone whose vectors are not in `rows`.
    all_come_out: bool = True
    # Whether all texts are cut before the first is sent, so that the number of chunks is known
    # from the start.
    plan_first: bool = False
    # Its texts and batches. The prompt may depend on what the server says of itself, so there is
    # none before that.
    planner: Planner[RowT] = field(init=False, repr=False)
    fatal: HFEndpointError | None = None  # what ends the call early
    batches_failed: int = 0  # batches in a row of which nothing was embedded

    def begin(self) -> None:
        """Open the planner, and see to it that all vectors are of the model that is there now."""
        call = self.call
        if call.cache is not None:
            self.call = call = call.of_this_model()
        self.planner = Planner(
            call.chunking,
            call.prompt,
            partial(_bounds, call),
            self.rows,
            keep=self.keep,
            all_come_out=self.all_come_out,
            longest=call.longest_input,
        )
        if call.server.info and call.task.truncate:  # else what is too long is refused, and named
            self.planner.reads = call.server.info.max_input_tokens
        if self.plan_first:
            self.planner.look_ahead = float("inf")

    def add(self, texts: list[str]) -> None:
        """Take texts into the planner."""
        planner = self.planner
        inputs, chunks = planner.inputs_planned, planner.chunks_planned
        planner.add(texts)
        inputs, chunks = planner.inputs_planned - inputs, planner.chunks_planned - chunks
        for one in self.call.followers:
            one.planned(inputs, len(texts), chunks)

    @property
    def capacity(self) -> int:
        """How many batches to have under way: all that may be sent, and a few to be at hand.

        Replies come in crowds. Those at hand take the places of a whole crowd at once, while the
        others must first be cut.

        Those that were refused and pause leave their places to others, as many at most as there
        are places: a server that refuses everything must not meet ever new ones.

        One alone while nothing is known of the server: its answer shows the others the way.
        """
        call = self.call
        if call.service.dialect == "auto" and call.server.route is None:
            return 1
        limit = call.window.limit
        return limit + 1 + limit // 4 + min(call.pausing.count, limit)

    def settle(self, batch: Batch, result: list[Outcome[RowT]] | BaseException) -> None:
        """Enter what a flow brought.

        Raises:
            BaseException: What no server did: a defect, a cancellation, an interrupt.
        """
        if isinstance(result, BaseException):
            result = of_the_machine(result) or result
        if isinstance(result, HFEndpointError):
            result = [Outcome(0, len(batch.inputs), result)]
        if isinstance(result, BaseException):
            raise result
        for outcome in result:
            numbers = batch.numbers[outcome.start : outcome.stop]
            self.planner.settle(numbers, outcome.result)
            if self.received and not isinstance(outcome.result, HFEndpointError):
                self.received(numbers, outcome.result)
        self.fatal = self.fatal or self._reason_to_stop(result, len(batch.inputs))
        if self.fatal:  # a flow that was stopped has no outcome for what it did not send
            self.planner.settle_rest(batch.numbers, self.fatal)
        for one in self.call.followers:
            one.done(len(batch.inputs))

    def settle_found(self, numbers: Sequence[int], rows: Sequence[RowT]) -> None:
        """Enter what the cache had of the inputs added last."""
        if numbers:
            self.planner.settle_found(numbers, rows)
            if self.received:
                self.received(numbers, rows)
            for one in self.call.followers:
                one.cached(len(numbers))

    def _reason_to_stop(
        self, outcomes: Sequence[Outcome[RowT]], inputs: int
    ) -> HFEndpointError | None:
        """The error that the batches not sent yet would meet too, if there is one."""
        failed = [
            (one.fault, one.result) for one in outcomes if isinstance(one.result, HFEndpointError)
        ]
        of_fault = dict(reversed(failed))  # the first error of each
        if Fault.SERVER in of_fault:
            return of_fault[Fault.SERVER]
        if len(failed) < len(outcomes) or not failed:
            self.batches_failed = 0
            return None
        worked, unclear = self.call.server.has_worked, of_fault.get(Fault.UNCLEAR)
        if unclear is None and inputs == 1:
            return None
        self.batches_failed += 1
        if unclear is not None:
            enough = _FAILED if worked or inputs == 1 else 1
            return unclear if self.batches_failed >= enough else None
        enough = _REJECTED_BY_A_WORKING_SERVER if worked else _FAILED
        return rejects_everything(failed[0][1]) if self.batches_failed >= enough else None

    def is_over(self, source: Source | AsyncSource) -> bool:
        """Whether nothing is left to be sent."""
        return self.fatal is not None or (source.is_exhausted and self.planner.is_all_cut)

    def next_batch(self, source: Source | AsyncSource, *, is_idle: bool) -> Batch | None:
        """The next batch, if there is one that is full or must go as it is.

        With nothing under way, what a slow source has given so far goes at once.
        """
        waits = source.is_slow and is_idle
        more = not (source.is_exhausted or waits or self.planner.is_far_behind)
        return self.planner.next_batch(more_to_come=more)

    def room(self, source: Source | AsyncSource) -> float:
        """How many more texts to take before the next batch is cut."""
        if source.is_exhausted or self.fatal or (not self.keep and self.planner.is_far_behind):
            return 0
        return self.planner.room

    def patience(self, source: Source | AsyncSource, running: int) -> float | None:
        """How long to wait for a result before a slow source is asked again; None: for any time."""
        asks_on = source.is_slow and running < self.capacity and self.room(source) > 0
        return _A_MOMENT if asks_on else None

    def give_up(self) -> None:
        """After an error that the other batches would meet too: nothing more is sent."""
        if self.fatal:
            self.planner.drop_unsent(self.fatal)

    def close(self, source: Source | AsyncSource) -> None:
        """Raise what ended the call early, when all that was under way is entered."""
        if self.planner.too_long:
            _logger.warning("%s %s", host_of(self.call.service.url), self.planner.said_of_length())
        if self.fatal:
            raise self.fatal
        if source.error:
            raise source.error


def _bounds(call: EmbeddingCall[RowT]) -> BatchBounds:
    size = call.server.batch_size(call.service.max_batch_size)
    size = size if call.expected_fingerprint is None else call.batch_size
    return BatchBounds(size, call.server.body_bytes)


def run(texts: Iterable[str], state: Run[RowT]) -> Iterator[PlannedText[RowT]]:
    """Embed texts with threads; they come out, in order, with their vectors or their error.

    Args:
        texts: Any iterable; it is taken a look-ahead at a time.
        state: Of a call that was not run yet.

    Yields:
        Every text that was taken, failed ones included; without `all_come_out` those alone that
        are not an input of their own.

    Raises:
        HFEndpointError: The server refuses the call as a whole; raised after all that was under
            way has come out.
        BaseException: What the iterable raised, at the same late moment.
    """
    call = state.call
    driver = ThreadDriver(call.sync_transport())
    if not call.is_prepared:
        driver.run(prepare(call))
    state.begin()
    source = Source(texts)
    if call.has_own_loop and _repays_a_loop(source, state, driver):
        with OwnLoop(partial(_on_own_loop, source, state, driver)) as loop:
            if loop.begin():
                yield from loop.results()
                return
    yield from _run(source, state, driver)


def _run(source: Source, state: Run[RowT], driver: ThreadDriver) -> Iterator[PlannedText[RowT]]:
    """`run` of a call that is prepared."""
    call = state.call
    embed = way_to_embed(call)
    workers: ThreadWorkers[Batch, list[Outcome[RowT]]] = ThreadWorkers(driver)
    with workers:
        while True:
            while not (over := state.is_over(source)) and workers.running < state.capacity:
                fill(source, state, driver)
                batch = state.next_batch(source, is_idle=not workers.running)
                if batch is None:
                    break
                alone = workers.running == 0 and source.is_exhausted and state.planner.is_all_cut
                workers.start(batch, embed(batch.inputs, call), here=alone)
            yield from state.planner.finished()
            if not workers.running:
                if over:
                    break
                continue  # a stream that had to wait for its oldest texts goes on
            ended = workers.next_result(state.patience(source, workers.running))
            if ended is None:
                continue
            state.settle(*ended)
            if state.fatal and not driver.stop.is_set():
                workers.stop()
                state.give_up()
    state.close(source)


async def arun(
    texts: Iterable[str] | AsyncIterable[str], state: Run[RowT]
) -> AsyncGenerator[PlannedText[RowT], None]:
    """Embed texts with tasks of the running loop; otherwise as `run`."""
    call = state.call
    driver = TaskDriver(await call.async_transport())
    if not call.is_prepared:
        await driver.run(prepare(call))
    state.begin()
    source = AsyncSource(texts) if isinstance(texts, AsyncIterable) else Source(texts)
    async with aclosing(_arun(source, state, driver)) as finished:
        async for text in finished:
            yield text


async def _on_own_loop(
    source: Source,
    state: Run[RowT],
    driver: ThreadDriver,
    loop: OwnLoop[PlannedText[RowT]],
) -> None:
    """`run` from where the caller's thread has come to; its texts and what it keeps stay there."""
    source.on_their_thread, received = loop.do, state.received
    if received is not None:
        state.received = lambda numbers, rows: loop.do(partial(received, numbers, rows))
    async with (
        state.call.own_loop_transport() as transport,
        aclosing(_arun(source, state, TaskDriver(transport, driver.caller_loop))) as finished,
    ):
        async for text in finished:
            loop.give(text)


async def _arun(
    source: Source | AsyncSource, state: Run[RowT], driver: TaskDriver
) -> AsyncGenerator[PlannedText[RowT], None]:
    """`arun` of a call that is prepared."""
    call = state.call
    embed = way_to_embed(call)
    workers: TaskWorkers[Batch, list[Outcome[RowT]]] = TaskWorkers(driver)
    async with workers, source if isinstance(source, AsyncSource) else nullcontext():
        while True:
            while not (over := state.is_over(source)) and workers.running < state.capacity:
                await _afill(source, state, driver)
                batch = state.next_batch(source, is_idle=not workers.running)
                if batch is None:
                    break
                workers.start(batch, embed(batch.inputs, call))
            for text in state.planner.finished():
                yield text
            if not workers.running:
                if over:
                    break
                continue  # a stream that had to wait for its oldest texts goes on
            ended = await workers.next_result(state.patience(source, workers.running))
            if ended is None:
                continue
            state.settle(*ended)
            if state.fatal and not driver.stop.is_set():
                driver.stop.set()
                state.give_up()
    state.close(source)


def _repays_a_loop(source: Source, state: Run[RowT], driver: ThreadDriver) -> bool:
    """Whether there is so much to send that it repays connections of the call's own."""
    fill(source, state, driver)
    few = LOOK_AHEAD * state.call.batch_size
    return not source.is_exhausted or state.planner.inputs_planned >= few


def fill(source: Source, state: Run[RowT], driver: ThreadDriver) -> None:
    """Take texts into the planner until its look-ahead is full, or the source is slow."""
    while (room := state.room(source)) > 0:
        texts = source.take(room)
        if state.call.bounds_tokens:
            state.planner.bound = driver.run(bound_for(texts, state.call))
        state.add(texts)
        if state.call.cache is not None:
            state.settle_found(*driver.run(look_up(state.planner.newest(), state.call)))
        if source.is_slow:
            break


async def _afill(source: Source | AsyncSource, state: Run[RowT], driver: TaskDriver) -> None:
    """The async twin of `fill`; chunking goes to a thread where a loop would feel it."""
    while (room := state.room(source)) > 0:
        texts = await source.atake(room)
        if state.call.bounds_tokens:
            state.planner.bound = await driver.run(bound_for(texts, state.call))
        settings = state.call.chunking
        is_long = source.characters > _WORTH_A_THREAD and any(map(_may_be_cut, texts))
        if is_long or (settings and settings.strategy == "recursive"):  # a separator may take long
            await in_thread(partial(state.add, texts))
        else:
            state.add(texts)
        if state.call.cache is not None:
            state.settle_found(*await driver.run(look_up(state.planner.newest(), state.call)))
        if source.is_slow:
            break


def _may_be_cut(text: object) -> bool:
    return isinstance(text, str) and len(text) > _LIKELY_ONE_CHUNK
