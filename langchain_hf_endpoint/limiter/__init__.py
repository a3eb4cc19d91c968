"""One limiter of requests per minute for everybody in a process.

`limiter` is its public face; `schedule` and `wait_queue` decide who may start when; `reservation`
has the lock and the clock around them; `per_process` keeps the copies of a limiter one.
"""

from __future__ import annotations

from langchain_hf_endpoint.limiter.limiter import Lane, RequestsPerMinuteLimiter, Turn

__all__ = ["Lane", "RequestsPerMinuteLimiter", "Turn"]
