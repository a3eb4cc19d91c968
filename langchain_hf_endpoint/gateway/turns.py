"""Bound what is done in one turn of the event loop, so that nobody waits long for his turn."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets as much work through in one turn of the loop as does not keep the others waiting.

    Args:
        most: Of whatever the work is measured in. What is larger is done alone, if last in a turn.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, work: int) -> None:
        """Go on in this turn or, where enough is done in it, in one that follows; in order."""
        if self._left == self._most:
            asyncio.get_running_loop().call_soon(self._next)
        if self._left > 0 and not self._waiting:
            self._left -= work
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append((mine, work))
        await mine

    def _next(self) -> None:
        """A turn is over."""
        self._left = self._most
        while self._waiting and self._left > 0:
            mine, work = self._waiting.popleft()
            if not mine.done():  # its request may be gone
                mine.set_result(None)
                self._left -= work
        if self._left < self._most:
            asyncio.get_running_loop().call_soon(self._next)
