"""How the double pretends to work: permits, a queue, and service time."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from .wire import overloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .settings import Settings

    Left = Callable[[], Awaitable[None]]


class ClientGone(Exception):  # noqa: N818 - no error of the double's
    """The client left; TEI drops what it has queued for it."""


class Permits:
    """`max_concurrent_requests`: one for each input, whatever the name says."""

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
        await turn

    def give(self, count: int) -> None:
        """Give them back and let those in that fit now."""
        self.taken -= count
        while self._waiting and self.take_now(self._waiting[0][0]):
            _, turn = self._waiting.popleft()
            turn.set_result(None)


class Engine:
    """One configuration's permits and places. A new one is made at each change of settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.permits = Permits(settings.max_concurrent_requests)
        self._places = asyncio.Semaphore(settings.batches_at_once)

    @asynccontextmanager
    async def admitted(self, count: int, path: str, *, single: bool) -> AsyncIterator[None]:
        """Hold a permit for each input: refused at once from 1.9, waited for by batches before."""
        if self._settings.release < (1, 9) and not single:
            count = min(count, self.permits.total)
            await self.permits.take(count)
        elif not self.permits.take_now(count):
            raise overloaded(path)
        try:
            yield
        finally:
            self.permits.give(count)

    async def work(self, count: int, left: Left) -> tuple[float, float]:
        """Take the time that the batch takes. Seconds spent in the queue, and at work."""
        settings = self._settings
        seconds = settings.seconds_per_batch + settings.seconds_per_input * count
        if not seconds:
            return 0.0, 0.0
        arrived = time.monotonic()
        async with self._places:
            begun = time.monotonic()
            await unless_gone(seconds, left)
        return begun - arrived, seconds


async def unless_gone(seconds: float | None, left: Left) -> None:
    """Sleep (None: for ever), but end with ClientGone as soon as the client leaves."""
    leaving = asyncio.ensure_future(left())
    try:
        done, _ = await asyncio.wait({leaving}, timeout=seconds)
    finally:
        leaving.cancel()
    if done:
        raise ClientGone


async def never(left: Left) -> NoReturn:
    """Do nothing until the client leaves."""
    await unless_gone(None, left)
    raise AssertionError
