"""A Redis for each test that mistreats it, and limiters over the one that all others share."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
import redis
from redis_server import RedisServer

from langchain_hf_endpoint import RedisRequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENOUGH = 60.0


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One to be stopped, frozen and killed."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def limiter(redis_server: RedisServer) -> Callable[..., RedisRequestsPerMinuteLimiter]:
    """Makes limiters of this test's key; minutes take two seconds."""
    key = uuid.uuid4().hex

    def make(limit: int = 20, **settings: object) -> RedisRequestsPerMinuteLimiter:
        settings = {"url": redis_server.url, "key": key, "period": 2.0, "burst": 1, **settings}
        return RedisRequestsPerMinuteLimiter(limit, **settings)

    return make


@pytest.fixture
def wait_until_waiting(redis_server: RedisServer) -> Callable[..., None]:
    """Returns when so many wait in the line."""

    def wait(limiter: RedisRequestsPerMinuteLimiter, count: int) -> None:
        deadline = time.monotonic() + ENOUGH
        with redis.Redis(port=redis_server.port) as client:
            lanes = [f"hf-endpoint:{{{limiter.key}}}:{lane}" for lane in ("queries", "documents")]
            while sum(map(client.zcard, lanes)) != count:
                assert time.monotonic() < deadline, f"there are never {count} in the line"
                time.sleep(0.01)

    return wait
