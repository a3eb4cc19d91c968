"""TEI's permits: one for each input in flight, whatever ``max_concurrent_requests`` says.

From 1.9.0 on a request that cannot have all of its permits is refused at once; before, it waited
(https://github.com/huggingface/text-embeddings-inference/pull/726). It knows counts. It must not
know what is done with a permit.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Permits:
    """So many permits, for the tasks of one event loop."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, count: int) -> bool:
        """Take all or nothing."""
        if self.taken + count > self.total:
            return False
        self.taken += count
        return True

    async def take(self, count: int) -> None:
        """Take them when it is our turn, first come first served."""
        if not self._waiting and self.take_now(count):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(count)  # they were ours already
            raise

    def give(self, count: int) -> None:
        """Give them back and let those in that fit now."""
        self.taken -= count
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.done() and not self.take_now(wanted):
                break
            self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
