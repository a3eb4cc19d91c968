"""Connections from callers: how many there may be, and how long one may hold its place for nothing.

It knows bytes that come and requests that are under way, over uvicorn's protocol. It must not know
what a request says.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

KEEP_ALIVE_SECONDS = 120
"""Longer than clients and proxies keep an idle connection: whoever closes first may cut off a
request that the other is sending."""
_FILES_FOR_OTHERS = 200
_PIECE = 16_384
"""Bytes that are read in one turn of the loop where more have come: of a body in chunks of a byte,
each takes 20 microseconds."""


class _Flow(FlowControl):
    """Nothing is received while received bytes wait to be read, whatever uvicorn says."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._to_pause = transport
        self._is_held = False

    def resume_reading(self) -> None:
        if self._is_held:
            self.read_paused = False
        else:
            super().resume_reading()

    def hold(self) -> None:
        self._is_held = True
        self._to_pause.pause_reading()

    def release(self) -> None:
        if self._is_held:
            self._is_held = False
            if not self.read_paused:
                self._to_pause.resume_reading()


class CallerConnection(H11Protocol):
    """A connection that ends when it keeps silent in the middle of a request, or after one.

    Where there are too many, the one goes that has waited longest without a whole request.
    """

    seconds: ClassVar[float]
    most: ClassVar[int]
    waiting: ClassVar[dict[CallerConnection, None]]
    """Those without a request under way, in the order in which they began to wait."""
    open: ClassVar[set[CallerConnection]]
    unread: ClassVar[deque[CallerConnection]]
    """Those of which more bytes have come than are read in one turn; one has its turn at a time."""
    flow: _Flow

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._answer = self.app
        self.app = self._answering
        self._under_way = 0
        self._timer: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._unsent = 0
        self._received = memoryview(b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it in; let the one that waited longest go where there are too many."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self.open.add(self)
        if len(self.open) > self.most:
            next(iter(self.waiting), self).transport.abort()
        self._wait(self.seconds)

    def data_received(self, data: bytes) -> None:
        """From the first byte of a head on, it must be whole in time."""
        if not self._under_way and not self._has_begun:
            self._has_begun = True
            self._wait(self.seconds)
        is_queued = bool(self._received)
        self._received = memoryview(bytes(self._received) + data if is_queued else data)
        if is_queued:
            self.flow.hold()
        elif self.read_piece():
            self.unread.append(self)
            if len(self.unread) == 1:
                self.loop.call_soon(self._read_next)

    def read_piece(self) -> bool:
        """Read a piece of what has come. Whether there is more."""
        piece, self._received = self._received[:_PIECE], self._received[_PIECE:]
        if self._received:
            self.flow.hold()
        super().data_received(bytes(piece))
        if self.transport.is_closing():
            self._received = memoryview(b"")
        elif not self._received:
            self.flow.release()
        return bool(self._received)

    def _read_next(self) -> None:
        one = self.unread.popleft()
        if not one.transport.is_closing() and one.read_piece():
            self.unread.append(one)
        if self.unread:
            self.loop.call_soon(self._read_next)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._no_longer_wait()
        self.open.discard(self)
        super().connection_lost(exc)

    async def _answering(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._under_way += 1
        self._no_longer_wait()
        try:
            await self._answer(scope, receive, send)
        finally:
            self._under_way -= 1
            self._has_begun = False
            if not self._under_way and not self.transport.is_closing():
                self._wait(KEEP_ALIVE_SECONDS + 1)

    def _wait(self, seconds: float) -> None:
        self._no_longer_wait()
        self.waiting[self] = None
        self._unsent = self.transport.get_write_buffer_size()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end, seconds)

    def _no_longer_wait(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, seconds: float) -> None:
        if 0 < self.transport.get_write_buffer_size() < self._unsent:
            self._wait(seconds)  # it reads its answer, if slowly
        else:
            self.transport.abort()


def connections(seconds: float, most: int) -> type[asyncio.Protocol]:
    """A protocol for uvicorn's ``http``.

    Args:
        seconds: Until a head must be whole, from the connection or its first byte on.
        most: Connections at a time.
    """
    members = {"seconds": seconds, "most": most, "waiting": {}, "open": set(), "unread": deque()}
    return type("CallerConnection", (CallerConnection,), members)


def most_connections(wanted: int) -> int:
    """How many there may be: no more than this process may have files, less those of its own."""
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415 - POSIX only

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, max(files - _FILES_FOR_OTHERS, files // 2)))
