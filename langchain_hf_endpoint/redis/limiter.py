"""Limit requests per minute for all processes and machines that share a Redis.

``pip install "langchain-hf-endpoint[redis]"`` brings redis-py. A Redis 7 or later keeps the count.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from langchain_hf_endpoint._lifecycle import ProcessCache
from langchain_hf_endpoint._package import LazyModule, missing_extra
from langchain_hf_endpoint._validation import as_int
from langchain_hf_endpoint.errors import MissingExtraError, SettingsError
from langchain_hf_endpoint.limiter import Lane, RequestsPerMinuteLimiter
from langchain_hf_endpoint.limiter.reservation import (
    ReservingLimiter,
    burst_of,
    check_lane,
    check_limits,
)
from langchain_hf_endpoint.limiter.schedule import DOCUMENT_SHARE, queries_per_document
from langchain_hf_endpoint.redis.background import background

if TYPE_CHECKING:
    from langchain_hf_endpoint.redis import client, reservation
    from langchain_hf_endpoint.redis.reservation import (
        OnFailure,
        RedisReservation,
        RedisReservations,
    )
else:  # they need redis-py, which may not be there
    client = LazyModule("langchain_hf_endpoint.redis.client")
    reservation = LazyModule("langchain_hf_endpoint.redis.reservation")

__all__ = ["MissingExtraError", "RedisRequestsPerMinuteLimiter"]

_POLICIES = ("raise", "local")


class _Settings(NamedTuple):
    """The constructor's arguments: all that a limiter holds, and what a pickle carries."""

    requests_per_minute: int
    url: SecretStr | None
    url_env: str | None
    key: str
    burst: int | None
    document_share: float
    on_failure: OnFailure
    expected_workers: int | None
    timeout: float
    period: float


class RedisRequestsPerMinuteLimiter(ReservingLimiter):
    """At most so many requests in any 60 seconds, from all processes and machines together.

    It keeps the promises of `RequestsPerMinuteLimiter` among all that use one Redis and one `key`:
    one permit is one HTTP request; at most `requests_per_minute` of them start in any 60 seconds of
    Redis' own clock, which a single atomic script decides; one who waits sleeps exactly until it is
    due; first come first served within a lane, queries before documents; one who gives up gives its
    place back, and the place of a process that was killed lapses a tenth of a minute after its
    start was due. Under constant demand 99 % of the limit is used.

    **When Redis is away**, ``on_failure="raise"`` raises a `TransportError` within `timeout`
    seconds; ``"local"`` goes on with ``requests_per_minute / expected_workers`` in each process,
    looks for Redis once a second, and goes back to the shared limit when it answers, those who wait
    included. Neither ever lets requests through without a limit. Each process remembers its starts
    of the last minute, and tells Redis those that it does not know: what was granted meanwhile, or
    was lost in a restart. So in any minute at most the limit starts, and what one process was
    granted by itself.

    **Different limits under one key**: the lowest holds for as long as somebody asks with it, and
    two minutes longer.

    **Copies and pickles** are cheap: an object holds its arguments only. Connections are made in
    the process, and on the event loop, where they are used. Pickles go to workers, and hold the
    URL in clear, with the password if there is one in it: `url_env` avoids that.

    Example:
        .. code-block:: python

            limiter = RedisRequestsPerMinuteLimiter(3000, url="redis://host:6379/0", key="e5")
            embeddings = HFEndpointEmbeddings(url="https://…", rate_limiter=limiter)

    **Those who share it** also tell one another, for an hour, how many requests fill a server and
    how large one may be: who begins later need not find it out again.

    Args:
        requests_per_minute: The limit, at least 1. Default 3000.
        url: Of the Redis: ``redis://``, ``rediss://`` or ``unix://``, with options of redis-py.
        url_env: Instead of `url`: the environment variable that holds it where it is used.
        key: Who uses the same one shares the limit: one key for each endpoint and account.
        burst: Permits that can be had at once, 1 to `requests_per_minute`. Default: one second's
            worth, at least 1.
        document_share: Of the permits, 0 to 0.5, that documents have when there are more queries
            than permits. Default 0.05.
        on_failure: ``"raise"`` or ``"local"``, see above.
        expected_workers: For ``"local"``: how many processes share the limit, at most as many as
            requests. Required there.
        timeout: Seconds for connecting to Redis, and for its answer.
        period: Seconds that the limit counts over, 60. Tests shorten it to see minutes pass.

    Raises:
        SettingsError: An argument is out of its range.
        MissingExtraError: redis-py is not installed.
    """

    def __init__(  # noqa: PLR0913 - what a user may decide
        self,
        requests_per_minute: int = 3000,
        *,
        url: SecretStr | str | None = None,
        url_env: str | None = None,
        key: str,
        burst: int | None = None,
        document_share: float = DOCUMENT_SHARE,
        on_failure: OnFailure = "raise",
        expected_workers: int | None = None,
        timeout: float = 5.0,
        period: float = 60.0,
    ) -> None:
        requests_per_minute, burst = as_int(requests_per_minute), as_int(burst)
        check_limits(requests_per_minute, burst, period, document_share)
        secret = SecretStr(url) if isinstance(url, str) else url
        self._settings = _Settings(
            requests_per_minute,
            secret,
            url_env,
            key,
            burst,
            document_share,
            on_failure,
            as_int(expected_workers),
            timeout,
            period,
        )
        _check(self._settings)

    @property
    def requests_per_minute(self) -> int:
        """The limit that was asked for."""
        return self._settings.requests_per_minute

    @property
    def burst(self) -> int:
        """How many permits can be had at once after idling."""
        return burst_of(self._settings.requests_per_minute, self._settings.burst)

    @property
    def key(self) -> str:
        """What tells this limit apart in its Redis."""
        return self._settings.key

    def reserve(self, lane: Lane = "document", max_wait: float | None = None) -> RedisReservation:
        """Make a reservation, which lines up when it is first asked. Nothing is sent yet.

        Args:
            lane: ``"query"`` goes before ``"document"``.
            max_wait: Seconds that the wait may take, as far as it is known when the reservation is
                first asked, which raises a `RateLimitedError` where it takes longer. None: any.

        Returns:
            The reservation: ask `delay` (or await `adelay`) until it is 0.0, or `give_back`.

        Raises:
            SettingsError: There is no such lane, or `url_env` names no variable that holds a URL.
        """
        check_lane(lane)
        return reservation.RedisReservation(self._shared(), lane, max_wait)

    def _hold(self, seconds: float) -> None:
        shared = self._shared()
        if shared.run(shared.limit.hold(seconds)) is None:
            shared.local.penalize(seconds)

    def penalize_soon(self, seconds: float) -> None:
        """Like `penalize`, without waiting for Redis, nor for an error of it."""
        # Called for replies that arrive on event loops too, where a journey would hold up every
        # task.
        background.run_soon(lambda: self.penalize(seconds))

    @property
    def fact_sharing(self) -> RedisReservations:
        """Through the same Redis, for an hour."""
        return self._shared()

    def _shared(self) -> RedisReservations:
        settings = self._settings
        return _this_process.find_or_make(settings, lambda: _share_limit(settings))

    def __repr__(self) -> str:
        settings = self._settings
        where = f"${settings.url_env}"
        if settings.url is not None:
            where = client.shown_url(settings.url.get_secret_value())
        return (
            f"<{type(self).__name__}: {settings.requests_per_minute} per minute, burst "
            f"{self.burst}, key {settings.key!r} at {where}>"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RedisRequestsPerMinuteLimiter):
            return NotImplemented
        return self._settings == other._settings

    def __hash__(self) -> int:
        return hash(self._settings)


def _check(settings: _Settings) -> None:
    try:
        problem_with_url = client.problem_with_url
    except ModuleNotFoundError as error:
        raise missing_extra("The shared rate limit", "redis", error) from error
    problems = []
    if (settings.url is None) == (settings.url_env is None):
        problems.append(("url", "give either url or url_env"))
    elif settings.url and (problem := problem_with_url(settings.url.get_secret_value())):
        problems.append(("url", problem))
    if not isinstance(settings.key, str) or not settings.key or set("{}") & set(settings.key):
        problems.append(("key", "must be a text of at least one character, without braces"))
    if settings.on_failure not in _POLICIES:
        problems.append(("on_failure", f"must be 'raise' or 'local', not {settings.on_failure!r}"))
    problems += _problems_with_workers(settings)
    if not 0 < settings.timeout < math.inf:
        allowed = "must be a positive number of seconds"
        problems.append(("timeout", f"{allowed}, not {settings.timeout!r}"))
    if problems:
        raise SettingsError(*problems)


def _problems_with_workers(settings: _Settings) -> list[tuple[str, str]]:
    workers, limit = settings.expected_workers, settings.requests_per_minute
    if workers is None:
        allowed = "with on_failure='local': the number of processes that share the limit"
        is_lacking = settings.on_failure == "local"
        return [("expected_workers", f"is required {allowed}")] if is_lacking else []
    if not isinstance(workers, int) or workers < 1:
        return [("expected_workers", f"must be an integer of at least 1, not {workers!r}")]
    if workers > limit:
        allowed = f"requests_per_minute ({limit}), since each needs one at least"
        return [("expected_workers", f"must be at most {allowed}, not {workers}")]
    return []


def _share_limit(settings: _Settings) -> RedisReservations:
    limit, period = settings.requests_per_minute, settings.period
    url = settings.url or _from_environment(settings.url_env or "")
    # Without workers `on_failure` is "raise", and nobody ever asks the local limiter.
    share = limit // (settings.expected_workers or limit)
    per_document = queries_per_document(settings.document_share)
    burst = burst_of(limit, settings.burst)
    return reservation.RedisReservations(
        client.SharedLimit(settings.key, limit, burst, period, per_document),
        client.RedisClients(url, settings.timeout),
        client.shown_url(url.get_secret_value()),
        settings.on_failure,
        RequestsPerMinuteLimiter(
            share,
            burst=None if settings.burst is None else min(settings.burst, share),
            document_share=settings.document_share,
            period=period,
        ),
    )


def _from_environment(name: str) -> SecretStr:
    url = os.environ.get(name, "").strip()
    if not url:
        raise SettingsError(("url_env", f"{name} is not set in the environment of this process"))
    if problem := client.problem_with_url(url):
        raise SettingsError(("url_env", f"{name} {problem}"))
    return SecretStr(url)


_this_process: ProcessCache[_Settings, RedisReservations] = ProcessCache()
