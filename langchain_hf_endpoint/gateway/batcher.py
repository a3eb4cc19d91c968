"""Merge small requests of many callers into full batches for one endpoint, on one event loop.

A batch is cut as late as may be: the next one only when the last one of its lane has left for the
server, and while the window has room. Until then inputs gather, so that a slow server or a low
limit makes batches full, and an idle endpoint makes nobody wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from langchain_hf_endpoint._engine.actions import SendRequest
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.chunk_cache import way_to_embed
from langchain_hf_endpoint._engine.drivers import TaskDriver
from langchain_hf_endpoint._engine.isolation import Fault
from langchain_hf_endpoint._engine.planner import check_text
from langchain_hf_endpoint._engine.preparation import bound_for, prepare
from langchain_hf_endpoint._engine.vectors import AS_RECEIVED
from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint._messages import Response
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import EndpointNotReadyError, HFEndpointError, TransportError
from langchain_hf_endpoint.gateway.pending import MergedBatch, PendingRequest, QueueFullError
from langchain_hf_endpoint.limiter.schedule import LANES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from langchain_core.rate_limiters import BaseRateLimiter

    from langchain_hf_endpoint._engine.actions import ActionResult, Progress
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Endpoint
    from langchain_hf_endpoint._engine.isolation import Outcome
    from langchain_hf_endpoint._engine.vectors import Vector
    from langchain_hf_endpoint._http.clients import Clients
    from langchain_hf_endpoint._session.session import EndpointSession
    from langchain_hf_endpoint.chunking.tokens import TokenBound
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import TaskSettings

T = TypeVar("T")

_TRUSTED_SECONDS = 60.0  # after which a model that is expected is asked for anew
_LONGEST_ADVICE = 60.0
_LOOK_AGAIN = 1.0


class Embedded(NamedTuple):
    """What a caller gets."""

    vectors: list[Vector]  # one per text, in order; not to be changed: equal texts share one
    tokens: int | None  # of all its texts, where the server counts them: a share by characters


class DynamicBatcher:
    """Embeds texts of any number of callers through one endpoint. Belongs to one event loop.

    Args:
        settings: The endpoint.
        max_queue: Requests that may wait with inputs that were not sent. Default 2000.
        followers: Are told of requests and waits.
        limiter: Instead of the session's.
        session: With whom limits, connections and what is learned are shared. Default: with all
            users of this URL and key in the process.
        clients: Of the session's connections.
        clock: In seconds.
    """

    def __init__(  # noqa: PLR0913 - the parts that it is put together from
        self,
        settings: Endpoint,
        *,
        max_queue: int = 2000,
        followers: tuple[Progress, ...] = (),
        limiter: BaseRateLimiter | None = None,
        session: EndpointSession | None = None,
        clients: Clients = OURS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._max_queue = max_queue
        self._followers = followers
        self._limiter = limiter
        self._session = session
        self._clients = clients
        self._queues: dict[Lane, OrderedDict[PendingRequest, None]] = {
            lane: OrderedDict() for lane in LANES
        }
        self._clock = clock
        self._verified_at = clock()
        self._arrivals = 0
        self._answers = 0
        self._running: dict[Lane, set[MergedBatch]] = {lane: set() for lane in LANES}
        self._unsent: dict[Lane, MergedBatch | None] = dict.fromkeys(LANES)
        self._tasks: dict[MergedBatch, asyncio.Task[None]] = {}
        self._pump_is_due = False

    @property
    def waiting(self) -> int:
        """Requests with inputs that were not sent yet."""
        return sum(map(len, self._queues.values()))

    @property
    def in_flight(self) -> int:
        """Batches that are under way."""
        return len(self._tasks)

    async def embed(
        self, texts: Sequence[str], lane: Lane = "document", *, task: TaskSettings | None = None
    ) -> list[Vector]:
        """Embed each text whole: the vectors of `embed_counting`."""
        return (await self.embed_counting(texts, lane, task=task)).vectors

    async def embed_counting(
        self, texts: Sequence[str], lane: Lane = "document", *, task: TaskSettings | None = None
    ) -> Embedded:
        """Embed each text whole: one vector per text, in order. Nothing is chunked.

        Cancelling the call takes back what was not sent.

        Args:
            texts: None may be empty or blank.
            lane: ``query`` goes first, with the query's prompt.
            task: Instead of the endpoint's own task settings. Only requests of the same settings
                share a batch.

        Raises:
            InputError: A text is blank, no string or no UTF-8; nothing was sent.
            QueueFullError: `max_queue` requests wait already.
            EmbeddingError: Some texts failed; the others' vectors are in it.
        """
        for index, text in enumerate(texts):
            check_text(text, index)
        if not texts:
            return Embedded([], None)
        if self.waiting >= self._max_queue:
            host = host_of(self._settings.service_settings.url)
            raise QueueFullError(self.waiting, host, self._seconds_to_drain())
        self._arrivals += 1
        asked = PendingRequest(texts, lane, task or self._settings.task_settings, self._arrivals)
        self._queues[lane][asked] = None
        self._pump_soon()
        try:
            await asked.done.wait()
        finally:
            self._leave(asked)
        return Embedded(asked.vectors(), asked.tokens)

    async def token_bound(self, texts: Sequence[str]) -> TokenBound | None:
        """How many tokens the chunks of these texts may have, where the endpoint bounds them."""
        call = self._call("document", self._settings.task_settings)
        if not call.bounds_tokens:
            return None
        driver = TaskDriver(await call.async_transport())
        return await driver.run(bound_for(texts, call))

    async def finished(self) -> None:
        """Return when nobody waits any more."""
        while self._tasks or self.waiting:  # noqa: ASYNC110 - nothing hangs on the moment
            await asyncio.sleep(_LOOK_AGAIN)

    async def close(self) -> None:
        """Break off what is under way, and wait until it is gone. Its callers get an error."""
        left = [asked for queue in self._queues.values() for asked in queue]
        left += [asked for batch in self._tasks for asked in batch.askers]
        tasks = list(self._tasks.values())
        # Before the tasks are cancelled: whoever waits gets this error.
        self._fail(left, HFEndpointError("closed before the text was embedded"))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _seconds_to_drain(self) -> float:
        call = self._call("document", self._settings.task_settings)
        inputs = sum(len(asked.unsent) for queue in self._queues.values() for asked in queue)
        per_second = self._settings.service_settings.rate_limit.requests_per_minute / 60
        return min(_LONGEST_ADVICE, max(1.0, inputs / call.batch_size / per_second))

    def _call(self, lane: Lane, task: TaskSettings) -> EmbeddingCall[Vector]:
        make = EmbeddingCall.for_query if lane == "query" else EmbeddingCall.for_documents
        call = make(
            self._settings,
            AS_RECEIVED,
            limiter=self._limiter,
            clients=self._clients,
            session=self._session,
            task=task,
        )
        return replace(call, counts_for_others=True, followers=self._followers)

    def _pump_soon(self) -> None:
        """Cut batches when this turn of the loop is over: those who come together go together."""
        if not self._pump_is_due:
            self._pump_is_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_is_due = False
        for lane in LANES:
            queue = self._queues[lane]
            while queue and self._unsent[lane] is None:
                # Whoever waits longest decides which settings the batch has.
                first = next(iter(queue))
                task = first.task
                try:
                    call = self._call(lane, task)
                except HFEndpointError as error:  # such as a key that left the environment
                    del queue[first]
                    first.fail(error)
                    continue
                if not self._has_room(lane, call):
                    break
                self._start(self._cut(call), call)

    def _has_room(self, lane: Lane, call: EmbeddingCall[Vector]) -> bool:
        """Whether the window has room; one alone while nothing is known of the server."""
        is_unknown = call.service.dialect == "auto" and call.server.route is None
        if is_unknown or not call.is_prepared:
            return not self._tasks
        # Counted by lane, as the window counts: queries do not wait for the slots of documents.
        return len(self._running[lane]) < call.window.limit

    def _cut(self, call: EmbeddingCall[Vector]) -> MergedBatch:
        """Take from whoever waits; one who has more stands behind the others afterwards."""
        queue, size = self._queues[call.lane], call.batch_size
        batch = MergedBatch(call.lane, call.task, size, call.server.body_bytes, self._arrivals)
        for asked in queue:
            if batch.suits(asked):
                batch.take_from(asked)
        for asked in batch.askers:
            if asked.unsent:
                queue.move_to_end(asked)
            else:
                del queue[asked]
        return batch

    def _start(self, batch: MergedBatch, call: EmbeddingCall[Vector]) -> None:
        self._running[batch.lane].add(batch)
        self._unsent[batch.lane] = batch
        task = asyncio.get_running_loop().create_task(self._run(batch, call))
        self._tasks[batch] = task
        # Not in the task's own `finally`: one that is cancelled before its first step has none.
        task.add_done_callback(lambda _task: self._ended(batch))

    def _ended(self, batch: MergedBatch) -> None:
        self._running[batch.lane].discard(batch)
        del self._tasks[batch]
        self._has_left(batch)

    async def _run(self, batch: MergedBatch, call: EmbeddingCall[Vector]) -> None:
        answers_before = self._answers
        errors: list[HFEndpointError] = []
        try:
            outcomes = await self._embed_batch(batch, call)
            batch.share_tokens()
            for outcome in outcomes:
                batch.settle(outcome.start, outcome.stop, outcome.result)
                if not isinstance(outcome.result, HFEndpointError):
                    self._answers += 1
                elif outcome.fault is Fault.SERVER:
                    errors.append(outcome.result)
        except HFEndpointError as error:
            batch.settle(0, batch.size, error)
            errors.append(error)
        except Exception as error:  # noqa: BLE001 - a defect: its callers get it, the rest goes on
            self._fail(batch.askers, error)
        finally:
            # One that failed before it was sent must let the next one go, too.
            self._has_left(batch)
        # A server that answered others meanwhile failed on these inputs, and on nothing else.
        if self._answers == answers_before:
            for one in errors:
                self._give_up(batch, one)

    async def _embed_batch(
        self, batch: MergedBatch, call: EmbeddingCall[Vector]
    ) -> list[Outcome[Vector]]:
        driver = TaskDriver(await call.async_transport())
        if call.expected_fingerprint and self._clock() - self._verified_at > _TRUSTED_SECONDS:
            self._verified_at = self._clock()
            call.server.doubt()  # another model may come without any failure, replica by replica
        if not call.is_prepared:
            await driver.run(prepare(call))
        flow = way_to_embed(call)(call.inputs_of(batch.texts), call)
        return await driver.run(self._reporting(flow, batch))

    def _reporting(self, flow: Flow[T], batch: MergedBatch) -> Flow[T]:
        """The same flow; we are told when it sends."""
        answer: ActionResult = None
        with contextlib.closing(flow) as steps:
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration as end:
                    result: T = end.value
                    return result
                if isinstance(step, SendRequest):
                    self._has_left(batch)
                answer = yield step
                if isinstance(answer, Response):
                    batch.count(answer)

    def _has_left(self, batch: MergedBatch) -> None:
        if self._unsent[batch.lane] is batch:
            self._unsent[batch.lane] = None
        self._pump_soon()

    def _give_up(self, batch: MergedBatch, error: HFEndpointError) -> None:
        """Do not send what would meet the same error."""
        self._fail([asked for asked in batch.askers if asked.unsent], error)
        if isinstance(error, (EndpointNotReadyError, TransportError)):
            # They have waited for `max_wait` as well: not for another one, batch after batch.
            waiting = [asked for queue in self._queues.values() for asked in queue]
            self._fail([one for one in waiting if one.arrival <= batch.arrivals], error)

    def _fail(self, several: Iterable[PendingRequest], error: Exception) -> None:
        for asked in several:
            self._queues[asked.lane].pop(asked, None)
            asked.fail(error)

    def _leave(self, asked: PendingRequest) -> None:
        """Forget a caller: one that was answered, or one that hung up."""
        queue = self._queues[asked.lane]
        queue.pop(asked, None)
        for batch in [batch for batch in self._running[asked.lane] if asked in batch.askers]:
            is_less_wanted = batch.forget(asked)
            if not batch.askers:
                self._tasks[batch].cancel()
            elif is_less_wanted and batch is self._unsent[asked.lane]:
                # Cut anew without its inputs; the others stand first in line again.
                for other in reversed(batch.give_back()):
                    queue[other] = None
                    queue.move_to_end(other, last=False)
                self._tasks[batch].cancel()
