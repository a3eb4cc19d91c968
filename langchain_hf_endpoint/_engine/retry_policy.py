"""When a failed request is worth another try, and how long to wait before it."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import Cause, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

WORTH_ANOTHER_TRY = frozenset({Cause.NOT_READY, Cause.RATE_LIMITED, Cause.SERVER, Cause.TRANSPORT})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, within a budget of seconds."""

    # Seconds that one batch may spend between its first failure and its last attempt.
    max_wait: float
    # The bound of the first delay, in seconds; each later one is twice as long.
    first_delay: float = 0.5
    # The bound never exceeds this, so that a server that came back is noticed.
    longest_delay: float = 8.0
    chance: Callable[[], float] = random.random  # a source of numbers from 0 to 1

    def delay(
        self, failure: Failure, attempt: int, elapsed: float, usual: float = 0.0
    ) -> float | None:
        """Say how long to wait before the next attempt.

        Args:
            failure: How the last attempt ended.
            attempt: How many attempts were made, 1 or more.
            elapsed: Seconds since the first one failed.
            usual: Seconds that a good reply takes, where there was one. A server that only has
                too much in the house has room again after that: 429s back off from there.

        Returns:
            Seconds, or None where another try would not help or does not fit into `max_wait`. A
            wait that the server asks for is kept to the full, never cut to fit.
        """
        left = self.max_wait - elapsed
        if failure.cause not in WORTH_ANOTHER_TRY or left <= 0:
            return None
        longest = self.max_wait if failure.is_estimate else left
        if failure.retry_after is not None and failure.retry_after > longest:
            return None
        if failure.retry_after is not None and not failure.is_estimate:
            # A little later than asked, and not all callers at the same instant.
            return min(left, failure.retry_after + 0.05 + 0.1 * self.chance())
        first = self.first_delay
        if usual and failure.cause is Cause.RATE_LIMITED:
            first = min(first, usual)
        bound = min(self.longest_delay, first * 2.0 ** min(attempt - 1, 30))
        # The last attempt is made at the end of the budget, not before it.
        return min(left, self._within(bound))

    def soon(self, elapsed: float) -> float | None:
        """Say how long to wait before something else than what failed is tried: not long.

        Args:
            elapsed: Seconds since the first failure.

        Returns:
            Seconds, or None where `max_wait` is over.
        """
        left = self.max_wait - elapsed
        return min(left, self._within(self.first_delay)) if left > 0 else None

    def _within(self, bound: float) -> float:
        """Not all callers at the same instant."""
        return bound / 2 + bound / 2 * self.chance()


class Pausing:
    """How many of a call's batches were refused and pause; enter it for the pause."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.count -= 1
