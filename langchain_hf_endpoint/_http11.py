"""Connections of one event loop to one origin, for whole requests and whole replies.

It takes the place of httpcore's pool within httpx's async transport, at less than half its cost:
nothing here waits for a part of a reply, each in a cancel scope of its own. The grammar of HTTP/1.1
is h11's, the connections are asyncio's. It must not know proxies, which stay with httpcore.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING, cast

import anyio
import h11
import httpcore

from langchain_hf_endpoint._mishaps import LARGEST_REPLY, ReplyTooLargeError
from langchain_hf_endpoint._sockets import connected_socket

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    import httpx

_KEPT_ALIVE_SECONDS = 30.0
_FAREWELL_SECONDS = 1.0


def use_own_connections(transport: httpx.AsyncHTTPTransport, context: ssl.SSLContext) -> None:
    """Make a transport without a proxy use these connections.

    httpx has no public way to give its transports a pool. Where a later version names it otherwise,
    httpcore's own stays, and a test fails.
    """
    if isinstance(getattr(transport, "_pool", None), httpcore.AsyncConnectionPool):
        transport._pool = Connections(context)  # type: ignore[assignment]  # noqa: SLF001


class Stage:
    """How far a request is: a time limit that ends it does not say. Goes with its extensions."""

    NAME = "stage"

    def __init__(self) -> None:
        self.is_connecting = False


class Connections:
    """As many connections as requests under way; those that are free are kept for a while."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._idle: list[_Connection] = []
        self._open: set[_Connection] = set()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request and read the reply to its end.

        Raises:
            httpcore.NetworkError: No connection, or it broke.
            httpcore.ProtocolError: What came is no HTTP/1.1, or too much.
        """
        body = b"".join([part async for part in request.stream])  # type: ignore[union-attr]
        connection = self._idle_to(request.url.origin)
        if connection is None:
            stage = request.extensions.get(Stage.NAME, Stage())
            stage.is_connecting = True
            connection = await self._connect(request)
            stage.is_connecting = False
        try:
            response, parts = await connection.exchange(request, body)
        except BaseException:
            connection.abort()
            raise
        if connection.is_reusable:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()
        return httpcore.Response(
            response.status_code,
            headers=response.headers.raw_items(),
            content=_Parts(parts),
            extensions={"http_version": b"HTTP/" + response.http_version},
        )

    def _idle_to(self, origin: httpcore.Origin) -> _Connection | None:
        """The connection that was used last, so that the others may go."""
        while self._idle:
            connection = self._idle.pop()
            is_old = time.monotonic() - connection.idle_since > _KEPT_ALIVE_SECONDS
            if connection.is_reusable and not is_old and connection.origin == origin:
                return connection
            connection.close()
        return None

    async def _connect(self, request: httpcore.Request) -> _Connection:
        try:
            with anyio.fail_after(request.extensions["timeout"]["connect"]):
                return await self._connection_to(request.url.origin)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _connection_to(self, origin: httpcore.Origin) -> _Connection:
        host = origin.host.decode("ascii")
        connected = await connected_socket(host, origin.port)
        is_https = origin.scheme == b"https"
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(origin, self._open),
                sock=connected,
                ssl=self._context if is_https else None,
                server_hostname=host if is_https else None,
            )
        except BaseException:
            # A handshake that is cancelled before it began would go on for a minute.
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
            raise
        return connection

    async def aclose(self) -> None:
        """Close all connections and see them gone."""
        self._idle.clear()
        going = [connection.lost for connection in self._open]
        for connection in [*self._open]:
            connection.close()
        await asyncio.sleep(0)
        for connection in [*self._open]:  # TLS would wait for the server's farewell
            connection.abort()
        if going:
            await asyncio.wait(going, timeout=_FAREWELL_SECONDS)


class _Parts:
    """The body of a reply that is all there."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


class _Connection(asyncio.Protocol):
    """One connection: a request and its reply at a time.

    Attributes:
        origin: Where it leads.
        lost: Done when the socket is closed.
        idle_since: When its last reply was complete.
    """

    def __init__(self, origin: httpcore.Origin, register: set[_Connection]) -> None:
        self.origin = origin
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.idle_since = 0.0
        self._register = register
        self._peer = h11.Connection(h11.CLIENT)
        self._replied: asyncio.Future[h11.Response] | None = None
        self._response: h11.Response | None = None
        self._early = b""
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent."""
        return self._peer.our_state is h11.IDLE and not self._transport.is_closing()

    async def exchange(
        self, request: httpcore.Request, body: bytes
    ) -> tuple[h11.Response, list[bytes]]:
        """Send a request, return its reply."""
        self._parts, self._size = [], 0
        self._replied = asyncio.get_running_loop().create_future()
        head = h11.Request(
            method=request.method, target=request.url.target, headers=request.headers
        )
        # In one piece: a system call less, and the server sees the whole request at once.
        whole = b"".join(
            self._peer.send(event) or b""
            for event in (head, h11.Data(data=body), h11.EndOfMessage())
        )
        if not self.lost.done():
            self._transport.write(whole)
        if self._early:
            self._take(self._early)
        if self.lost.done():  # nobody else will say so
            self._fail(httpcore.ReadError("Server disconnected before it was asked."))
        return await self._replied, self._parts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        # Of a stream, so one that writes; uvloop's are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._register.add(self)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self._is_waiting:
            self._take(data)
        elif self._replied is None:
            # A server that has no room says so before it is asked, and uvloop reads that first.
            self._early += data
        else:  # out of turn
            self.abort()

    def eof_received(self) -> None:
        """The server sends no more; a reply without a length is complete so."""
        if self._is_waiting:
            self._take(b"")

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        if error is None:
            self.eof_received()
        else:
            broken = httpcore.ReadError(str(error))
            broken.__cause__ = error
            self._fail(broken)
        self._register.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)

    @property
    def _is_waiting(self) -> bool:
        return self._replied is not None and not self._replied.done()

    def _take(self, data: bytes) -> None:
        if not data and self._peer.their_state is h11.SEND_RESPONSE:
            text = "Server disconnected without sending a response."
            self._fail(httpcore.RemoteProtocolError(text))
            return
        try:
            self._peer.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self._fail(httpcore.RemoteProtocolError(str(error)))

    def _read(self) -> None:
        """Take what is complete of the reply."""
        while True:
            event = self._peer.next_event()
            if isinstance(event, h11.Data):
                self._size += len(event.data)
                if self._size > LARGEST_REPLY:
                    self._fail(ReplyTooLargeError())
                    return
                self._parts.append(bytes(event.data))
            elif isinstance(event, h11.Response):
                self._response = event
            elif isinstance(event, h11.EndOfMessage):
                self._finish()
                return
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return
            elif isinstance(event, h11.ConnectionClosed):
                self._fail(
                    httpcore.RemoteProtocolError("Server disconnected without sending a response.")
                )
                return

    def _finish(self) -> None:
        if self._peer.our_state is h11.DONE and self._peer.their_state is h11.DONE:
            self._peer.start_next_cycle()
        if self._response is not None and self._replied is not None:
            self._replied.set_result(self._response)

    def _fail(self, error: Exception) -> None:
        if self._replied is not None and not self._replied.done():
            self._replied.set_exception(error)

    def close(self) -> None:
        """Say farewell."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        with contextlib.suppress(RuntimeError):
            self._transport.abort()
