"""Taking turns at a limiter: the schedule with a lock and a clock around it.

It knows that callers come from any thread, that clocks step back and that turns get lost. It must
not know how anybody waits: it answers "not before so many seconds".
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter.schedule import Lane, Schedule


class Desk:
    """A schedule that threads share. Hold `lock` for arithmetic only.

    Args:
        schedule: Who may start when.
        clock: Seconds; may step back, which counts as time standing still.
    """

    __slots__ = ("_clock", "_latest", "_stepped_back", "dropped", "lock", "schedule")

    def __init__(self, schedule: Schedule, clock: Callable[[], float]) -> None:
        self.schedule = schedule
        self._clock = clock
        self._latest = -math.inf
        self._stepped_back = 0.0
        self.reset()

    def reset(self) -> None:
        """Begin anew, whatever another thread was doing here: for the child of a fork."""
        self.lock = threading.Lock()
        # Places of turns that were collected unused: a finalizer must not wait for the lock.
        self.dropped: deque[tuple[Lane, int]] = deque()
        self.schedule.clear()

    def now(self) -> float:
        """The time, never earlier than before. Under the lock."""
        now = self._clock() + self._stepped_back
        if now < self._latest:
            self._stepped_back += self._latest - now
            return self._latest
        self._latest = now
        return now

    def start_unless_waiting(self) -> bool:
        """Take a permit if nobody waits and it can be had now."""
        with self.lock:
            return self.schedule.start_unless_waiting(self.now())

    def reserve(self, lane: Lane, max_wait: float) -> Turn | float:
        """Line up, or return the wait in seconds if it is longer than `max_wait`."""
        with self.lock:
            now = self.now()
            while self.dropped:
                self.schedule.leave(*self.dropped.popleft())
            slot = self.schedule.slot_for_new(lane, now)
            if slot - now > max_wait + self.schedule.grain:
                return slot - now
            return Turn(self, lane, self.schedule.join(lane, slot))


class Turn:
    """A place in a limiter's line, made by ``RequestsPerMinuteLimiter.reserve``.

    Use it from any thread or loop::

        turn = limiter.reserve()
        try:
            while seconds := turn.wait():
                time.sleep(seconds)
            send()
        finally:
            turn.give_back()

    A turn that is forgotten in the line frees its place when it is collected.

    Attributes:
        lane: The lane it waits in.
        started_at: When the permit was taken, by the limiter's clock; None before that.
    """

    __slots__ = ("__weakref__", "_desk", "_ticket", "lane", "started_at")

    def __init__(self, desk: Desk, lane: Lane, ticket: int) -> None:
        self.lane: Lane = lane
        self.started_at: float | None = None
        self._desk = desk
        self._ticket = ticket  # 0 once started or given back

    def wait(self) -> float:
        """How long to sleep before asking again, in seconds.

        0.0 means that the permit is taken, by this very call: send now. Asked again after that,
        it stays 0.0 and takes nothing more.

        The answer is exact: one sleep is enough, unless meanwhile queries went before this
        document, the server asked for a pause (`penalize`), the limit was lowered (`slow_to`), or
        starts of the last minute were late. Asking early is allowed and changes nothing.

        Raises:
            RuntimeError: the turn was given back before it started.
        """
        with self._desk.lock:
            if self.started_at is not None:
                return 0.0
            if not self._ticket:
                raise RuntimeError("This turn was given back: reserve another one.")
            now = self._desk.now()
            slot = self._start_if_due(now)
            if slot is not None:
                return slot - now
            self.started_at = now
            self._ticket = 0
            return 0.0

    def give_back(self) -> None:
        """Leave the line, if still in it; the next who asks takes the place.

        Does nothing when called again, nor once the permit is taken: it is spent, whatever became
        of the request.
        """
        with self._desk.lock:
            if self._ticket:
                self._desk.schedule.leave(self.lane, self._ticket)
                self._ticket = 0

    def _start_if_due(self, now: float) -> float | None:
        schedule = self._desk.schedule
        try:
            return schedule.start_if_due(self.lane, self._ticket, now)
        except KeyError:  # it lined up before a fork, in the parent's line
            slot = schedule.slot_for_new(self.lane, now)
            self._ticket = schedule.join(self.lane, slot)
            return schedule.start_if_due(self.lane, self._ticket, now)

    def __del__(self) -> None:
        if self._ticket:
            self._desk.dropped.append((self.lane, self._ticket))

    def __repr__(self) -> str:
        if self.started_at is not None:
            return f"<Turn of a {self.lane}: started at {self.started_at:.3f}>"
        return f"<Turn of a {self.lane}: {'waiting' if self._ticket else 'given back'}>"
