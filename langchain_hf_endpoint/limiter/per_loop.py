"""One object for each event loop, closed along with it.

It knows that clients belong to the loop that opened their connections. It must not know what the
objects do.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from langchain_hf_endpoint._loops import close_with_loop, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator, Callable


class Closable(Protocol):
    """What holds connections."""

    async def aclose(self) -> None:
        """Close them."""


T = TypeVar("T", bound=Closable)


@dataclass(slots=True)
class _Held(Generic[T]):
    one: T
    closer: AsyncGenerator[None, None] | None = None


class PerLoop(Generic[T]):
    """The objects of the loops that are open.

    Args:
        make: Makes the one of a loop, on it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._of_loop: dict[asyncio.AbstractEventLoop, _Held[T]] = {}

    async def get(self) -> T:
        """The one of the running loop."""
        loop = running_loop()
        with self._lock:
            held = self._of_loop.get(loop)
            if held is not None:
                return held.one
            for old in [old for old in self._of_loop if old.is_closed()]:
                del self._of_loop[old]
            held = self._of_loop[loop] = _Held(self._make())
        one = held.one

        async def close() -> None:
            with self._lock:
                self._of_loop.pop(loop, None)
            await one.aclose()

        held.closer = await close_with_loop(close)
        return one
