"""Connections of one event loop to one origin, for whole requests and whole replies.

It takes the place of httpcore's pool within httpx's async transport, at less than half its cost:
nothing here waits for a part of a reply, each in a cancel scope of its own. It must not know what
goes over a connection, nor proxies, which stay with httpcore.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

import anyio
import httpcore

from langchain_hf_endpoint._connection import Connection
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
        self._idle: deque[Connection] = deque()
        self._closing: asyncio.TimerHandle | None = None
        self._open: set[Connection] = set()

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
            self._keep(connection)
        else:
            connection.close()
        return httpcore.Response(
            response.status_code,
            headers=response.headers.raw_items(),
            content=_Parts(parts),
            extensions={"http_version": b"HTTP/" + response.http_version},
        )

    def _keep(self, connection: Connection) -> None:
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._closing is None:
            self._close_later(_KEPT_ALIVE_SECONDS)

    def _close_later(self, seconds: float) -> None:
        self._closing = asyncio.get_running_loop().call_later(seconds, self._close_old)

    def _close_old(self) -> None:
        """Close those that were not used for long; the one that was used last stands last."""
        self._closing = None
        while self._idle:
            left = self._idle[0].idle_since + _KEPT_ALIVE_SECONDS - time.monotonic()
            if left > 0:
                self._close_later(left)
                return
            self._idle.popleft().close()

    def _idle_to(self, origin: httpcore.Origin) -> Connection | None:
        """The connection that was used last, so that the others may go."""
        while self._idle:
            connection = self._idle.pop()
            is_old = time.monotonic() - connection.idle_since > _KEPT_ALIVE_SECONDS
            if connection.is_reusable and not is_old and connection.origin == origin:
                return connection
            connection.close()
        return None

    async def _connect(self, request: httpcore.Request) -> Connection:
        try:
            with anyio.fail_after(request.extensions["timeout"]["connect"]):
                return await self._connection_to(request.url.origin)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error

    async def _connection_to(self, origin: httpcore.Origin) -> Connection:
        host = origin.host.decode("ascii")
        connected = await connected_socket(host, origin.port)
        is_https = origin.scheme == b"https"
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(origin, self._open),
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
        if self._closing is not None:
            self._closing.cancel()
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
