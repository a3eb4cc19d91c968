"""How the double pretends to work: permits, a queue, and service time."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from langchain_hf_endpoint.testing import tei
from langchain_hf_endpoint.testing.permits import Permits

from .wire import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .settings import Settings

    Left = Callable[[], Awaitable[None]]


class ClientGone(Exception):  # noqa: N818 - no error of the double's
    """The client left; TEI drops what it has queued for it."""


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
            raise Refusal(tei.overloaded(path))
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
