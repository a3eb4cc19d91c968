"""Limiters of so many permits a second, each with the two calls that it may have."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@dataclass(frozen=True)
class Limiter:
    """A limiter as it is asked.

    Attributes:
        acquire: For threads; None where it has nothing for them.
        aacquire: For tasks.
        window: A lone caller's permit is due a second after the one N places before it; otherwise
            an Nth of a second after the one before.
        asked: The object behind, where more than the two calls is asked of it.
    """

    acquire: Callable[[], object] | None
    aacquire: Callable[[], Awaitable[object]]
    window: bool = False
    asked: Any = None


def ours(limit: int) -> Limiter:
    from langchain_hf_endpoint import RequestsPerMinuteLimiter

    # The "minute" is a second long here, so that many of them pass.
    own = RequestsPerMinuteLimiter(limit, period=1.0, burst=max(1, limit // 60))
    return Limiter(own.acquire, own.aacquire, asked=own)


def _langchain(limit: int, **settings: float) -> Limiter:
    from langchain_core.rate_limiters import InMemoryRateLimiter

    limiter = InMemoryRateLimiter(requests_per_second=limit, **settings)
    return Limiter(limiter.acquire, limiter.aacquire)


def langchain(limit: int) -> Limiter:
    return _langchain(limit)


def langchain_eager(limit: int) -> Limiter:
    return _langchain(limit, check_every_n_seconds=0.005)


def langchain_bucket(limit: int) -> Limiter:
    return _langchain(limit, check_every_n_seconds=0.005, max_bucket_size=limit)


def aiolimiter(limit: int) -> Limiter:
    import aiolimiter as package

    return Limiter(None, package.AsyncLimiter(limit, 1).acquire)


def aiolimiter_smooth(limit: int) -> Limiter:
    import aiolimiter as package

    return Limiter(None, package.AsyncLimiter(1, 1 / limit).acquire)


def pyrate(limit: int) -> Limiter:
    import pyrate_limiter

    limiter = pyrate_limiter.Limiter(pyrate_limiter.Rate(limit, pyrate_limiter.Duration.SECOND))
    return Limiter(limiter.try_acquire, limiter.try_acquire_async, window=True)


def limits(limit: int) -> Limiter:
    import limits as package

    strategy = package.strategies.MovingWindowRateLimiter(package.storage.MemoryStorage())
    item = package.RateLimitItemPerSecond(limit)

    def pause() -> float:
        """It leaves the waiting to its users; this is the loop that its documentation suggests."""
        return max(0.001, float(strategy.get_window_stats(item, "all").reset_time) - time.time())

    def acquire() -> None:
        while not strategy.hit(item, "all"):
            time.sleep(pause())

    async def aacquire() -> None:
        while not strategy.hit(item, "all"):  # noqa: ASYNC110 - that is what it offers
            await asyncio.sleep(pause())

    return Limiter(acquire, aacquire, window=True)


LIMITERS: dict[str, Callable[[int], Limiter]] = {
    "ours": ours,
    "langchain, as it comes": langchain,
    "langchain, polls each 5 ms": langchain_eager,
    "langchain, bucket of N": langchain_bucket,
    "aiolimiter(N, 1)": aiolimiter,
    "aiolimiter(1, 1/N)": aiolimiter_smooth,
    "pyrate-limiter": pyrate,
    "limits, moving window": limits,
}
"""In the order of the tables."""

WAITS_BETWEEN_CALLS = {"langchain, as it comes", "langchain, polls each 5 ms", "aiolimiter(1, 1/N)"}
"""They hold no permit in advance: one call after another is never without a wait."""
