"""What a flow asks of the driver that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._messages import Failure, Request, Response
    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, Slot
    from langchain_hf_endpoint.cache import ChunkCache
    from langchain_hf_endpoint.limiter.reservation import Reservation


class CallStopped(BaseException):
    """Thrown into a flow at the step that is not performed: nothing more may be sent."""


class WaitReason(Enum):
    """Why a flow pauses, as it is told to the user."""

    LIMITER = "waiting for the rate limit"
    COLD_START = "waiting for the endpoint to start"
    REFUSED = "the server asks to slow down"
    RETRY = "waiting to try again"


@dataclass(frozen=True, slots=True)
class AcquireSlot:
    """Wait until the window lets the request in."""

    window: ConcurrencyWindow
    slot: Slot


@dataclass(frozen=True, slots=True)
class AskReservation:
    """Ask a remote limiter how long this reservation has to wait.

    An error of the package is thrown into the flow.
    """

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let this many seconds pass."""

    seconds: float
    why: WaitReason


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send the request and read the whole reply within `timeout` seconds."""

    request: Request
    timeout: float


@dataclass(frozen=True, slots=True)
class UseStore:
    """Write these pairs to a cache, then read these keys; also when nothing more may be sent."""

    cache: ChunkCache
    keys: Sequence[str]
    pairs: Sequence[tuple[str, bytes]]


Action: TypeAlias = "AcquireSlot | AskReservation | Sleep | SendRequest | UseStore"
ActionResult: TypeAlias = "Response | Failure | float | list[bytes | None] | None"
"""A reply or a failure for `SendRequest`, seconds for `AskReservation`, values for `UseStore`."""


class Progress(Protocol):
    """Whoever shows the user how far a call is. Called from several threads."""

    def planned(self, chunks: int) -> None:
        """So many chunks are known of by now."""

    def done(self, chunks: int) -> None:
        """So many more chunks have their vectors."""

    def waits(self, why: WaitReason, seconds: float) -> None:
        """A request waits."""

    def close(self, error: BaseException | None = None) -> None:
        """The call is over; `error` is what it ended with, if it failed."""


class NullProgress:
    """A `Progress` to whom all is the same, to be overridden where something is not."""

    def planned(self, chunks: int) -> None:
        """Of no interest."""

    def done(self, chunks: int) -> None:
        """Of no interest."""

    def waits(self, why: WaitReason, seconds: float) -> None:
        """Of no interest."""

    def close(self, error: BaseException | None = None) -> None:
        """Nothing is kept open."""
