"""One call, from texts to finished texts: the plan is filled, batches are driven, results entered.

The loop stands here twice, once for threads and once for tasks, line for line alike. It must not
know what a result is made into, nor what a server says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_hf_endpoint._engine.discovery import fetch_server_info
from langchain_hf_endpoint._engine.drivers import (
    TaskDriver,
    TaskWorkers,
    ThreadDriver,
    ThreadWorkers,
)
from langchain_hf_endpoint._engine.failures import of_the_machine, rejects_everything
from langchain_hf_endpoint._engine.flow import embed_batch
from langchain_hf_endpoint._engine.isolation import Fault, Outcome
from langchain_hf_endpoint._engine.planner import BatchBounds, Planner
from langchain_hf_endpoint._engine.prompts import should_fetch_info
from langchain_hf_endpoint._engine.sources import AsyncSource, Source, total_length
from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._engine.planner import Batch, PlannedText
    from langchain_hf_endpoint._engine.vectors import VectorFormat
    from langchain_hf_endpoint._http.clients import Clients
    from langchain_hf_endpoint._http.httpx_transport import AnyAsyncTransport, SyncTransport
    from langchain_hf_endpoint._session.session import EndpointSession
    from langchain_hf_endpoint.settings import ChunkingSettings

RowT = TypeVar("RowT")

# Batches of which nothing was embedded, one after another, after which no more are sent. Where each
# text was rejected by itself, more than a look-ahead from a server that works: the longest inputs
# come first, and may all be too long.
_FAILED = 3
_REJECTED_BY_A_WORKING_SERVER = 20
_A_MOMENT = 0.05  # seconds: most servers have answered by then
_WORTH_A_THREAD = 50_000  # characters whose chunking would be felt on an event loop


@dataclass(slots=True)
class Job(Generic[RowT]):
    """One call: what is asked, of whom, and how the results are kept.

    Args:
        runtime: The endpoint's limiter, window and clients.
        call: What all flows of this call have in common.
        keeper: The form of the vectors.
        chunking: How texts are cut; None leaves them whole.
        keep: Whether results are kept to the end of the call (a list) or dropped when they are
            out (a stream).
        plan_first: Whether all texts are cut before the first is sent, so that the number of
            chunks is known from the start.
        insists_on_info: Whether the server is asked what it is even where it is unlikely to say.
        progress: Is told how far the call is.
        clients: The user's own HTTP clients.
        received: Is given the inputs of each good reply and their vectors as soon as they are
            there, in the order of the replies: for those who keep them safe.
    """

    runtime: EndpointSession
    call: Call
    keeper: VectorFormat[RowT]
    chunking: ChunkingSettings | None
    keep: bool = True
    plan_first: bool = False
    insists_on_info: bool = False
    progress: Progress | None = None
    clients: Clients = OURS
    received: Callable[[Sequence[str], Sequence[RowT]], None] | None = None
    fatal: HFEndpointError | None = None
    batches_failed: int = 0
    plan: Planner[RowT] = field(init=False, repr=False)  # not there yet where a traceback shows it

    def sync_transport(self) -> SyncTransport:
        """What sends from threads."""
        return self.runtime.sync_transport(self.call.service, self.clients)

    async def async_transport(self) -> AnyAsyncTransport:
        """What sends from tasks of the running loop."""
        return await self.runtime.async_transport(self.call.service, self.clients)

    @property
    def asks_for_info(self) -> bool:
        """Whether the server is one that may have an ``/info`` and was not asked yet.

        It is asked before the first input is sent, since the model's prompts may depend on it:
        the same text must not get one vector before the answer and another after.
        """
        if self.call.server.asked_for_info:
            return False
        return self.insists_on_info or should_fetch_info(self.call.service)

    def open_plan(self) -> None:
        """Begin the books. The prompt may depend on what the server said of itself."""
        self.plan = Planner(self.chunking, self.call.prompt, self._bounds, keep=self.keep)
        if self.plan_first:
            self.plan.look_ahead = float("inf")

    def _bounds(self) -> BatchBounds:
        return BatchBounds(self.call.batch_size, self.call.server.body_bytes)

    def add(self, texts: list[str]) -> None:
        """Take texts into the plan."""
        for text in texts:
            self.plan.add(text)
        if self.progress:
            self.progress.planned(self.plan.inputs_planned)

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

    def embed_batch(self, batch: Batch[RowT]) -> Flow[list[Outcome[RowT]]]:
        """The flow about one batch."""
        return embed_batch(batch.texts(), self.call, self.keeper)

    def settle(self, batch: Batch[RowT], result: list[Outcome[RowT]] | BaseException) -> None:
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
            inputs = batch.inputs[outcome.start : outcome.stop]
            self.plan.settle(inputs, outcome.result)
            if self.received and not isinstance(outcome.result, HFEndpointError):
                self.received([one.text for one in inputs], outcome.result)
        self.fatal = self.fatal or self._reason_to_stop(result, len(batch.inputs))
        if self.fatal:  # a flow that was stopped has no outcome for what it did not send
            self.plan.settle_rest(batch.inputs, self.fatal)
        if self.progress:
            self.progress.done(len(batch.inputs))

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
        """Whether nothing is left to be sent, when nothing is under way."""
        return self.fatal is not None or (source.is_exhausted and self.plan.is_all_cut)

    def next_batch(self, source: Source | AsyncSource, *, is_idle: bool) -> Batch[RowT] | None:
        """The next batch, if there is one that is full or must go as it is.

        With nothing under way, what a slow source has given so far goes at once.
        """
        if self.fatal:
            return None
        waits = source.is_slow and is_idle
        more = not (source.is_exhausted or self.plan.is_far_behind or waits)
        return self.plan.next_batch(more_to_come=more)

    def wants_text(self, source: Source | AsyncSource) -> bool:
        """Whether to take more texts before the next batch is cut."""
        wanted = self.plan.room > 0 and not self.plan.is_far_behind and not self.fatal
        return wanted and not source.is_exhausted

    def patience(self, source: Source | AsyncSource, running: int) -> float | None:
        """How long to wait for a result before a slow source is asked again; None: for any time."""
        asks_on = source.is_slow and running < self.capacity and self.wants_text(source)
        return _A_MOMENT if asks_on else None

    def give_up(self) -> None:
        """After an error that the other batches would meet too: nothing more is sent."""
        if self.fatal:
            self.plan.drop_unsent(self.fatal)

    def close(self, source: Source | AsyncSource) -> None:
        """Raise what ended the call early, when all that was under way is entered."""
        if self.fatal:
            raise self.fatal
        if source.error:
            raise source.error


def finished_texts(texts: Iterable[str], job: Job[RowT]) -> Iterator[PlannedText[RowT]]:
    """Embed texts with threads; each comes out, in order, when it has its vectors or its error.

    Args:
        texts: Any iterable; it is taken a look-ahead at a time.
        job: The call.

    Yields:
        Every text that was taken, failed ones included.

    Raises:
        HFEndpointError: The server refuses the call as a whole; raised after all that was under
            way has come out.
        BaseException: What the iterable raised, at the same late moment.
    """
    driver = ThreadDriver(job.sync_transport(), job.progress, caller_loop=_running_loop())
    if job.asks_for_info:
        driver.run(fetch_server_info(job.call))
    job.open_plan()
    source = Source(texts)
    workers: ThreadWorkers[Batch[RowT], list[Outcome[RowT]]] = ThreadWorkers(driver)
    with workers:
        while True:
            while workers.running < job.capacity:
                _fill(source, job)
                batch = job.next_batch(source, is_idle=not workers.running)
                if batch is None:
                    break
                alone = workers.running == 0 and job.plan.is_all_cut and source.is_exhausted
                workers.start(batch, job.embed_batch(batch), here=alone)
            yield from job.plan.finished()
            if not workers.running:
                if job.is_over(source):
                    break
                continue  # a stream that had to wait for its oldest texts goes on
            ended = workers.next_result(job.patience(source, workers.running))
            if ended is None:
                continue
            job.settle(*ended)
            if job.fatal and not driver.stop.is_set():
                driver.stop.set()
                job.give_up()
    job.close(source)


async def afinished_texts(
    texts: Iterable[str] | AsyncIterable[str], job: Job[RowT]
) -> AsyncGenerator[PlannedText[RowT], None]:
    """Embed texts with tasks of the running loop; otherwise as `finished_texts`."""
    driver = TaskDriver(await job.async_transport(), job.progress)
    if job.asks_for_info:
        await driver.run(fetch_server_info(job.call))
    job.open_plan()
    source = AsyncSource(texts) if isinstance(texts, AsyncIterable) else Source(texts)
    workers: TaskWorkers[Batch[RowT], list[Outcome[RowT]]] = TaskWorkers(driver)
    async with workers, source if isinstance(source, AsyncSource) else nullcontext():
        while True:
            while workers.running < job.capacity:
                await _afill(source, job)
                batch = job.next_batch(source, is_idle=not workers.running)
                if batch is None:
                    break
                workers.start(batch, job.embed_batch(batch))
            for text in job.plan.finished():
                yield text
            if not workers.running:
                if job.is_over(source):
                    break
                continue  # a stream that had to wait for its oldest texts goes on
            ended = await workers.next_result(job.patience(source, workers.running))
            if ended is None:
                continue
            job.settle(*ended)
            if job.fatal and not driver.stop.is_set():
                driver.stop.set()
                job.give_up()
    job.close(source)


def _fill(source: Source, job: Job[RowT]) -> None:
    """Take texts into the plan until its look-ahead is full, or the source is slow."""
    while job.wants_text(source):
        job.add(source.take(job.plan.room))
        if source.is_slow:
            break


async def _afill(source: Source | AsyncSource, job: Job[RowT]) -> None:
    """The async twin of `_fill`; chunking goes to a thread where a loop would feel it."""
    while job.wants_text(source):
        if isinstance(source, Source):
            texts = source.take(job.plan.room)
        else:
            texts = await source.take(job.plan.room)
        if total_length(texts) > _WORTH_A_THREAD:
            await asyncio.to_thread(job.add, texts)
        else:
            job.add(texts)
        if source.is_slow:
            break


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
