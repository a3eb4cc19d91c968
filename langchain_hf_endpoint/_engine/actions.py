"""What a flow asks of the driver that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from langchain_hf_endpoint._messages import Cause, Failure, Request, Response
    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, Slot
    from langchain_hf_endpoint.cache import ChunkCache


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
class AskLimiter:
    """Ask a limiter that is kept elsewhere: a reservation's delay, or what others found out.

    An error of the package is thrown into the flow.
    """

    ask: Callable[[], float | Mapping[str, int]]
    aask: Callable[[], Awaitable[float | Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Let this many seconds pass, in the end because of `cause` where something failed."""

    seconds: float
    why: WaitReason
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Send the request, with so many inputs, and read the whole reply within `timeout` seconds.

    With `tokenizer` their tokens are counted where the reply does not tell.
    """

    request: Request
    timeout: float
    inputs: int = 0
    tokenizer: str | None = None


@dataclass(frozen=True, slots=True)
class UseStore:
    """Write these pairs to a cache, then read these keys; also when nothing more may be sent."""

    cache: ChunkCache
    keys: Sequence[str]
    pairs: Sequence[tuple[str, bytes]]


Action: TypeAlias = "AcquireSlot | AskLimiter | Sleep | SendRequest | UseStore"
ActionResult: TypeAlias = (
    "Response | Failure | float | Mapping[str, int] | list[bytes | None] | None"
)
"""A reply or a failure for `SendRequest`, the answer for `AskLimiter`, values for `UseStore`."""


class Progress:
    """Whoever is told how a call goes, from several threads. To this one all is the same."""

    def planned(self, inputs: int, texts: int = 0, chunks: int = 0) -> None:
        """So many more inputs are to be embedded, those of so many texts and chunks."""

    def cached(self, inputs: int) -> None:
        """So many of them are done, since a cache had their vectors."""
        self.done(inputs)

    def done(self, inputs: int) -> None:
        """So many more of them have their vectors, or failed."""

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:
        """A request waits; `cause` is what failed, where it is to be tried again."""

    def exchanged(
        self, action: SendRequest, reply: Response | Failure | None, seconds: float
    ) -> None:
        """A request was sent and took so long; without a reply it was broken off."""

    def close(self, error: BaseException | None = None) -> None:
        """The call is over; `error` is what it ended with, if it failed."""
