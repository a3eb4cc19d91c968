"""Limit requests per minute, for any number of threads and event loops of a process."""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from langchain_hf_endpoint._lifecycle import PerProcess, asyncio_sleep
from langchain_hf_endpoint._validation import as_int
from langchain_hf_endpoint.limiter.reservation import (
    Reservation,
    ReservingLimiter,
    Turn,
    burst_of,
    check_lane,
    check_limits,
    wait_too_long,
)
from langchain_hf_endpoint.limiter.schedule import DOCUMENT_SHARE, LANES, Lane, Schedule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Lane", "RequestsPerMinuteLimiter", "Turn"]


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
        # A lock of threads also where tasks wait, so that all threads and loops can share one
        # limit. It is held for a microsecond; whoever waits sleeps without it.
        self.lock = threading.Lock()
        # Places of reservations that were collected unused. A finalizer may run at any moment, in
        # the middle of what holds the lock too: it must not wait for it.
        self.dropped: deque[tuple[Lane, int]] = deque()
        self.schedule.clear()

    def now(self) -> float:
        """The time, never earlier than before. Under the lock."""
        # Were starts in the log later than now, nobody could start until the clock is there again.
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
        # Only noted: see `dropped`.
        if self._ticket:
            self._shared.dropped.append((self.lane, self._ticket))


class _Settings(NamedTuple):
    """The constructor's arguments: what a pickle carries."""

    requests_per_minute: int
    burst: int | None
    document_share: float
    period: float
    clock: Callable[[], float]
    sleep: Callable[[float], object]
    async_sleep: Callable[[float], Awaitable[object]]


class RequestsPerMinuteLimiter(ReservingLimiter):
    """At most so many requests in any 60 seconds, from all threads and event loops together.

    One permit is one HTTP request, retries included, whatever it carries.

    **The bound.** Starts are written into a log, under a lock, by a clock that never goes back.
    One is written only if the start `requests_per_minute` places earlier in the log lies at least
    60.3 seconds back (half a per cent more than needed, since requests spend a varying time on
    their way). Had some 60 seconds one start too many, the first and the last of them would be
    `requests_per_minute` places apart in the log, or more, and at most 60 seconds apart in time:
    no such pair is ever written. The check is made by the very call that takes the permit, after
    the sleep and against starts that have happened, so no late or disordered wake-up, cancelled
    waiter or busy interpreter can break it.

    **The rate.** After idling, `burst` permits can be had at once; others follow at an even pace.
    Under constant demand 99.5 % of the limit is used: slots follow from slots, not from wake-ups,
    so whoever wakes late or leaves delays nobody.

    **The order.** First come, first served within a lane; queries before documents: a query gets
    the next slot, and the documents that have not started move back by one. While queries use up
    the whole rate, `document_share` of the permits go to the documents that wait.
    Nobody is woken up early, so a place given back goes to the next who asks, who may then start
    before others that sleep towards slots of their own.

    **Copies.** Copying, deep-copying and unpickling in one process give the same object; all that
    are unpickled from it in another process share one object there. The limit holds per process:
    a forked child counts anew, and says so once in its log.

    Args:
        requests_per_minute: The limit, at least 1. Default 3000.
        burst: Permits that can be had at once, 1 to `requests_per_minute`. Default: one second's
            worth, at least 1.
        document_share: Of the permits, 0 to 0.5, that documents have when there are more queries
            than permits. Default 0.05: a document after 19 queries.
        period: Seconds that the limit counts over, 60. Tests shorten it to see minutes pass.
        clock: Seconds that go on evenly. A step back is taken as time standing still.
        sleep: How a thread waits, in `acquire`.
        async_sleep: How a task waits, in `aacquire`.

    Raises:
        SettingsError: an argument is out of its range.
    """

    def __init__(  # noqa: PLR0913 - the last four are for tests
        self,
        requests_per_minute: int = 3000,
        *,
        burst: int | None = None,
        document_share: float = DOCUMENT_SHARE,
        period: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        async_sleep: Callable[[float], Awaitable[object]] = asyncio_sleep,
    ) -> None:
        requests_per_minute, burst = as_int(requests_per_minute), as_int(burst)
        check_limits(requests_per_minute, burst, period, document_share)
        self._settings = _Settings(
            requests_per_minute, burst, document_share, period, clock, sleep, async_sleep
        )
        burst = burst_of(requests_per_minute, burst)
        schedule = Schedule(requests_per_minute, burst, period, document_share)
        self._shared = SharedSchedule(schedule, clock)
        self._forked = False
        # Stands for this limiter in every process to which a pickle of it comes.
        self._token = uuid.uuid4().hex
        _this_process.add(self._token, self)

    @property
    def requests_per_minute(self) -> int:
        """The limit that holds now: another than asked for after `slow_to` or `change_to`."""
        return self._shared.schedule.limit

    @property
    def burst(self) -> int:
        """How many permits can be had at once after idling."""
        return self._shared.schedule.burst

    def reserve(self, lane: Lane = "document", max_wait: float | None = None) -> LocalReservation:
        """Line up for a permit without waiting for it.

        Args:
            lane: ``"query"`` goes before ``"document"``.
            max_wait: Seconds that the wait may take, as far as it is known now: queries that come
                later can make a document's longer. None: any.

        Returns:
            The reservation: ask `delay` until it is 0.0, or `give_back`.

        Raises:
            RateLimitedError: the wait is longer than `max_wait`; the line is as it was.
            SettingsError: there is no such lane.
        """
        self._check_use(lane)
        reservation = self._shared.reserve(lane, math.inf if max_wait is None else max_wait)
        if isinstance(reservation, LocalReservation):
            return reservation
        raise wait_too_long(
            reservation,
            max_wait or 0.0,
            f"{self.requests_per_minute} requests a minute are allowed, and these wait already: "
            f"{self._waiting()}",
        )

    def _hold(self, seconds: float) -> None:
        with self._shared.lock:
            self._shared.schedule.hold_until(self._shared.now() + seconds)

    penalize_soon = ReservingLimiter.penalize

    def note_start(self) -> None:
        """Count a start that another limiter has granted, as one of the last minute."""
        with self._shared.lock:
            self._shared.schedule.note(self._shared.now())

    def slow_to(self, requests_per_minute: int) -> None:
        """Let the lower of two limits hold; a higher one changes nothing.

        It is there for two endpoints of the same URL and key that name different limits. The
        burst shrinks along: to a second's worth, or to the limit if it was set.

        Raises:
            SettingsError: `requests_per_minute` is not an integer of at least 1.
        """
        check_limits(requests_per_minute)
        with self._shared.lock:
            if requests_per_minute < self._shared.schedule.limit:
                self._change_to(requests_per_minute)

    def change_to(self, requests_per_minute: int) -> None:
        """Go on with another limit, lower or higher; permits granted so far count.

        For those who wait the new pace holds when they next look, at the latest when the old one
        would have let them go.

        Raises:
            SettingsError: `requests_per_minute` is not an integer of at least 1.
        """
        check_limits(requests_per_minute)
        with self._shared.lock:
            self._change_to(requests_per_minute)

    def _change_to(self, requests_per_minute: int) -> None:
        burst = burst_of(requests_per_minute, self._settings.burst)
        self._shared.schedule.change(requests_per_minute, burst)

    def _start_at_once(self, lane: Lane) -> bool:
        """Take a permit if nobody waits and it is due: what nearly every request of a user is."""
        if self._forked or lane not in LANES:
            self._check_use(lane)
        return self._shared.start_unless_waiting()

    def _sleep(self, seconds: float) -> None:
        self._settings.sleep(seconds)

    async def _async_sleep(self, seconds: float) -> None:
        await self._settings.async_sleep(seconds)

    def _check_use(self, lane: Lane) -> None:
        check_lane(lane)
        if self._forked:
            self._forked = False
            _this_process.warn_of_fork()

    def _after_fork(self) -> None:
        self._shared.reset()
        self._forked = True

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__}: {self.requests_per_minute} per minute, burst {self.burst}; "
            f"waiting: {self._waiting()}>"
        )

    def _waiting(self) -> str:
        return ", ".join(f"{lane} {self._shared.schedule.waiting(lane)}" for lane in LANES)

    def __copy__(self) -> RequestsPerMinuteLimiter:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> RequestsPerMinuteLimiter:
        return self

    def __reduce__(
        self,
    ) -> tuple[Callable[..., RequestsPerMinuteLimiter], tuple[object, ...]]:
        # A limit that `slow_to` has brought below the burst is one that the constructor refuses.
        limit, burst = self.requests_per_minute, self._settings.burst
        settings = self._settings._replace(
            requests_per_minute=limit, burst=None if burst is None else min(burst, limit)
        )
        return _unpickled, (type(self), self._token, settings)


_this_process: PerProcess[RequestsPerMinuteLimiter] = PerProcess(
    "A rate limiter came into process %d by a fork and counts anew there: parent and child may "
    "each send at the full rate. Divide requests_per_minute by the number of processes."
)


def _unpickled(
    limiter_type: type[RequestsPerMinuteLimiter], token: str, settings: _Settings
) -> RequestsPerMinuteLimiter:
    """The one limiter of this process that all copies with this token are."""

    # Dask and Spark unpickle a copy for each partition. Each with a limit of its own would start
    # with a burst, and together they would send at many times the rate.
    def make() -> RequestsPerMinuteLimiter:
        limiter = limiter_type(**settings._asdict())
        limiter._token = token  # noqa: SLF001 - it is a copy of that one
        return limiter

    return _this_process.find_or_make(token, make)
