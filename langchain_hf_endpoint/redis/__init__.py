"""Share a limit of requests per minute through Redis: `RedisRequestsPerMinuteLimiter`."""

from __future__ import annotations

from langchain_hf_endpoint.redis.limiter import MissingExtraError, RedisRequestsPerMinuteLimiter

__all__ = ["MissingExtraError", "RedisRequestsPerMinuteLimiter"]
