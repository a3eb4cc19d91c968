"""A rate limiter of LlamaIndex, asked as LangChain's are: before each request.

It knows both interfaces. It must not know any limiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.rate_limiters import BaseRateLimiter

if TYPE_CHECKING:
    from llama_index.core.rate_limiter import BaseRateLimiter as LlamaIndexRateLimiter


class AskedPerRequest(BaseRateLimiter):
    """Takes a permit of a LlamaIndex limiter for each HTTP request, retries included."""

    def __init__(self, limiter: LlamaIndexRateLimiter) -> None:
        self._limiter = limiter

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for a permit; LlamaIndex's limiters know no other way.

        Raises:
            NotImplementedError: `blocking` is False.
        """
        _refuse_not_to_wait(blocking=blocking)
        self._limiter.acquire()
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """The async twin of `acquire`."""
        _refuse_not_to_wait(blocking=blocking)
        await self._limiter.async_acquire()
        return True


def _refuse_not_to_wait(*, blocking: bool) -> None:
    if not blocking:
        raise NotImplementedError("LlamaIndex's rate limiters cannot be asked without waiting")
