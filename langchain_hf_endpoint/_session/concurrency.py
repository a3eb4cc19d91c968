"""Let requests into the window of those in flight: in which order, and whom next."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hf_endpoint._session.adaptive_limit import AdaptiveLimit

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter import Lane


@dataclass(slots=True, eq=False)
class Slot:
    """One request's share of the window: waited for, held, released."""

    inputs: int  # of the request
    lane: Lane  # queries are let in before documents
    loop: AbstractEventLoop | None = None  # the event loop whose task wants it; None for a thread's
    # The event loop on whose thread a synchronous call wants it.
    blocked_loop: AbstractEventLoop | None = None
    # What the window calls, outside of its lock, when it lets the request in.
    wake: Callable[[], None] | None = None
    in_flight: int = 0  # requests in flight when it was let in, itself included; 0 before that
    in_lane: int = 0  # those of its lane

    @property
    def granted(self) -> bool:
        """Whether the request may be sent."""
        return self.in_flight > 0


class ConcurrencyWindow:
    """The requests in flight at one endpoint, those of all callers of a process."""

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
        self._last_cut = float("-inf")
        self._latency = 0.0

    @property
    def limit(self) -> int:
        """Requests of one lane that may be in flight at present."""
        return self._adaptive.limit

    @property
    def most(self) -> float:
        """Requests of both lanes that may be: a bound that was set, or where the server refused."""
        return min(self._cap or float("inf"), self._adaptive.refusal_level)

    @property
    def found(self) -> int | None:
        """Requests that fill the server, or are all that it takes; None before that was seen."""
        return self._adaptive.found

    def begin_with(self, found: int, others: int) -> None:
        """Begin with a share of what another window found; see `AdaptiveLimit.begin_with`."""
        with self._lock:
            self._adaptive.begin_with(found, others)

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

    def acquire(self, slot: Slot, wake: Callable[[], None]) -> bool:
        """Let the request in now, or put it into the queue and call `wake` when it is let in."""
        slot.wake = wake
        with self._lock:
            self._queues[slot.lane].append(slot)
            admitted = self._admit()
        self._wake([other for other in admitted if other is not slot])
        if not slot.granted:
            self.free_orphaned()
        return slot.granted

    def release(self, slot: Slot) -> None:
        """Leave the window, or the queue, to the next. Of no effect when called again."""
        with self._lock:
            if slot in self._inside:
                self._inside.remove(slot)
                self._requests[slot.lane] -= 1
                self._inputs -= slot.inputs
            elif slot in self._queues[slot.lane]:
                self._queues[slot.lane].remove(slot)
            else:
                return
            admitted = self._admit()
        self._wake(admitted)

    def free_orphaned(self) -> None:
        """Release the slots of tasks whose loop was closed under way: they never will."""
        with self._lock:
            orphaned = [one for one in self._inside if one.loop and one.loop.is_closed()]
        for slot in orphaned:
            self.release(slot)

    def replied(self, slot: Slot, seconds: float) -> None:
        """Learn from a request that was answered after `seconds`."""
        with self._lock:
            self._latency += (seconds - self._latency) * (0.2 if self._latency else 1.0)
            self._adaptive.replied(slot.inputs, seconds, slot.in_lane, slot.in_flight)
            admitted = self._admit()
        self._wake(admitted)

    def refused_at(self, in_flight: int) -> None:
        """Learn that of so many requests in flight the one sent last was too many.

        It is to be told while that one has its slot: nobody else is let in to be refused too.
        """
        with self._lock:
            self._adaptive.refused(in_flight)
            self._halve(then_double_to=self._adaptive.refusal_level)

    def refused(self, *, is_waking: bool = False) -> None:
        """Halve: the server had too much to do, or none of it at how many requests is known.

        A server that is still starting says nothing about its room: once it is awake the window
        grows as fast as at first.
        """
        with self._lock:
            self._halve(then_double_to=float("inf") if is_waking else self.limit / 2)

    def _halve(self, *, then_double_to: float) -> None:
        """Once for one wave of refusals."""
        now = self._clock()
        if now - self._last_cut >= max(self._latency, 0.05):
            self._last_cut = now
            self._adaptive.halve(then_double_to=then_double_to)

    def _fits(self, slot: Slot) -> bool:
        in_lane, in_all = self._requests[slot.lane], sum(self._requests.values())
        inputs = self._inputs
        if slot.blocked_loop is not None:
            # The tasks of that loop cannot go on, and so not release their slots, before this very
            # call returns: it would wait for itself if they counted.
            for one in self._inside:
                if one.loop is slot.blocked_loop:
                    in_lane -= one.lane == slot.lane
                    in_all -= 1
                    inputs -= one.inputs
        if in_lane >= self.limit or in_all >= self.most:
            return False
        # A request that is larger than the bound by itself goes alone rather than never.
        bound = self._max_inputs
        return bound is None or inputs == 0 or inputs + slot.inputs <= bound

    def _admit(self) -> list[Slot]:
        """Let in whoever may go: queries first, each lane in its order."""
        admitted = []
        for lane, queue in self._queues.items():
            while queue and (slot := self._next(queue)) is not None:
                queue.remove(slot)
                self._inside.add(slot)
                self._requests[lane] += 1
                self._inputs += slot.inputs
                slot.in_flight = sum(self._requests.values())
                slot.in_lane = self._requests[lane]
                admitted.append(slot)
        return admitted

    def _next(self, queue: deque[Slot]) -> Slot | None:
        if queue and self._fits(queue[0]):
            return queue[0]
        # Those ahead may wait for tasks of the loop that one behind blocks: it must not wait too.
        blocking = (slot for slot in queue if slot.blocked_loop is not None)
        return next((slot for slot in blocking if self._fits(slot)), None)

    def _wake(self, admitted: list[Slot]) -> None:
        for slot in admitted:
            try:
                if slot.wake is not None:
                    slot.wake()
            except RuntimeError:  # the waiter's event loop was closed: it will never send
                self.release(slot)


def one_at_a_time() -> ConcurrencyWindow:
    """A window of one slot: the others wait, from whichever thread or loop."""
    window = ConcurrencyWindow()
    window.bound(requests=1)
    return window
