"""Ask a limiter for a permit without waiting: a reservation tells how long to sleep."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_hf_endpoint._lifecycle import asyncio_sleep
from langchain_hf_endpoint.errors import RateLimitedError, SettingsError
from langchain_hf_endpoint.limiter.schedule import LANES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint.limiter.schedule import Lane


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
    def _is_waiting(self) -> bool:
        return True

    def __repr__(self) -> str:
        if self.started_at is not None:
            return f"<Turn of a {self.lane}: started at {self.started_at:.3f}>"
        return f"<Turn of a {self.lane}: {'waiting' if self._is_waiting else 'given back'}>"


Turn = Reservation


class FactSharing(Protocol):
    """How those who share a limiter tell one another what they found out about a server."""

    def facts(self, server: str) -> Mapping[str, int]:
        """What others have told; blocks, and fails, as `Reservation.delay` does."""

    async def afacts(self, server: str) -> Mapping[str, int]:
        """The async twin of `facts`."""

    def tell_soon(self, server: str, facts: Mapping[str, int]) -> None:
        """Tell the others, without waiting until they know, nor for an error."""


class ReservingLimiter(BaseRateLimiter):
    """A limiter that gives a place at once and the permit when its moment has come."""

    @property
    def fact_sharing(self) -> FactSharing | None:
        """None where it is one process's own."""
        return None

    @property
    @abstractmethod
    def requests_per_minute(self) -> int:
        """The limit that holds now."""

    @abstractmethod
    def reserve(self, lane: Lane = "document", max_wait: float | None = None) -> Reservation:
        """Line up for a permit without waiting for it."""

    def penalize(self, seconds: float) -> None:
        """Let nobody start for so long, because the server said so.

        Those who wait keep their order and go on at the even pace afterwards, without a burst. Of
        several penalties at once, the one that ends last holds.

        Args:
            seconds: Zero or less does nothing.

        Raises:
            SettingsError: `seconds` is infinite or not a number.
            HFEndpointError: A limiter that is kept elsewhere does not answer, or refuses.
        """
        if not math.isfinite(seconds):
            raise SettingsError(("seconds", f"must be finite, not {seconds}"))
        if seconds > 0:
            self._hold(seconds)

    @abstractmethod
    def _hold(self, seconds: float) -> None: ...

    @abstractmethod
    def penalize_soon(self, seconds: float) -> None:
        """`penalize`, without waiting until all know of it, nor for an error."""

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
                # On Ctrl-C above all: the start of a place that nobody comes for passes unused.
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


# One object for all who get one: a permit that is taken can neither wait nor be given back.
_TAKEN = _TakenPermit("document")


class _BlockingReservation(Reservation):
    """A permit of a limiter that knows no reservations: asking for it waits until it is there."""

    __slots__ = ("_limiter",)

    is_remote = True

    def __init__(self, limiter: BaseRateLimiter, lane: Lane) -> None:
        super().__init__(lane)
        self._limiter = limiter

    def delay(self) -> float:
        # LangChain's interface neither tells a wait beforehand nor knows lanes: `max_wait` and the
        # order of queries cannot be kept here.
        self._limiter.acquire(blocking=True)
        return 0.0

    async def adelay(self) -> float:
        await self._limiter.aacquire(blocking=True)
        return 0.0

    def give_back(self) -> None:
        pass  # such a permit cannot be given back


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


def check_lane(lane: Lane) -> None:
    """Refuse a lane that there is not.

    Raises:
        SettingsError: It is none.
    """
    if lane not in LANES:
        raise SettingsError(("lane", f"must be 'query' or 'document', not {lane!r}"))


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
