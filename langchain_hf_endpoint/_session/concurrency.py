"""Places for the requests in flight at one endpoint: who is let in, in which order.

It knows counts and who waits; how many places there are at present is decided in `_width`. It must
not sleep or send: a waiter hands in a `wake` that is called, outside of the lock, when its place is
free.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from langchain_hf_endpoint._session.adaptive_limit import Width

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter import Lane


class Place:
    """One request's place in the window: waited for, held, left."""

    __slots__ = (
        "_granted",
        "_left",
        "_passed",
        "_wake",
        "_window",
        "holder",
        "in_flight",
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
        self.in_flight = 0
        """Requests in flight when it was let in, itself included."""
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

    def refused(self) -> None:
        """The server has too much to do and refused this request, which still has its place."""
        self._window._refused_at(self.in_flight)  # noqa: SLF001

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
        most: Requests of both lanes that may be in flight at present.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._width = Width()
        self._cap: int | None = None
        self._max_inputs: int | None = None
        self._requests: dict[Lane, int] = {"query": 0, "document": 0}
        self._inputs = 0
        self._inside: set[Place] = set()
        self._queues: dict[Lane, deque[Place]] = {"query": deque(), "document": deque()}
        self._held_by: Counter[int] = Counter()
        self._last_cut = float("-inf")
        self._latency = 0.0

    @property
    def limit(self) -> int:
        """Requests of one lane that may be in flight at present."""
        return self._width.limit

    @property
    def most(self) -> float:
        """Requests of both lanes that may be: a bound that was set, or an edge that was met."""
        return min(self._cap or float("inf"), self._width.edge)

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
                self._width.bound(self._cap)
            if inputs is not None:
                self._max_inputs = min(inputs, self._max_inputs or inputs)

    def place(self, inputs: int, lane: Lane) -> Place:
        """Make a place for a request of so many inputs, to be entered before it is sent."""
        return Place(self, inputs, lane)

    def replied(self, inputs: int, seconds: float) -> None:
        """Learn from a request that was answered after `seconds`, while it still has its place."""
        with self._lock:
            self._latency += (seconds - self._latency) * (0.2 if self._latency else 1.0)
            in_lane, in_all = max(self._requests.values()), sum(self._requests.values())
            self._width.replied(inputs, seconds, in_lane, in_all)
            woken = self._grant()
        _wake_all(woken)

    def _refused_at(self, in_flight: int) -> None:
        with self._lock:
            self._width.refused(in_flight)
            self._halve(then_fast_to=self._width.edge)

    def refused(self, *, is_waking: bool = False) -> None:
        """Halve: the server had too much to do, or none of it at how many requests is known.

        A server that is still starting says nothing about its width: once it is awake the window
        grows as fast as at first.
        """
        with self._lock:
            self._halve(then_fast_to=float("inf") if is_waking else self.limit / 2)

    def _halve(self, *, then_fast_to: float) -> None:
        """Once for one wave of refusals."""
        now = self._clock()
        if now - self._last_cut >= max(self._latency, 0.05):
            self._last_cut = now
            self._width.halve(then_fast_to=then_fast_to)

    def _fits(self, place: Place) -> bool:
        if self._requests[place.lane] >= self.limit or sum(self._requests.values()) >= self.most:
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
        place.in_flight = sum(self._requests.values())
        self._width.sent(self._requests[place.lane], place.in_flight)
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


def one_at_a_time() -> Window:
    """A window of one place: the others wait, from whichever thread or loop."""
    window = Window()
    window.bound(requests=1)
    return window


def _wake_all(places: list[Place]) -> None:
    for place in places:
        place._call_wake()  # noqa: SLF001
