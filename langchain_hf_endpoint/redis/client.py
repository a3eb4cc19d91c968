"""Ask the script in Redis which keeps a limit: its arguments, its answers, its errors."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict
from urllib.parse import urlsplit

import orjson
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from langchain_hf_endpoint._lifecycle import PerLoop
from langchain_hf_endpoint.errors import (
    AuthenticationError,
    HFEndpointError,
    ServerError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr
    from redis.commands.core import AsyncScript, Script

    from langchain_hf_endpoint.limiter.schedule import Lane

AWAY = (redis.RedisError, OSError)
"""What redis-py raises when there is no answer, or none that is of use."""

_PARTS = ("state", "log", "queries", "documents", "told", "facts")
_MICRO = 1_000_000


class ScriptAnswer(NamedTuple):
    """What the script says."""

    started: bool  # the permit is taken
    is_waiting: bool  # the ticket stands in the line
    seconds: float  # that it has to wait
    limit: int  # that holds, per period
    now: float  # the server's clock, in seconds
    begun: int  # when what is kept there was begun; another one: all was lost meanwhile
    facts: Mapping[str, int] = {}  # what was told of a server, where that was asked


class SharedLimit(NamedTuple):
    """What all that use one key ought to agree on."""

    key: str
    limit: int
    burst: int
    period: float
    queries_per_document: int

    def keys(self) -> list[str]:
        """Where it is kept; the braces keep it on one shard of a cluster."""
        return [f"hf-endpoint:{{{self.key}}}:{part}" for part in _PARTS]

    def ask(self, ticket: str, lane: Lane, max_wait: float | None) -> list[str]:
        """The arguments for asking, which lines up who is not in the line."""
        longest = -1 if max_wait is None else max(0, round(max_wait * _MICRO))
        period = round(self.period * _MICRO)
        numbers = (self.limit, self.burst, period, longest, self.queries_per_document)
        return ["ask", ticket, lane, *map(str, numbers)]

    def leave(self, ticket: str) -> list[str]:
        """The arguments for leaving the line."""
        return ["leave", ticket]

    def tell(self, starts: Sequence[tuple[str, float]], hold: float) -> list[str]:
        """The arguments for telling starts: ticket, and how many seconds ago.

        Args:
            starts: Those that Redis may not know.
            hold: Seconds in which nobody is to start.
        """
        told = [part for ticket, age in starts for part in (ticket, str(round(age * _MICRO)))]
        return ["tell", str(round(self.period * _MICRO)), str(round(hold * _MICRO)), *told]

    def facts(self, server: str, told: Mapping[str, int] | None = None) -> list[str]:
        """The arguments for telling facts about a server; without any, for asking."""
        return [
            "facts",
            server,
            orjson.dumps(told or {}).decode(),
            str(round(self.period * _MICRO)),
        ]

    def hold(self, seconds: float) -> list[str]:
        """The arguments for letting nobody start for so long."""
        return ["hold", str(round(seconds * _MICRO)), str(round(self.period * _MICRO))]


@functools.cache
def _script() -> str:
    here = resources.files("langchain_hf_endpoint.redis")
    return (here / "limit.lua").read_text(encoding="utf-8")


class _Options(TypedDict):
    socket_timeout: float
    socket_connect_timeout: float


class RedisClients:
    """Asks one Redis, from threads and from event loops. Belongs to one process.

    Args:
        url: May hold a password.
        timeout: Seconds for connecting, and for an answer.
    """

    def __init__(self, url: SecretStr, timeout: float) -> None:
        self._url = url
        self._options: _Options = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
        self._sync: Script | None = None
        self._of_loop = PerLoop(self._async_script)

    def run(self, limit: SharedLimit, args: Sequence[str]) -> ScriptAnswer:
        """Run the script; blocks for the journey."""
        if self._sync is None:
            # Two threads may each make one: it opens no connection by itself. A question is sent
            # once more after a restart, whose connections are broken while new ones are not.
            retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
            client = redis.Redis.from_url(
                self._url.get_secret_value(), retry=retry, **self._options
            )
            # A registered script is sent once more where a Redis that was restarted does not know
            # it; a bare EVALSHA would fail for ever.
            self._sync = client.register_script(_script())
        return _answer(self._sync(limit.keys(), args))

    async def arun(self, limit: SharedLimit, args: Sequence[str]) -> ScriptAnswer:
        """The async twin of `run`."""
        held = await self._of_loop.get()
        try:
            return _answer(await held.script(limit.keys(), args))
        except redis.ConnectionError as error:
            # The loop asks for a host's address in a thread: there is none left, or the main thread
            # has ended.
            if not isinstance(error.__cause__, RuntimeError):
                raise
        return self.run(limit, args)

    def _async_script(self) -> _AsyncScript:
        retry = AsyncRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
        client = redis.asyncio.Redis.from_url(
            self._url.get_secret_value(), retry=retry, **self._options
        )
        return _AsyncScript(client, client.register_script(_script()))


class _AsyncScript(NamedTuple):
    client: redis.asyncio.Redis
    script: AsyncScript

    async def aclose(self) -> None:
        await self.client.aclose()


def _answer(raw: Sequence[Any]) -> ScriptAnswer:
    kind, wait, limit, now, begun, *facts = raw
    told = orjson.loads(facts[0]) if facts else {}
    return ScriptAnswer(kind == 0, kind == 1, wait / _MICRO, limit, now / _MICRO, begun, told)


def shown_url(url: str) -> str:
    """The URL without user, password and options: for people."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def problem_with_url(url: str) -> str | None:
    """What is wrong with a URL; the words do not repeat it."""
    try:
        # It reads the whole URL and connects nowhere.
        redis.ConnectionPool.from_url(url)
    except (ValueError, TypeError, redis.RedisError):
        return (
            "must be a URL of Redis, such as redis://host:6379/0, rediss://user:password@host or "
            "unix:///path, with options that redis-py knows"
        )
    return None


def error_of(error: Exception, server: str) -> HFEndpointError:
    """An error of redis-py in the words of this package."""
    advice = (
        'on_failure="local" goes on with a share of the limit while Redis is away; what was '
        "embedded so far is kept either way."
    )
    kind: type[HFEndpointError] = TransportError
    what = "the Redis that keeps the rate limit does not answer"
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.NoPermissionError)):
        kind, what = AuthenticationError, "the Redis that keeps the rate limit refuses the user"
        advice = "Check user and password in the limiter's URL, and what the user may do."
    elif isinstance(error, redis.ResponseError):
        kind, what = ServerError, "the Redis that keeps the rate limit cannot run its script"
        advice = f"It must be Redis 7 or later that can be written to. {advice}"
    return kind(f"{what}: {type(error).__name__}: {str(error)[:300]}", advice=advice, host=server)
