"""A way to a server on this machine that takes its time, each direction half of it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 1 << 16


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while piece := await reader.read(_PIECE):
            loop.call_later(seconds, writer.write, piece)
    loop.call_later(seconds, writer.close)


@contextlib.contextmanager
def forwarding_late(port: int, latency: float) -> Iterator[int]:
    """A port that leads to `port`, where a question and its answer take `latency` seconds."""
    loop = asyncio.new_event_loop()
    begun: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writers.extend((writer, back))
        for source, target in ((reader, back), (there, writer)):
            begun.append(loop.create_task(_carry(source, target, latency / 2)))

    server = loop.run_until_complete(asyncio.start_server(connect, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        for task in begun:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        loop.run_until_complete(_gone(begun))
        loop.close()


async def _gone(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.05)  # for the transports to let go of their sockets
