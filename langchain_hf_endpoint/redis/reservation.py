"""Ask for permits of a limit in Redis, and of one in this process while Redis is away."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_hf_endpoint.errors import HFEndpointError
from langchain_hf_endpoint.limiter.reservation import Reservation, wait_too_long
from langchain_hf_endpoint.redis.background import background
from langchain_hf_endpoint.redis.client import AWAY, error_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter
    from langchain_hf_endpoint.limiter.schedule import Lane
    from langchain_hf_endpoint.redis.client import RedisClients, ScriptAnswer, SharedLimit

logger = logging.getLogger("langchain_hf_endpoint")

OnFailure: TypeAlias = Literal["raise", "local"]

TRY_AGAIN = 1.0  # seconds for which a Redis that was away is not asked
_TOLD_AT_ONCE = 1000  # starts


class RedisReservations:
    """What one process has to do with one limit in Redis.

    Args:
        limit: The limit.
        clients: The connections to its Redis.
        server: That Redis, as it may be shown.
        on_failure: What happens while Redis is away.
        local: The limiter that holds then.
    """

    def __init__(
        self,
        limit: SharedLimit,
        clients: RedisClients,
        server: str,
        on_failure: OnFailure,
        local: RequestsPerMinuteLimiter,
    ) -> None:
        self.limit = limit
        self.local = local
        self.is_away = False
        self._clients = clients
        self._server = server
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._begun: int | None = None
        self._starts: deque[tuple[float, str]] = deque()
        self._lower_logged: int | None = None

    def run(self, args: list[str]) -> ScriptAnswer | None:
        """Run the script; None: Redis is away, and this process is to go on by itself.

        Raises:
            HFEndpointError: Redis is away, and nobody is to go on.
        """
        # Only `_watch` asks a Redis that is away. Else each caller would wait for `timeout` first,
        # and `give_back` would queue up behind it.
        if self.is_away:
            return None
        try:
            return self._noted(self._clients.run(self.limit, args))
        except AWAY as error:
            self._failed(error)
            return None

    async def arun(self, args: list[str]) -> ScriptAnswer | None:
        """The async twin of `run`."""
        if self.is_away:
            return None
        try:
            return self._noted(await self._clients.arun(self.limit, args))
        except AWAY as error:
            self._failed(error)
            return None

    def facts(self, server: str) -> Mapping[str, int]:
        """As `FactSharing.facts`; none while Redis is away."""
        answer = self.run(self.limit.facts(server))
        return answer.facts if answer else {}

    async def afacts(self, server: str) -> Mapping[str, int]:
        """The async twin of `facts`."""
        answer = await self.arun(self.limit.facts(server))
        return answer.facts if answer else {}

    def tell_soon(self, server: str, facts: Mapping[str, int]) -> None:
        """As `FactSharing.tell_soon`."""
        background.run_soon(lambda: self.run(self.limit.facts(server, facts)))

    def started(self, ticket: str, *, here: bool = False) -> None:
        """Remember a start, so that the log in Redis can be told what it does not know.

        Args:
            ticket: Whose.
            here: It was granted by the local limiter, which then knows of it.
        """
        now = time.monotonic()
        with self._lock:
            self._starts.append((now, ticket))
            while now - self._starts[0][0] > 2 * self.limit.period:
                self._starts.popleft()
        # The local limiter counts it too: in an outage, what this process started in the last
        # minute is part of its share.
        if not here:
            self.local.note_start()

    def _noted(self, answer: ScriptAnswer) -> ScriptAnswer:
        """See whether Redis has lost what it knew, and whether others ask with another limit."""
        begun, self._begun = self._begun, answer.begun
        # Redis was restarted or flushed, and its log is empty: it would allow a whole new minute.
        if begun not in (None, answer.begun):
            background.run_soon(self._tell)
        if answer.limit and answer.limit not in (self.limit.limit, self._lower_logged):
            self._lower_logged = answer.limit
            logger.warning(
                "the rate limit %r in Redis is used with %d and with %d requests a minute: the "
                "lower holds for all",
                self.limit.key,
                self.limit.limit,
                answer.limit,
            )
        return answer

    def _tell(self, hold: float = 0.0) -> None:
        """Tell Redis the starts of the last period; those that it knows are no news to it.

        Args:
            hold: Seconds in which nobody is to start.
        """
        now = time.monotonic()
        with self._lock:
            starts = [(ticket, now - moment) for moment, ticket in self._starts]
        # Once at least: the pause is to hold also where there are no starts to tell.
        for first in range(0, len(starts) or 1, _TOLD_AT_ONCE):
            told = self.limit.tell(starts[first : first + _TOLD_AT_ONCE], hold)
            self._begun = self._clients.run(self.limit, told).begun

    def _failed(self, error: Exception) -> None:
        if self._on_failure == "raise":
            _drop_frames(error)
            raise error_of(error, self._server) from error
        with self._lock:
            # One watcher, however many callers fail at the same time.
            was_away, self.is_away = self.is_away, True
        if was_away:
            return
        logger.warning(
            "%s keeps the rate limit %r and does not answer (%s): this process goes on with "
            "%d requests a minute until it does",
            self._server,
            self.limit.key,
            type(error).__name__,
            self.local.requests_per_minute,
        )
        watch = threading.Thread(target=self._watch, name="hf-endpoint-redis", daemon=True)
        try:
            watch.start()
        except (RuntimeError, MemoryError):
            self.is_away = False  # nobody would look for it: the next one asks it again

    def _watch(self) -> None:
        """Look for Redis until it answers; what was granted here meanwhile is told first."""
        while self.is_away:
            time.sleep(TRY_AGAIN)
            with suppress(*AWAY):
                # All who were without it come back within this time, and tell theirs.
                self._tell(hold=2 * TRY_AGAIN)
                self.is_away = False
                logger.warning("%s is back: the shared rate limit holds", self._server)


class RedisReservation(Reservation):
    """A place in the line that Redis keeps; asking takes a journey there.

    It lines up when it is first asked. The place of a process that was killed is freed a tenth of a
    minute after its start was due. `started_at` is by the clock of Redis, or of this process while
    Redis is away.
    """

    __slots__ = ("_in_line", "_local", "_max_wait", "_shared", "_ticket")

    is_remote = True

    def __init__(self, shared: RedisReservations, lane: Lane, max_wait: float | None) -> None:
        super().__init__(lane)
        self._shared = shared
        self._max_wait = max_wait
        # Redis knows the start by this name: a question that is sent again after a lost answer
        # takes one permit, not two.
        self._ticket = uuid.uuid4().hex  # empty once given back
        self._in_line = False  # whether Redis may know the ticket
        self._local: Reservation | None = None

    def delay(self) -> float:
        """As `Reservation.delay`; blocks for the journey to Redis."""
        if self._asks_here():
            return self._local_delay()
        with self._asking() as question:
            answer = self._shared.run(question)
        return self._read(answer)

    async def adelay(self) -> float:
        """The async twin of `delay`."""
        if self._asks_here():
            return self._local_delay()
        with self._asking() as question:
            answer = await self._shared.arun(question)
        return self._read(answer)

    def give_back(self) -> None:
        """As `Reservation.give_back`."""
        self._ticket, ticket = "", self._ticket
        if self._local is not None:
            self._local.give_back()
        # A start that Redis granted is spent. One that was granted here leaves a place in the line
        # of Redis, if the question had arrived there before the outage.
        if ticket and self._in_line and (self.started_at is None or self._local is not None):
            shared, args = self._shared, self._shared.limit.leave(ticket)
            background.run_soon(lambda: shared.run(args))

    def _asks_here(self) -> bool:
        """Whether there is nothing to ask Redis; who waits here moves there once it is back."""
        if self.started_at is None and self._local is not None and not self._shared.is_away:
            self._local.give_back()
            self._local = None
        return self.started_at is not None or self._local is not None

    @contextmanager
    def _asking(self) -> Iterator[list[str]]:
        if not self._ticket:
            raise RuntimeError("This turn was given back: reserve another one.")
        # Before the question leaves: whoever is cancelled meanwhile cannot know whether it arrived.
        self._in_line = True
        try:
            yield self._shared.limit.ask(self._ticket, self.lane, self._max_wait)
        except HFEndpointError:
            self._in_line = False  # if the question arrived all the same, its place will lapse
            raise

    def _read(self, answer: ScriptAnswer | None) -> float:
        if answer is None:
            return self._local_delay()
        if answer.started:
            self.started_at = answer.now
            self._shared.started(self._ticket)
            return 0.0
        if answer.is_waiting:
            # Never 0.0, which would say that the permit is taken.
            return max(answer.seconds, 1e-6)
        self._in_line = False
        raise wait_too_long(
            answer.seconds,
            self._max_wait or 0.0,
            f"{answer.limit} requests a minute are allowed to all that share the limit "
            f"{self._shared.limit.key!r} in Redis",
        )

    def _local_delay(self) -> float:
        """Wait in this process's own line: Redis was away when we asked."""
        if self.started_at is not None:
            return 0.0
        if self._local is None:
            self._local = self._shared.local.reserve(self.lane, self._max_wait)
        seconds = self._local.delay()
        if not seconds:
            self.started_at = time.time()
            self._shared.started(self._ticket, here=True)
        return min(seconds, TRY_AGAIN)  # by then Redis may be back

    @property
    def _is_waiting(self) -> bool:
        return bool(self._ticket)

    def __del__(self) -> None:
        if self._ticket:
            self.give_back()


def _drop_frames(error: BaseException) -> None:
    """The frames of redis-py have the URL's password among their locals."""
    seen: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in seen:
        seen.append(behind)
        behind.__traceback__ = None
        behind = behind.__cause__ or behind.__context__
