"""Ask a limiter for a permit without waiting: a reservation tells how long to sleep."""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_hf_endpoint._lifecycle import asyncio_sleep
from langchain_hf_endpoint.errors import RateLimitedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.limiter.schedule import Lane, Schedule


class Reservation(ABC):
    """A permit that was asked for, made by a limiter's ``reserve``.

    Use it from any thread or loop, by one at a time::

        reservation = limiter.reserve()
        try:
            while seconds := reservation.delay():
                time.sleep(seconds)
            send()
        finally:
            reservation.give_back()

    One that is forgotten while it waits frees its place when it is collected.

    Attributes:
        lane: The lane it waits in.
        started_at: When the permit was taken, by the limiter's clock, in seconds; None before that.
        is_remote: Whether asking takes a journey, or may block.
    """

    __slots__ = ("__weakref__", "lane", "started_at")

    is_remote: ClassVar[bool] = False

    def __init__(self, lane: Lane) -> None:
        self.lane: Lane = lane
        self.started_at: float | None = None

    @abstractmethod
    def delay(self) -> float:
        """How long to sleep before asking again, in seconds.

        0.0 means that the permit is taken, by this very call: send now. Asked again after that,
        it stays 0.0 and takes nothing more.

        The answer is exact: one sleep is enough, unless meanwhile queries went before this
        document, the server asked for a pause (`penalize`), the limit was lowered (`slow_to`), or
        starts of the last minute were late. Asking early is allowed and changes nothing.

        Raises:
            RuntimeError: The reservation was given back before it started.
            HFEndpointError: A limiter that is kept elsewhere does not answer, or the wait would
                be too long.
        """

    async def adelay(self) -> float:
        """The async twin of `delay`."""
        return self.delay()

    def wait(self) -> float:
        """`delay`, by its former name."""
        return self.delay()

    async def await_(self) -> float:
        """`adelay`, by its former name."""
        return await self.adelay()

    @abstractmethod
    def give_back(self) -> None:
        """Leave the line, if still in it; the next who asks takes the place. Does not wait.

        Does nothing when called again, nor once the permit is taken: it is spent, whatever became
        of the request.
        """

    @property
    @abstractmethod
    def _is_waiting(self) -> bool: ...

    def __repr__(self) -> str:
        if self.started_at is not None:
            return f"<Turn of a {self.lane}: started at {self.started_at:.3f}>"
        return f"<Turn of a {self.lane}: {'waiting' if self._is_waiting else 'given back'}>"


Turn = Reservation


class ReservingLimiter(BaseRateLimiter):
    """A limiter that gives a place at once and the permit when its moment has come."""

    @property
    @abstractmethod
    def requests_per_minute(self) -> int:
        """The limit that holds now."""

    @abstractmethod
    def reserve(self, lane: Lane = "document", max_wait: float | None = None) -> Reservation:
        """Line up for a permit without waiting for it."""

    @abstractmethod
    def penalize_soon(self, seconds: float) -> None:
        """Let nobody start for so long; does not wait until all know it."""

    def acquire(
        self,
        num_tokens: int = 0,  # noqa: ARG002 - LlamaIndex passes it
        *,
        blocking: bool = True,
        lane: Lane = "document",
    ) -> bool:
        """Take one permit, sleeping in this thread until it is due.

        Args:
            num_tokens: Ignored: a request is one permit. LlamaIndex passes it.
            blocking: False takes a permit only if it can be had now.
            lane: ``"query"`` goes before ``"document"``.

        Returns:
            True if the permit is taken; False only if not `blocking`.

        Raises:
            SettingsError: There is no such lane.
            HFEndpointError: A limiter that is kept elsewhere does not answer.
        """
        if self._start_at_once(lane):
            return True
        try:
            reservation = self.reserve(lane, None if blocking else 0.0)
            try:
                while seconds := reservation.delay():
                    if not blocking:  # a query pushed in between
                        return False
                    self._sleep(seconds)
            finally:
                reservation.give_back()
        except RateLimitedError:
            return False
        return True

    async def aacquire(
        self,
        num_tokens: int = 0,  # noqa: ARG002 - LlamaIndex passes it
        *,
        blocking: bool = True,
        lane: Lane = "document",
    ) -> bool:
        """Take one permit, sleeping in this task until it is due; otherwise like `acquire`."""
        if self._start_at_once(lane):
            return True
        try:
            reservation = self.reserve(lane, None if blocking else 0.0)
            try:
                while seconds := await reservation.adelay():
                    if not blocking:
                        return False
                    await self._async_sleep(seconds)
            finally:
                reservation.give_back()
        except RateLimitedError:
            return False
        return True

    async_acquire = aacquire

    def _start_at_once(self, lane: Lane) -> bool:  # noqa: ARG002 - for those that can
        """Take a permit without a reservation, if nobody waits and it is due."""
        return False

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def _async_sleep(self, seconds: float) -> None:
        await asyncio_sleep(seconds)


def reserve_from(limiter: BaseRateLimiter, lane: Lane, max_wait: float | None) -> Reservation:
    """Ask any of LangChain's limiters for a permit.

    Raises:
        RateLimitedError: The wait is longer than `max_wait`.
    """
    if not isinstance(limiter, ReservingLimiter):
        return _BlockingReservation(limiter, lane)
    if limiter._start_at_once(lane):  # noqa: SLF001 - what nearly every request of a user is
        return _TAKEN
    return limiter.reserve(lane, max_wait)


class _TakenPermit(Reservation):
    """A permit that was to be had without standing in line."""

    __slots__ = ()

    def delay(self) -> float:
        return 0.0

    def give_back(self) -> None:
        pass  # it is spent

    @property
    def _is_waiting(self) -> bool:
        return False


_TAKEN = _TakenPermit("document")


class _BlockingReservation(Reservation):
    """A permit of a limiter that knows no reservations: asking for it waits until it is there."""

    __slots__ = ("_limiter",)

    is_remote = True

    def __init__(self, limiter: BaseRateLimiter, lane: Lane) -> None:
        super().__init__(lane)
        self._limiter = limiter

    def delay(self) -> float:
        self._limiter.acquire(blocking=True)
        return 0.0

    async def adelay(self) -> float:
        await self._limiter.aacquire(blocking=True)
        return 0.0

    def give_back(self) -> None:
        pass  # such a permit cannot be given back

    @property
    def _is_waiting(self) -> bool:
        return True


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
        # Places of reservations that were collected unused. A finalizer may run at any moment, in
        # the middle of what holds the lock too: it must not wait for it.
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

    def reserve(self, lane: Lane, max_wait: float) -> LocalReservation | float:
        """Line up, or return the wait in seconds if it is longer than `max_wait`."""
        with self.lock:
            now = self.now()
            while self.dropped:
                self.schedule.leave(*self.dropped.popleft())
            slot = self.schedule.slot_for_new(lane, now)
            if slot - now > max_wait + self.schedule.grain:
                return slot - now
            return LocalReservation(self, lane, self.schedule.join(lane, slot))


class LocalReservation(Reservation):
    """A place in a schedule of this process."""

    __slots__ = ("_shared", "_ticket")

    def __init__(self, shared: SharedSchedule, lane: Lane, ticket: int) -> None:
        super().__init__(lane)
        self._shared = shared
        self._ticket = ticket  # 0 once started or given back

    def delay(self) -> float:
        """As `Reservation.delay`."""
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
        """As `Reservation.give_back`."""
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

    @property
    def _is_waiting(self) -> bool:
        return self._ticket != 0

    def __del__(self) -> None:
        if self._ticket:
            self._shared.dropped.append((self.lane, self._ticket))


def wait_too_long(seconds: float, max_wait: float, why: str) -> RateLimitedError:
    """The error of one who may not wait as long as the next free start takes."""
    return RateLimitedError(
        f"The next free start is {seconds:.3g} s away, more than the {max_wait:g} s that this "
        f"request may wait: {why}",
        advice="Raise max_wait, send fewer requests at once, or raise requests_per_minute "
        "if the server allows more.",
    )


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
