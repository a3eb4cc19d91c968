"""A server and a client in virtual time: all of the client's decisions are real, nothing waits.

The client is the package's own `Run`, `Planner`, flows, limiter and window. Only what waits or
sends is replaced: instead of threads or tasks a heap of events, instead of a network an `Endpoint`
that works on so many batches at once. A job of minutes takes a fraction of a second, and comes out
alike each time.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import orjson

from langchain_hf_endpoint._engine.actions import AcquireSlot, SendRequest, Sleep
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.discovery import fetch_server_info
from langchain_hf_endpoint._engine.flow import embed_batch
from langchain_hf_endpoint._engine.retry_policy import RetryPolicy
from langchain_hf_endpoint._engine.run import Run as EngineRun
from langchain_hf_endpoint._engine.run import fill
from langchain_hf_endpoint._engine.sources import Source
from langchain_hf_endpoint._engine.vectors import LISTS
from langchain_hf_endpoint._messages import Response
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
from langchain_hf_endpoint._session.session import EndpointSession
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter
from langchain_hf_endpoint.settings import RateLimit, ServiceSettings, TaskSettings

URL = "http://127.0.0.1:1/embed"
_REPLIES = {n: Response(200, {}, orjson.dumps([[1.0, 0.0]] * n)) for n in range(33)}
_BUSY = Response(429, {}, b'{"error":"Model is overloaded","error_type":"overloaded"}')


@dataclass(frozen=True)
class Kind:
    """A kind of server, and of the way to it.

    Attributes:
        slots: Batches that it works on at once; the others queue.
        seconds: What a full batch takes; a smaller one takes its part, but a fifth at least.
        batch: Inputs in a full batch; ``/info`` tells.
        jitter: Each batch takes up to this part more or less.
        slots_at: Pairs of a moment and the slots from then on.
        permits: Inputs in the house, more are refused; ``/info`` tells.
        edge: Requests in the house, more are refused; nobody tells.
        edge_at: Pairs of a moment and the edge from then on.
        transit: Seconds from the client to the server, and back again.
        wobble: Each way takes up to so many seconds more.
        client: Seconds that the client, which does one thing at a time, works on a reply.
        stalls: For how long the client works and stands still by turns, in the mean: a machine that
            others need too.
    """

    slots: int
    seconds: float
    batch: int = 4
    jitter: float = 0.0
    slots_at: tuple[tuple[float, int], ...] = ()
    permits: int = 1_000_000
    edge: int = 1_000_000
    edge_at: tuple[tuple[float, int], ...] = ()
    transit: float = 0.0005
    wobble: float = 0.0
    client: float = 0.0002
    stalls: tuple[float, float] | None = None

    def lanes(self, moment: float) -> float:
        """Batches that it can work on at once, at this moment.

        Where none may wait at the server for its turn, a lane idles while a reply is under way to
        the client and the next batch comes: an ideal client cannot help that.
        """
        slots = _at(moment, self.slots, self.slots_at)
        admitted = min(self.permits // self.batch, _at(moment, self.edge, self.edge_at))
        cycle = self.seconds + 2 * self.transit + self.wobble + self.client
        return min(slots, admitted * self.seconds / cycle)

    def lane_seconds(self, begin: float, end: float) -> float:
        """How much work it can do between two moments, in seconds of one lane."""
        changes = [at for at, _ in (*self.slots_at, *self.edge_at) if begin < at < end]
        return sum(
            (late - early) * self.lanes(early) for early, late in pairwise([begin, *changes, end])
        )

    def texts(self, seconds: float) -> int:
        """As many as an ideal client gets done in so many seconds, in full batches."""
        return max(1, int(self.lane_seconds(0, seconds) / self.seconds)) * self.batch


def _at(moment: float, first: int, changes: tuple[tuple[float, int], ...]) -> int:
    return next((value for at, value in reversed(changes) if at <= moment), first)


class Worked(NamedTuple):
    """A batch that was worked on."""

    begun: float
    ended: float
    inputs: int


class Clock:
    """A time that passes only from event to event."""

    def __init__(self):
        self.now = 0.0
        self._events = []
        self._number = itertools.count()

    def __call__(self):
        return self.now

    def at(self, moment, event, *arguments):
        heapq.heappush(self._events, (moment, next(self._number), event, arguments))

    def run(self):
        """Until nothing is left to happen."""
        while self._events:
            self.now, _, event, arguments = heapq.heappop(self._events)
            event(*arguments)


class Endpoint:
    """The server: a house with an edge, a queue, and slots that may change in number."""

    def __init__(self, kind: Kind, clock: Clock, chance: random.Random) -> None:
        self.kind = kind
        self.worked: list[Worked] = []
        self.refused: list[float] = []
        self.most = 0
        self.house: list[tuple[float, int]] = []
        self._clock = clock
        self._chance = chance
        self._queue: deque = deque()
        self._busy = self._requests = self._inputs = 0
        for moment, _ in kind.slots_at:
            clock.at(moment, self._work)

    def arrive(self, inputs, answer):
        """A batch comes; `answer` is called with the reply when it is there."""
        kind, now = self.kind, self._clock.now
        is_full = self._requests >= _at(now, kind.edge, kind.edge_at)
        if is_full or self._inputs + inputs > kind.permits:
            self.refused.append(now)
            answer(_BUSY)
            return
        self._requests += 1
        self._inputs += inputs
        self.most = max(self.most, self._requests)
        self.house.append((now, self._requests))
        self._queue.append((inputs, answer))
        self._work()

    def _work(self):
        now = self._clock.now
        while self._queue and self._busy < _at(now, self.kind.slots, self.kind.slots_at):
            inputs, answer = self._queue.popleft()
            self._busy += 1
            varied = 1 + self.kind.jitter * self._chance.uniform(-1, 1)
            end = now + self.kind.seconds * max(0.2, inputs / self.kind.batch) * varied
            self.worked.append(Worked(now, end, inputs))
            self._clock.at(end, self._finish, inputs, answer)

    def _finish(self, inputs, answer):
        self._busy -= 1
        self._requests -= 1
        self._inputs -= inputs
        self.house.append((self._clock.now, self._requests))
        self._work()
        answer(_REPLIES[inputs])


@dataclass
class Run:
    """One job against one server.

    Attributes:
        kind: The server.
        texts: How many there are to embed.
        requests_per_minute: The user's limit.
        max_concurrent: The user's bound of requests in flight.
        seed: For all that chance decides.
        limits: The moment of each request, and the window's limit at it.
        ended: When the last batch was done.
    """

    kind: Kind
    texts: int
    requests_per_minute: int = 10_000_000
    max_concurrent: int | None = None
    seed: int = 0
    limits: list[tuple[float, int]] = field(default_factory=list)
    ended: float = 0.0

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.clock = Clock()
        self.endpoint = Endpoint(self.kind, self.clock, chance)
        self._chance = chance
        self._free_at = self._stalls_at = 0.0
        self._running = 0
        self._ended = []
        self._service = ServiceSettings(
            url=URL,
            rate_limit=RateLimit(requests_per_minute=self.requests_per_minute),
            max_concurrent_requests=self.max_concurrent,
        )
        self._runtime = EndpointSession(URL, None, self.requests_per_minute)
        self._runtime.limiter = RequestsPerMinuteLimiter(self.requests_per_minute, clock=self.clock)
        self._runtime.window = ConcurrencyWindow(self.clock)
        self._runtime.agree(self._service)
        self.state = EngineRun(self._call("document"))
        self._source = Source(f"text {number}" for number in range(self.texts))
        self._talk(fetch_server_info(self.state.call), lambda _: self._begin())
        self.clock.run()
        assert self.state.planner.is_all_cut
        assert not self._running

    def _call(self, lane):
        return EmbeddingCall(
            service=self._service,
            task=TaskSettings(),
            lane=lane,
            server=self._runtime.server_state(None),
            window=self._runtime.window,
            limiter=self._runtime.limiter,
            policy=RetryPolicy(600, chance=self._chance.random),
            vector_format=LISTS,
            session=self._runtime,
            clock=self.clock,
        )

    # The loop of the engine

    def _begin(self):
        self.state.begin()
        self._start()

    def _start(self):
        while self._running < self.state.capacity:
            fill(self._source, self.state, None)
            batch = self.state.next_batch(self._source, is_idle=not self._running)
            if batch is None:
                break
            self._running += 1
            self._talk(
                embed_batch(batch.inputs, self.state.call),
                lambda result, batch=batch: self._end(batch, result),
            )

    def _end(self, batch, result):
        """An event loop first works off the replies that are there, and then goes on here."""
        if not self._ended:
            self.clock.at(max(self.clock.now, self._free_at), self._go_on)
        self._ended.append((batch, result))

    def _go_on(self):
        ended, self._ended = self._ended, []
        self._running -= len(ended)
        for batch, result in ended:
            self.state.settle(batch, result)
        for _ in self.state.planner.finished():
            pass
        self.ended = self.clock.now
        self._start()

    # What a driver does

    def _talk(self, flow, done):
        try:
            self._perform(flow, flow.send(None), done)
        except StopIteration as end:
            done(end.value)

    def _answer(self, flow, answer, done):
        try:
            self._perform(flow, flow.send(answer), done)
        except StopIteration as end:
            done(end.value)

    def _perform(self, flow, step, done):
        def go_on(answer=None):
            self._answer(flow, answer, done)

        if isinstance(step, Sleep):
            self.clock.at(self.clock.now + step.seconds, go_on)
        elif isinstance(step, AcquireSlot):
            if step.window.acquire(step.slot, lambda: self.clock.at(self.clock.now, go_on)):
                self.clock.at(self.clock.now, go_on)
        else:
            assert isinstance(step, SendRequest)
            self._send(step.request, go_on)

    def _send(self, request, go_on):
        self.limits.append((self.clock.now, self._runtime.window.limit))

        def answer(reply):
            self.clock.at(self.clock.now + self._way(), self._read, reply, go_on)

        if request.method == "GET":
            info = {
                "model_id": "double/model",
                "model_type": {"embedding": {"pooling": "mean"}},
                "max_concurrent_requests": self.kind.permits,
                "max_client_batch_size": self.kind.batch,
                "version": "1.9.3",
            }
            answer(Response(200, {}, orjson.dumps(info)))
            return
        inputs = len(orjson.loads(request.body)["inputs"])
        self.clock.at(self.clock.now + self._way(), self.endpoint.arrive, inputs, answer)

    def _way(self):
        return self.kind.transit + self.kind.wobble * self._chance.random()

    def _read(self, reply, go_on):
        """The client does one thing at a time: a reply may have to wait for it."""
        self._free_at = self._awake(max(self.clock.now, self._free_at)) + self.kind.client
        self.clock.at(self._free_at, go_on, reply)

    def _awake(self, moment):
        """The first moment from this one on at which the client does not stand still."""
        if self.kind.stalls is None:
            return moment
        works, stands = self.kind.stalls
        while moment >= self._stalls_at:
            moment = max(moment, self._stalls_at + self._chance.expovariate(1 / stands))
            self._stalls_at = moment + self._chance.expovariate(1 / works)
        return moment

    # What came out

    def share(self, begin: float, end: float) -> float:
        """Which share of what the server could do it did, between two moments."""
        worked = sum(
            max(0.0, min(one.ended, end) - max(one.begun, begin)) for one in self.endpoint.worked
        )
        return worked / self.kind.lane_seconds(begin, end)

    @property
    def whole(self) -> float:
        """The share of the whole job, from its first batch to its last."""
        return self.share(self.endpoint.worked[0].begun, self.ended)

    @property
    def middle(self) -> float:
        """The share from a third of the job to a batch's time before its end."""
        begin = self.ended / 3
        return self.share(begin, max(begin, self.ended - self.kind.seconds * 1.5))

    @property
    def in_house(self) -> float:
        """How many batches are at the server, working or waiting, in the mean of the last third."""
        begin, end = self.ended * 2 / 3, self.ended - self.kind.seconds * 1.5
        steps = [step for step in self.endpoint.house if begin <= step[0] <= end]
        spans = [(late - early) * count for (early, count), (late, _) in pairwise(steps)]
        return sum(spans) / (steps[-1][0] - steps[0][0])
