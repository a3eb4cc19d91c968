"""Let requests into the window of those in flight: in which order, and whom next."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from langchain_hf_endpoint._session.adaptive_limit import AdaptiveLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter import Lane


class Slot:
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

    def __init__(self, window: ConcurrencyWindow, inputs: int, lane: Lane) -> None:
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
        """Take the slot, or join the queue and have `wake` called when it is free."""
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
        """Give the slot, or the turn in the queue, to the next. May be called repeatedly."""
        self._window._leave(self)  # noqa: SLF001


class ConcurrencyWindow:
    """The places of one endpoint, shared by all callers of a process.

    Attributes:
        limit: Requests of one lane that may be in flight at present.
        most: Requests of both lanes that may be in flight at present.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._adaptive = AdaptiveLimit()
        self._cap: int | None = None
        self._max_inputs: int | None = None
        self._requests: dict[Lane, int] = {"query": 0, "document": 0}
        self._inputs = 0
        self._inside: set[Slot] = set()
        self._queues: dict[Lane, deque[Slot]] = {"query": deque(), "document": deque()}
        self._held_by: Counter[int] = Counter()
        self._last_cut = float("-inf")
        self._latency = 0.0

    @property
    def limit(self) -> int:
        """Requests of one lane that may be in flight at present."""
        return self._adaptive.limit

    @property
    def most(self) -> float:
        """Requests of both lanes that may be: a bound that was set, or an edge that was met."""
        return min(self._cap or float("inf"), self._adaptive.refusal_level)

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
                self._adaptive.bound(self._cap)
            if inputs is not None:
                self._max_inputs = min(inputs, self._max_inputs or inputs)

    def slot(self, inputs: int, lane: Lane) -> Slot:
        """Make a slot for a request of so many inputs, to be entered before it is sent."""
        return Slot(self, inputs, lane)

    def replied(self, inputs: int, seconds: float) -> None:
        """Learn from a request that was answered after `seconds`, while it still has its place."""
        with self._lock:
            self._latency += (seconds - self._latency) * (0.2 if self._latency else 1.0)
            in_lane, in_all = max(self._requests.values()), sum(self._requests.values())
            self._adaptive.replied(inputs, seconds, in_lane, in_all)
            woken = self._grant()
        _wake_all(woken)

    def _refused_at(self, in_flight: int) -> None:
        with self._lock:
            self._adaptive.refused(in_flight)
            self._halve(then_fast_to=self._adaptive.refusal_level)

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
            self._adaptive.halve(then_fast_to=then_fast_to)

    def _fits(self, slot: Slot) -> bool:
        if self._requests[slot.lane] >= self.limit or sum(self._requests.values()) >= self.most:
            return False
        # A request that is larger than the bound by itself goes alone rather than never.
        over = self._max_inputs is not None and self._inputs + slot.inputs > self._max_inputs
        return not over or self._inputs == 0

    def _enter(self, slot: Slot, wake: Callable[[], None]) -> bool:
        with self._lock:
            if not self._queues[slot.lane] and self._fits(slot):
                self._take(slot)
                return True
            slot._wake = wake  # noqa: SLF001
            self._queues[slot.lane].append(slot)
        self._free_orphaned()
        return slot.granted

    def _free_orphaned(self) -> None:
        with self._lock:
            orphaned = [slot for slot in self._inside if slot.is_orphaned()]
        for slot in orphaned:
            slot.leave()

    def _enter_past(self, slot: Slot, loop: object) -> bool:
        with self._lock:
            if not slot.granted and self._held_by[id(loop)] > 0:
                self._queues[slot.lane].remove(slot)
                self._held_by[id(loop)] -= 1
                slot._passed = loop  # noqa: SLF001
                self._take(slot)
            return slot.granted

    def _take(self, slot: Slot) -> None:
        slot._granted = True  # noqa: SLF001
        self._inside.add(slot)
        self._requests[slot.lane] += 1
        slot.in_flight = sum(self._requests.values())
        self._adaptive.sent(self._requests[slot.lane], slot.in_flight)
        self._inputs += slot.inputs
        self._held_by[id(slot.holder)] += 1

    def _leave(self, slot: Slot) -> None:
        with self._lock:
            if slot._left:  # noqa: SLF001
                return
            slot._left = True  # noqa: SLF001
            if slot.granted:
                self._inside.remove(slot)
                self._requests[slot.lane] -= 1
                self._inputs -= slot.inputs
                self._held_by[id(slot.holder)] -= 1
                if slot._passed is not None:  # noqa: SLF001
                    self._held_by[id(slot._passed)] += 1  # noqa: SLF001
            elif slot in self._queues[slot.lane]:
                self._queues[slot.lane].remove(slot)
            woken = self._grant()
        _wake_all(woken)

    def _grant(self) -> list[Slot]:
        """Take in those who fit: queries first, each lane in its order."""
        woken = []
        for lane in ("query", "document"):
            queue = self._queues[lane]
            while queue and self._fits(queue[0]):
                slot = queue.popleft()
                self._take(slot)
                woken.append(slot)
        return woken


def one_at_a_time() -> ConcurrencyWindow:
    """A window of one slot: the others wait, from whichever thread or loop."""
    window = ConcurrencyWindow()
    window.bound(requests=1)
    return window


def _wake_all(slots: list[Slot]) -> None:
    for slot in slots:
        slot._call_wake()  # noqa: SLF001
