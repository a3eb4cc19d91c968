"""Taking turns at a limiter: the schedule with a lock and a clock around it.

It knows that callers come from any thread, that clocks step back and that turns get lost. It must
not know how anybody waits: it answers "not before so many seconds".
"""

from __future__ import annotations

import math
import threading
from abc import abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Protocol

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter.schedule import Lane, Schedule


class SharedSchedule:
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

    __slots__ = ("__weakref__", "_shared", "_ticket", "lane", "started_at")

    def __init__(self, shared: SharedSchedule, lane: Lane, ticket: int) -> None:
        self.lane: Lane = lane
        self.started_at: float | None = None
        self._shared = shared
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
        with self._shared.lock:
            if self.started_at is not None:
                return 0.0
            if not self._ticket:
                raise RuntimeError("This turn was given back: reserve another one.")
            now = self._shared.now()
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
        with self._shared.lock:
            if self._ticket:
                self._shared.schedule.leave(self.lane, self._ticket)
                self._ticket = 0

    def _start_if_due(self, now: float) -> float | None:
        schedule = self._shared.schedule
        try:
            return schedule.start_if_due(self.lane, self._ticket, now)
        except KeyError:  # it lined up before a fork, in the parent's line
            slot = schedule.slot_for_new(self.lane, now)
            self._ticket = schedule.join(self.lane, slot)
            return schedule.start_if_due(self.lane, self._ticket, now)

    def __del__(self) -> None:
        if self._ticket:
            self._shared.dropped.append((self.lane, self._ticket))

    def __repr__(self) -> str:
        if self.started_at is not None:
            return f"<Turn of a {self.lane}: started at {self.started_at:.3f}>"
        return f"<Turn of a {self.lane}: {'waiting' if self._ticket else 'given back'}>"


class LocalTurn(Protocol):
    """A place in a line of this process: it is asked without waiting for anything."""

    def wait(self) -> float:
        """How long to sleep before asking again, in seconds; 0.0: the permit is taken."""

    def give_back(self) -> None:
        """Leave the line, if still in it."""


class LocalLimiter(Protocol):
    """A limiter of this process."""

    def reserve(self, lane: Lane = "document", max_wait: float | None = None) -> LocalTurn:
        """Line up for a permit without waiting for it."""

    def penalize(self, seconds: float) -> None:
        """Let nobody start for so long."""

    def note_start(self) -> None:
        """Count a start that another limiter has granted."""


class DistantTurn(Protocol):
    """A place in a line that is kept elsewhere: asking takes a journey."""

    def wait(self) -> float:
        """As `LocalTurn.wait`; blocks for the journey. Lines up when first asked.

        Raises:
            HFEndpointError: There is no answer, or the wait would be too long.
        """

    async def await_(self) -> float:
        """The async twin of `wait`."""

    def give_back(self) -> None:
        """Leave the line, if still in it. Does not wait until that has arrived."""


class ReservingLimiter(BaseRateLimiter):
    """A limiter that gives a place at once and the permit when its moment has come."""

    @abstractmethod
    def reserve(
        self, lane: Lane = "document", max_wait: float | None = None
    ) -> LocalTurn | DistantTurn:
        """Line up for a permit without waiting for it."""

    @abstractmethod
    def penalize_soon(self, seconds: float) -> None:
        """Let nobody start for so long; does not wait until all know it."""


_MOST_SHARE = 0.5  # with more, documents would go before queries


def burst_of(requests_per_minute: int, asked: int | None) -> int:
    """The burst that was asked for, or a second's worth; between 1 and the limit."""
    return max(1, requests_per_minute // 60) if asked is None else min(asked, requests_per_minute)


def check_limits(
    requests_per_minute: int,
    burst: int | None = None,
    period: float = 60.0,
    document_share: float = 0.0,
) -> None:
    """Refuse what no limiter can keep.

    Raises:
        SettingsError: naming every argument that is out of its range, and the range.
    """
    problems = []
    if not _is_integer(requests_per_minute) or requests_per_minute < 1:
        allowed = "must be an integer of at least 1"
        problems.append(("requests_per_minute", f"{allowed}, not {requests_per_minute!r}"))
    elif burst is not None and not (_is_integer(burst) and 1 <= burst <= requests_per_minute):
        allowed = f"must be an integer from 1 to requests_per_minute ({requests_per_minute})"
        problems.append(("burst", f"{allowed}, not {burst!r}"))
    if not 0 < period < math.inf:
        problems.append(("period", f"must be a positive number of seconds, not {period!r}"))
    if isinstance(document_share, bool) or not 0 <= document_share <= _MOST_SHARE:
        allowed = f"must be a number from 0 to {_MOST_SHARE}"
        problems.append(("document_share", f"{allowed}, not {document_share!r}"))
    if problems:
        raise SettingsError(*problems)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
