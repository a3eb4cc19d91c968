"""Taking turns in a line in Redis, and on this machine while Redis is away.

It knows one process's share in one limit: its clients, its local limit, whether Redis is there. It
must not know how anybody waits.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from langchain_hf_endpoint.errors import HFEndpointError, RateLimitedError
from langchain_hf_endpoint.redis.background import errands
from langchain_hf_endpoint.redis.client import AWAY, Line, RedisClients, error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from langchain_hf_endpoint.limiter.reservation import LocalLimiter, LocalTurn
    from langchain_hf_endpoint.limiter.schedule import Lane
    from langchain_hf_endpoint.redis.client import Answer

logger = logging.getLogger("langchain_hf_endpoint")

OnFailure: TypeAlias = Literal["raise", "local"]

TRY_AGAIN = 1.0  # seconds for which a Redis that was away is not asked
_TOLD_AT_ONCE = 1000  # starts


class Place(NamedTuple):
    """Where the limit is kept, and what happens while it cannot be reached.

    Attributes:
        url: It may hold a password.
        shown: The URL without it.
        timeout: Seconds for connecting, and for an answer.
        on_failure: What happens while Redis is away.
        local_limit: The share of the limit that holds then.
    """

    url: SecretStr
    shown: str
    timeout: float
    on_failure: OnFailure
    local_limit: int


class RedisDesk:
    """What one process shares of one limit.

    Args:
        line: The limit.
        place: Where it is kept.
        make_local: Makes the limiter that holds while Redis is away.
    """

    def __init__(self, line: Line, place: Place, make_local: Callable[[], LocalLimiter]) -> None:
        self.line = line
        self.place = place
        self.local = make_local()
        self._clients = RedisClients(place.url, place.timeout)
        self._lock = threading.Lock()
        self.is_away = False
        self._begun: int | None = None
        self._starts: deque[tuple[float, str]] = deque()
        self._said_lower: int | None = None

    def run(self, args: list[str]) -> Answer | None:
        """Run the script; None: Redis is away, and this process is to go on by itself.

        Raises:
            HFEndpointError: Redis is away, and nobody is to go on.
        """
        if self.is_away:
            return None
        try:
            answer = self._clients.run(self.line, args)
        except AWAY as error:
            self._failed(error)
            return None
        if self._has_news(answer):
            self._tell_soon()
        return self._answered(answer)

    async def arun(self, args: list[str]) -> Answer | None:
        """The async twin of `run`."""
        if self.is_away:
            return None
        try:
            answer = await self._clients.arun(self.line, args)
        except AWAY as error:
            self._failed(error)
            return None
        if self._has_news(answer):
            self._tell_soon()
        return self._answered(answer)

    def started(self, ticket: str, *, here: bool = False) -> None:
        """Remember a start, so that the log in Redis can be told what it does not know.

        Args:
            ticket: Whose.
            here: It was granted by the local limiter, which then knows of it.
        """
        now = time.monotonic()
        with self._lock:
            self._starts.append((now, ticket))
            while now - self._starts[0][0] > 2 * self.line.period:
                self._starts.popleft()
        if not here:
            self.local.note_start()

    def _has_news(self, answer: Answer) -> bool:
        """Whether Redis has lost what it knew."""
        begun, self._begun = self._begun, answer.begun
        return begun not in (None, answer.begun)

    def _tell_soon(self) -> None:
        def tell() -> None:
            with suppress(*AWAY):
                self._tell()

        errands.soon(tell)

    def _tell(self, hold: float = 0.0) -> None:
        """Tell Redis the starts of the last period; those that it knows are no news to it.

        Args:
            hold: Seconds in which nobody is to start.
        """
        now = time.monotonic()
        with self._lock:
            starts = [(ticket, now - moment) for moment, ticket in self._starts]
        for first in range(0, len(starts) or 1, _TOLD_AT_ONCE):
            told = self.line.tell(starts[first : first + _TOLD_AT_ONCE], hold)
            self._begun = self._clients.run(self.line, told).begun

    def _failed(self, error: Exception) -> None:
        if self.place.on_failure == "raise":
            _without_frames(error)
            raise error_of(error, self.place.shown) from error
        with self._lock:
            is_news, self.is_away = not self.is_away, True
        if not is_news:
            return
        logger.warning(
            "%s keeps the rate limit %r and does not answer (%s): this process goes on with "
            "%d requests a minute until it does",
            self.place.shown,
            self.line.key,
            type(error).__name__,
            self.place.local_limit,
        )
        watch = threading.Thread(target=self._watch, name="hf-endpoint-redis", daemon=True)
        watch.start()

    def _watch(self) -> None:
        """Look for Redis until it answers; what was granted here meanwhile is told first."""
        while self.is_away:
            time.sleep(TRY_AGAIN)
            with suppress(*AWAY):
                # All who were without it come back within this time, and tell theirs.
                self._tell(hold=2 * TRY_AGAIN)
                self.is_away = False
                logger.warning("%s is back: the shared rate limit holds", self.place.shown)

    def _answered(self, answer: Answer) -> Answer:
        if answer.limit and answer.limit not in (self.line.limit, self._said_lower):
            self._said_lower = answer.limit
            logger.warning(
                "the rate limit %r in Redis is used with %d and with %d requests a minute: the "
                "lower holds for all",
                self.line.key,
                self.line.limit,
                answer.limit,
            )
        return answer


class RedisTurn:
    """A place in a line in Redis, made by ``RedisRequestsPerMinuteLimiter.reserve``.

    It lines up when it is first asked, and may be asked from any thread or loop, by one at a time.
    One that is forgotten frees its place when it is collected; one whose process is killed, a tenth
    of a minute after its start was due.

    Attributes:
        lane: The lane it waits in.
        started_at: When the permit was taken, by the clock of Redis (of this process, while Redis
            is away), in seconds; None before that.
    """

    __slots__ = ("__weakref__", "_desk", "_in_line", "_local", "_max_wait", "_ticket", "lane",
                 "started_at")  # fmt: skip

    def __init__(self, desk: RedisDesk, lane: Lane, max_wait: float | None) -> None:
        self.lane: Lane = lane
        self.started_at: float | None = None
        self._desk = desk
        self._max_wait = max_wait
        self._ticket = uuid.uuid4().hex  # empty once given back
        self._in_line = False  # whether Redis may know the ticket
        self._local: LocalTurn | None = None

    def wait(self) -> float:
        """How long to sleep before asking again, in seconds; blocks for the journey to Redis.

        0.0 means that the permit is taken, by this very call: send now. One sleep is enough unless
        queries went before this document meanwhile, or the server asked for a pause.

        Raises:
            RateLimitedError: The wait is longer than `max_wait`; the line is as it was.
            TransportError: Redis does not answer (with ``on_failure="raise"``).
            HFEndpointError: It refuses the user, or cannot run the script.
            RuntimeError: The turn was given back before it started.
        """
        if self._is_settled():
            return self._wait_here()
        question = self._question()
        try:
            answer = self._desk.run(question)
        except HFEndpointError:
            self._in_line = False  # if the question arrived all the same, its place will lapse
            raise
        return self._read(answer)

    async def await_(self) -> float:
        """The async twin of `wait`."""
        if self._is_settled():
            return self._wait_here()
        question = self._question()
        try:
            answer = await self._desk.arun(question)
        except HFEndpointError:
            self._in_line = False
            raise
        return self._read(answer)

    def give_back(self) -> None:
        """Leave the line, if still in it; the next who asks takes the place. Does not wait."""
        self._ticket, ticket = "", self._ticket
        if self._local is not None:
            self._local.give_back()
        if ticket and self._in_line and (self.started_at is None or self._local is not None):
            desk, args = self._desk, self._desk.line.leave(ticket)
            errands.soon(lambda: desk.run(args))

    def _is_settled(self) -> bool:
        """Whether there is nothing to ask Redis; who waits here moves there once it is back."""
        if self.started_at is None and self._local is not None and not self._desk.is_away:
            self._local.give_back()
            self._local = None
        return self.started_at is not None or self._local is not None

    def _question(self) -> list[str]:
        if not self._ticket:
            raise RuntimeError("This turn was given back: reserve another one.")
        self._in_line = True
        return self._desk.line.ask(self._ticket, self.lane, self._max_wait)

    def _read(self, answer: Answer | None) -> float:
        if answer is None:
            return self._wait_here()
        if answer.started:
            self.started_at = answer.now
            self._desk.started(self._ticket)
            return 0.0
        if answer.is_waiting:
            return max(answer.seconds, 1e-6)
        self._in_line = False
        raise RateLimitedError(
            f"The next free start is {answer.seconds:.3g} s away, more than the "
            f"{self._max_wait or 0:g} s that this request may wait: {answer.limit} requests a "
            f"minute are allowed to all that share the limit {self._desk.line.key!r} in Redis",
            advice="Raise max_wait, send fewer requests at once, or raise requests_per_minute "
            "if the server allows more.",
        )

    def _wait_here(self) -> float:
        """Wait in this process's own line: Redis was away when we asked."""
        if self.started_at is not None:
            return 0.0
        if self._local is None:
            self._local = self._desk.local.reserve(self.lane, self._max_wait)
        seconds = self._local.wait()
        if not seconds:
            self.started_at = time.time()
            self._desk.started(self._ticket, here=True)
        return min(seconds, TRY_AGAIN)  # by then Redis may be back

    def __del__(self) -> None:
        if self._ticket:
            self.give_back()

    def __repr__(self) -> str:
        if self.started_at is not None:
            return f"<Turn of a {self.lane}: started at {self.started_at:.3f}>"
        return f"<Turn of a {self.lane}: {'waiting' if self._ticket else 'given back'}>"


def _without_frames(error: BaseException) -> None:
    """The frames of redis-py have the URL's password among their locals."""
    seen: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in seen:
        seen.append(behind)
        behind.__traceback__ = None
        behind = behind.__cause__ or behind.__context__
