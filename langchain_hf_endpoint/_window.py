"""How many requests may be in flight at one endpoint: grows while latency holds, halves on refusal.

It knows counts, latencies and who waits in which order. It must not sleep or send: a waiter hands
in a `wake` that is called, outside of the lock, when its place is free.

The rule is that of TCP Vegas (Brakmo and Peterson, 1995), as in Netflix's concurrency-limits: from
the lowest latency seen and the present one, each a mean of some replies, follows how many of our
requests the server keeps waiting; the window grows while they are few and shrinks while they are
many. A server that always keeps some waiting hides how fast it is, so from time to time the window
is halved for a round trip to see it anew: a lowest latency that drifts towards the present one
instead lets the window creep up to its ceiling.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter import Lane

_START = 4.0
_CEILING = 64
_FEW_QUEUED = 3.0
_FEW_OF_ALL = 1 / 6  # a larger window may have more waiting: latencies vary by themselves
_NEWEST = 1 / 16  # the weight of one reply in a mean of latencies
_ROUND_TRIPS_TO_PROBE = 60.0


class Place:
    """One request's place in the window: waited for, held, left."""

    __slots__ = (
        "_granted",
        "_left",
        "_passed",
        "_wake",
        "_window",
        "holder",
        "inputs",
        "is_orphaned",
        "lane",
    )

    def __init__(self, window: Window, inputs: int, lane: Lane) -> None:
        self._window = window
        self.inputs = inputs
        self.lane: Lane = lane
        self._granted = False
        self._left = False
        self._wake: Callable[[], None] | None = None
        self._passed: object = None
        self.holder: object = None
        """The event loop whose task it is; None for a thread's."""
        self.is_orphaned: Callable[[], bool] = bool
        """Whether its holder can never leave it: a task whose loop was closed under way."""

    @property
    def granted(self) -> bool:
        """Whether the request may be sent."""
        return self._granted

    def enter(self, wake: Callable[[], None]) -> bool:
        """Take the place, or join the queue and have `wake` called when it is free."""
        return self._window._enter(self, wake)  # noqa: SLF001 - two halves of one thing

    def enter_past(self, loop: object) -> bool:
        """Take the place although the window is full, if tasks of `loop` are what fills it.

        For a synchronous call on the thread of that loop: its tasks cannot go on, and so not leave
        their places, before the call returns. There is one such place for each that they hold.
        """
        return self._window._enter_past(self, loop)  # noqa: SLF001

    def free_orphaned(self) -> None:
        """Free the places that nobody else will: for who has been waiting for long."""
        self._window._free_orphaned()  # noqa: SLF001

    def _call_wake(self) -> None:
        try:
            if self._wake is not None:
                self._wake()
        except RuntimeError:  # the waiter's event loop was closed: it will never send
            self.leave()

    def leave(self) -> None:
        """Give the place, or the turn in the queue, to the next. May be called repeatedly."""
        self._window._leave(self)  # noqa: SLF001


class Window:
    """The places of one endpoint, shared by all callers of a process.

    Attributes:
        limit: Requests of one lane that may be in flight at present.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limit = _START
        self._slow_from = float("inf")  # below it the window doubles in a round trip
        self._cap: int | None = None
        self._max_inputs: int | None = None
        self._requests: dict[Lane, int] = {"query": 0, "document": 0}
        self._inputs = 0
        self._inside: set[Place] = set()
        self._queues: dict[Lane, deque[Place]] = {"query": deque(), "document": deque()}
        self._mean: dict[int, float] = {}
        self._held_by: Counter[int] = Counter()
        self._lowest: dict[int, float] = {}
        self._round_trips = 0.0
        self._unsettled = 0
        self._last_cut = float("-inf")
        self._latency = 0.0

    @property
    def limit(self) -> int:
        """Requests of one lane that may be in flight at present."""
        return int(self._limit)

    def __repr__(self) -> str:
        waiting = sum(map(len, self._queues.values()))
        return (
            f"<Window of {self.limit} requests: {sum(self._requests.values())} in flight with "
            f"{self._inputs} inputs, {waiting} waiting>"
        )

    def bound(self, *, requests: int | None = None, inputs: int | None = None) -> None:
        """Never have more than this in flight; the lowest bound named so far holds."""
        with self._lock:
            if requests is not None:
                self._cap = min(requests, self._cap or requests)
                self._limit = min(self._limit, self._cap)
            if inputs is not None:
                self._max_inputs = min(inputs, self._max_inputs or inputs)

    def place(self, inputs: int, lane: Lane) -> Place:
        """Make a place for a request of so many inputs, to be entered before it is sent."""
        return Place(self, inputs, lane)

    def replied(self, inputs: int, seconds: float) -> None:
        """Learn from a request that was answered after `seconds`, while it still has its place."""
        with self._lock:
            self._latency += (seconds - self._latency) * (0.2 if self._latency else 1.0)
            if self._unsettled:  # sent before the window was halved to see the latency anew
                self._unsettled -= 1
                return
            queued = self._learn(inputs, seconds)
            in_use = max(self._requests.values())
            if in_use + 1 < self._limit:
                return  # a window that is not used up says nothing about its width
            self._adapt(in_use * queued, in_use)
            self._limit = max(1.0, min(self._limit, self._cap or _CEILING))
            woken = self._grant()
        _wake_all(woken)

    def _learn(self, inputs: int, seconds: float) -> float:
        """Which part of the time, 0 to 1, requests of this size spend waiting at the server."""
        size = inputs.bit_length()  # latency is compared among batches of about one size
        mean = self._mean.get(size, seconds)
        self._mean[size] = mean = mean + (seconds - mean) * _NEWEST
        self._lowest[size] = lowest = min(mean, self._lowest.get(size, mean))
        return 1 - lowest / mean if mean > 0 else 0.0

    def _adapt(self, queued: float, in_use: int) -> None:
        few = max(_FEW_QUEUED, self._limit * _FEW_OF_ALL)
        if queued < few:
            self._limit += 1.0 if self._limit < self._slow_from else 1.0 / self._limit
            return
        self._slow_from = min(self._slow_from, self._limit)
        if (too_many := queued - 2 * few) > 0:
            self._limit -= max(1.0, too_many / 2) / self._limit
        self._round_trips += 1.0 / self._limit
        if self._round_trips >= _ROUND_TRIPS_TO_PROBE:
            self._round_trips = 0.0
            self._mean.clear()
            self._lowest.clear()
            self._unsettled = in_use - 1
            self._slow_from = self._limit
            self._limit /= 2

    def refused(self, *, is_waking: bool = False) -> None:
        """Halve: the server said that it has too much to do. Once for one wave of refusals.

        A server that is still starting says nothing about its width: once it is awake the window
        grows as fast as at first.
        """
        with self._lock:
            now = self._clock()
            if now - self._last_cut < max(self._latency, 0.05):
                return
            self._last_cut = now
            self._limit = max(1.0, self._limit / 2)
            if not is_waking:
                self._slow_from = self._limit

    def _fits(self, place: Place) -> bool:
        requests = self._requests[place.lane]
        if self._cap is not None and sum(self._requests.values()) >= self._cap:
            return False
        if requests >= int(self._limit):
            return False
        # A request that is larger than the bound by itself goes alone rather than never.
        over = self._max_inputs is not None and self._inputs + place.inputs > self._max_inputs
        return not over or self._inputs == 0

    def _enter(self, place: Place, wake: Callable[[], None]) -> bool:
        with self._lock:
            if not self._queues[place.lane] and self._fits(place):
                self._take(place)
                return True
            place._wake = wake  # noqa: SLF001
            self._queues[place.lane].append(place)
        self._free_orphaned()
        return place.granted

    def _free_orphaned(self) -> None:
        with self._lock:
            orphaned = [place for place in self._inside if place.is_orphaned()]
        for place in orphaned:
            place.leave()

    def _enter_past(self, place: Place, loop: object) -> bool:
        with self._lock:
            if not place.granted and self._held_by[id(loop)] > 0:
                self._queues[place.lane].remove(place)
                self._held_by[id(loop)] -= 1
                place._passed = loop  # noqa: SLF001
                self._take(place)
            return place.granted

    def _take(self, place: Place) -> None:
        place._granted = True  # noqa: SLF001
        self._inside.add(place)
        self._requests[place.lane] += 1
        self._inputs += place.inputs
        self._held_by[id(place.holder)] += 1

    def _leave(self, place: Place) -> None:
        with self._lock:
            if place._left:  # noqa: SLF001
                return
            place._left = True  # noqa: SLF001
            if place.granted:
                self._inside.remove(place)
                self._requests[place.lane] -= 1
                self._inputs -= place.inputs
                self._held_by[id(place.holder)] -= 1
                if place._passed is not None:  # noqa: SLF001
                    self._held_by[id(place._passed)] += 1  # noqa: SLF001
            elif place in self._queues[place.lane]:
                self._queues[place.lane].remove(place)
            woken = self._grant()
        _wake_all(woken)

    def _grant(self) -> list[Place]:
        """Take in those who fit: queries first, each lane in its order."""
        woken = []
        for lane in ("query", "document"):
            queue = self._queues[lane]
            while queue and self._fits(queue[0]):
                place = queue.popleft()
                self._take(place)
                woken.append(place)
        return woken


def _wake_all(places: list[Place]) -> None:
    for place in places:
        place._call_wake()  # noqa: SLF001
