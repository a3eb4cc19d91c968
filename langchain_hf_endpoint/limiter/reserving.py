"""What the engine asks of a limiter with a line, wherever the line is kept.

It knows the shape of a turn. It must not know how anybody waits.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

from langchain_core.rate_limiters import BaseRateLimiter

if TYPE_CHECKING:
    from langchain_hf_endpoint.limiter.schedule import Lane


class LocalTurn(Protocol):
    """A place in a line of this process: it is asked without waiting for anything."""

    def wait(self) -> float:
        """How long to sleep before asking again, in seconds; 0.0: the permit is taken."""

    def give_back(self) -> None:
        """Leave the line, if still in it."""


class LocalLimiter(Protocol):
    """A limiter of this process."""

    def reserve(self, lane: Lane = "document", max_wait: float | None = None) -> LocalTurn:
        """Line up for a permit without waiting for it."""

    def penalize(self, seconds: float) -> None:
        """Let nobody start for so long."""

    def note_start(self) -> None:
        """Count a start that another limiter has granted."""


class DistantTurn(Protocol):
    """A place in a line that is kept elsewhere: asking takes a journey."""

    def wait(self) -> float:
        """As `LocalTurn.wait`; blocks for the journey. Lines up when first asked.

        Raises:
            HFEndpointError: There is no answer, or the wait would be too long.
        """

    async def await_(self) -> float:
        """The async twin of `wait`."""

    def give_back(self) -> None:
        """Leave the line, if still in it. Does not wait until that has arrived."""


class ReservingLimiter(BaseRateLimiter):
    """A limiter that gives a place at once and the permit when its moment has come."""

    @abstractmethod
    def reserve(
        self, lane: Lane = "document", max_wait: float | None = None
    ) -> LocalTurn | DistantTurn:
        """Line up for a permit without waiting for it."""

    @abstractmethod
    def penalize_soon(self, seconds: float) -> None:
        """Let nobody start for so long; does not wait until all know it."""
