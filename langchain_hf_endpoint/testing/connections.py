"""Read HTTP/1.1 requests from a client's connection, send replies, and end it in every way."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from langchain_hf_endpoint.testing.messages import Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint.testing.faults import Fault
    from langchain_hf_endpoint.testing.messages import Reply

HEAD_LIMIT = 1 << 20
_PIECE = 1 << 16
_OPENING, _CLOSING = b"[[[", b"0.5]]]"
_NUMBERS = b"0.5," * (_PIECE // 4)


class ClientGone(Exception):  # noqa: N818 - no error of the endpoint's
    """The client closed the connection, or the endpoint is stopped."""


class Ended(Exception):  # noqa: N818 - what a fault asked for
    """The connection was ended on purpose."""


class Request(NamedTuple):
    """One request, whole."""

    method: str
    path: str
    headers: Headers
    body: bytes

    @property
    def route(self) -> str:
        """The path without its query."""
        return self.path.partition("?")[0]


class Connection:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ahead = b""

    async def request(self) -> Request | None:
        """The next request; None where the client has no more.

        Raises:
            ClientGone: It left in the middle of one, or says what is no HTTP.
        """
        try:
            head = self._ahead + await self._reader.readuntil(b"\r\n\r\n")
            self._ahead = b""
            method, path, headers = _parsed(head)
            if headers.get("expect", "").lower() == "100-continue":
                self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        except asyncio.IncompleteReadError as error:
            if not error.partial and not self._ahead:
                return None
            raise ClientGone from error
        except (OSError, ValueError, asyncio.LimitOverrunError) as error:
            raise ClientGone from error
        return Request(method, path, headers, body)

    async def wait(self, seconds: float | None) -> None:
        """Let so many seconds pass (None: all), unless the client leaves.

        Raises:
            ClientGone: It left.
        """
        # Only a read tells that the client has left; the byte that may come is kept for the next
        # request.
        reading = asyncio.ensure_future(self._reader.read(1))
        try:
            await asyncio.wait({reading}, timeout=seconds)
            if not reading.done():
                return
            try:
                self._ahead += reading.result()
            except OSError as error:
                raise ClientGone from error
            if not self._ahead:
                raise ClientGone
        finally:
            if not reading.done():
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading
        # A client that sends its next request ahead has not left.
        await asyncio.sleep(float("inf") if seconds is None else seconds)

    async def send(self, reply: Reply, fault: Fault | None, finish: Callable[[], None]) -> None:
        """Send a reply, or as much of it as the fault lets through.

        Args:
            reply: The reply.
            fault: What happens to it on the way.
            finish: Called before the last bytes leave; not, where silence takes their place.

        Raises:
            ClientGone: The client left before its end.
            Ended: The fault ended the connection.
        """
        size = fault.size if fault else 0
        head = _head(reply, fault, size or len(reply.body))
        try:
            if fault is None:
                finish()
                await self._write(head + reply.body)
            elif fault.cut in ("before", "head", "body"):
                ends = {"before": 0, "head": len(head) // 2}
                stop = ends.get(fault.cut, len(head) + len(reply.body) // 2)
                await self._write((head + reply.body)[:stop])
                await self._end(fault, finish)
            else:
                await self._send_all(head, reply.body, fault, finish)
        except OSError as error:
            raise ClientGone from error

    async def _send_all(
        self, head: bytes, body: bytes, fault: Fault, finish: Callable[[], None]
    ) -> None:
        if fault.size:
            await self._write(head)
            for piece in _filler(fault.size):
                await self._write(piece)
            rest = _CLOSING
        elif fault.drip:
            rest = await self._drip(head + body, fault)
        else:
            rest = head + body
        if fault.cut is None or fault.then != "hang":
            finish()
        await self._write(rest)
        if fault.cut == "after":
            await self._end(fault, finish)

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _drip(self, data: bytes, fault: Fault) -> bytes:
        """Send all but the last piece, which is returned."""
        step = max(1, -(-len(data) // fault.pieces))
        last = (len(data) - 1) // step * step
        for start in range(0, last, step):
            await self.wait(fault.drip)
            await self._write(data[start : start + step])
        await self.wait(fault.drip)
        return data[last:]

    async def _end(self, fault: Fault, finish: Callable[[], None]) -> None:
        if fault.then == "hang":
            await self.wait(None)
        finish()
        if fault.then == "reset":
            # For what was written to leave before it: a reset takes unsent bytes with it.
            await asyncio.sleep(0)
            self.reset()
        raise Ended

    def reset(self) -> None:
        """Reset the connection: a linger of zero seconds makes a close an RST."""
        socket_ = self._writer.get_extra_info("socket")
        if socket_ is not None:  # else TLS has let go of it already
            with contextlib.suppress(OSError):
                socket_.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def close(self) -> None:
        """Close the connection, once what was written has left."""
        self._writer.close()


def _parsed(head: bytes) -> tuple[str, str, Headers]:
    """Read a request's head.

    Raises:
        ValueError: It is none.
    """
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, path, _version = first.split(" ")
    pairs = [line.partition(":") for line in lines]
    return method, path, Headers([(name.strip(), value.strip()) for name, _, value in pairs])


def _head(reply: Reply, fault: Fault | None, length: int) -> bytes:
    headers = {
        "Date": formatdate(usegmt=True),
        "Content-Length": str(length),
        **({"Content-Type": reply.content_type} if length else {}),
        **reply.headers,
    }
    if fault is not None:
        headers |= fault.headers
        if fault.content_type:
            headers["Content-Type"] = fault.content_type
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {reply.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _filler(size: int) -> Iterator[bytes]:
    """JSON of so many bytes but for its `_CLOSING`: lists of lists of lists of numbers."""
    left = size - len(_OPENING) - len(_CLOSING)
    yield _OPENING
    while left > 0:
        piece = _NUMBERS[: min(left, _PIECE)]
        left -= len(piece)
        # Blanks in the place of what would be half a number.
        if left == 0 and len(piece) % 4:
            piece = piece[: -(len(piece) % 4)] + b" " * (len(piece) % 4)
        yield piece
