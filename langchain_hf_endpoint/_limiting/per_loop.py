"""One object for each event loop, closed along with it.

It knows that clients belong to the loop that opened their connections. It must not know what the
objects do.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


class Closable(Protocol):
    """What holds connections."""

    async def aclose(self) -> None:
        """Close them."""


T = TypeVar("T", bound=Closable)


@dataclass(frozen=True, slots=True)
class _Held(Generic[T]):  # a named tuple cannot be generic in Python 3.10
    one: T
    closer: AsyncGenerator[None, None]


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
        loop = asyncio.get_running_loop()
        with self._lock:
            held = self._of_loop.get(loop)
            if held is not None:
                return held.one
            for old in [old for old in self._of_loop if old.is_closed()]:
                del self._of_loop[old]
            one = self._make()
            closer = self._close_with_loop(loop, one)
            self._of_loop[loop] = _Held(one, closer)
        # `asyncio.run` finishes open async generators before it closes the loop.
        await anext(closer)
        return one

    async def _close_with_loop(
        self, loop: asyncio.AbstractEventLoop, one: T
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                self._of_loop.pop(loop, None)
            await one.aclose()
