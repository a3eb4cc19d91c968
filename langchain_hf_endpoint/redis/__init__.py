"""A limiter of requests per minute that processes and machines share through a Redis.

`limiter` is its public face; `reservation` keeps the places of this process; `client` talks to
Redis, where `limit.lua` decides; `background` does what nobody waits for.
"""

from __future__ import annotations

from langchain_hf_endpoint.redis.limiter import MissingExtraError, RedisRequestsPerMinuteLimiter

__all__ = ["MissingExtraError", "RedisRequestsPerMinuteLimiter"]
