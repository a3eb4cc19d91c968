"""An HTTP proxy on this machine: whatever host it is asked for, one port of ours answers.

It notes what it is told, so that a test can say who was sent where, and what the proxy saw.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self


@dataclass(frozen=True)
class Passed:
    """One request as the proxy saw it; of a tunnel, the CONNECT alone."""

    method: str
    target: str
    headers: Mapping[str, str]


class ForwardingProxy:
    """Tunnels and plain requests alike go to `port`; with a `refusal`, none goes anywhere."""

    def __init__(self, port: int, refusal: str = "") -> None:
        self.passed: list[Passed] = []
        self._port = port
        self._refusal = refusal
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # for the aborted connections

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = None
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *fields = head.rstrip().split("\r\n")
            method, target, _ = line.split(" ")
            headers = {
                name.lower(): value for name, _, value in (one.partition(": ") for one in fields)
            }
            self.passed.append(Passed(method, target, headers))
            if self._refusal:
                writer.write(f"HTTP/1.1 {self._refusal}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                return
            there, onward = await asyncio.open_connection("127.0.0.1", self._port)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                kept = [
                    one for one in fields if not one.lower().startswith(("connection", "proxy"))
                ]
                kept = [f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]
                onward.write("\r\n".join(kept).encode("latin-1"))
            await asyncio.gather(
                _pump(reader, onward), _pump(there, writer, closes=method != "CONNECT")
            )
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side left
        finally:
            for one in (writer, onward):
                if one is not None:
                    one.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, closes: bool = False
) -> None:
    if closes:  # one request a connection, and the client is told so
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(head[:-2] + b"Connection: close\r\n\r\n")
    while part := await reader.read(1 << 16):
        writer.write(part)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    else:
        writer.close()
