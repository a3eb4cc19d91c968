"""Connect and read for httpcore, within one time limit and never past the end of a response.

httpcore limits each wait by itself, so a server that sends a byte now and then could hold a request
for ever; here a whole attempt has one deadline. And httpcore hands to the next request what came
behind the last response; here a stream gives out the bytes of a response and no more, and says that
it is readable, which makes httpcore close it, when anything else came or the end is in doubt.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from concurrent.futures import wait
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import httpcore

from langchain_hf_endpoint._http.addresses import connected_socket, look_up
from langchain_hf_endpoint._http.framing import ResponseFraming

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_hf_endpoint._http.addresses import Address, CheckAddress

KEPT_ALIVE_SECONDS = 30.0
LONGEST_WAIT = 0.5
"""Seconds. An interrupt that comes just before a thread begins to wait does not end the wait:
Python raises it afterwards, which with a server that hangs would be late."""
_CLOSING_SECONDS = 1.0
_LARGEST_READ = 1 << 16


@dataclass
class Attempt:
    """One request and its response, as far as they are."""

    deadline: float  # by `time.monotonic`
    is_connecting: bool = False  # a time limit that ends an attempt does not say

    def left(self, error: type[httpcore.TimeoutException]) -> float:
        """Seconds until the deadline.

        Raises:
            TimeoutException: There are none; of the class `error`.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise error("the time of the request is over")
        return left


current_attempt: ContextVar[Attempt] = ContextVar("current_attempt")
"""Of this thread or task. httpcore has no way to pass it on."""


class _Exchange:
    """The bytes of the requests and responses of one connection."""

    def __init__(self) -> None:
        self._framing = ResponseFraming()
        self._request: list[bytes] = []
        self._is_unused = True
        self._has_early_bytes = False
        self._rest = b""  # came behind a response
        self.is_open = False

    def keep(self, data: bytes) -> None:
        """Keep a piece of a request until its response is waited for: it leaves in one piece."""
        if not self.is_open:
            self._framing.begin()
            self.is_open = True
        self._is_unused = False
        self._request.append(data)

    def note_early_bytes(self) -> None:
        """Something came before a request that is about to be sent.

        A server that has no room may say so before it is asked; nothing is asked after that.

        Raises:
            ReadError: It stood at the end of another response.
        """
        if not self._is_unused:
            raise httpcore.ReadError("The server sent something before it was asked.")
        self._has_early_bytes = True

    def kept(self) -> bytes:
        """What is to be sent now."""
        whole, self._request = b"".join(self._request), []
        return whole

    def received(self, data: bytes) -> bytes:
        """What of this belongs to the response."""
        used = self._framing.take(data)
        self.is_open = not self._framing.is_over
        self._rest = data[used:]
        return data[:used] if self._rest else data

    @property
    def is_reusable(self) -> bool:
        """Whether the response has ended, beyond doubt, and nothing is known to have come since."""
        return self._framing.is_over and not self._rest and not self._has_early_bytes


class _SyncConnection(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, *, is_certain: bool = True) -> None:
        self._stream = stream
        self._exchange = _Exchange()
        self._is_certain = is_certain
        self._early = b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        if not self._exchange.is_open and self._stream.get_extra_info("is_readable"):
            try:
                self._early = self._stream.read(_LARGEST_READ, 0)
            except httpcore.ReadError as error:
                # Of TLS it may have been a ticket only, and there is nothing to be read.
                if not isinstance(error.__cause__, (ssl.SSLWantReadError, BlockingIOError)):
                    raise
            if self._early:
                self._exchange.note_early_bytes()
        self._exchange.keep(buffer)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        attempt = current_attempt.get()
        if request := self._exchange.kept():
            # A server that refuses before it has read all says why all the same.
            with contextlib.suppress(httpcore.WriteError):
                self._stream.write(request, attempt.left(httpcore.WriteTimeout))
        if self._early:
            data, self._early = self._early, b""
            return self._exchange.received(data)
        while (left := attempt.left(httpcore.ReadTimeout)) > LONGEST_WAIT:
            with contextlib.suppress(httpcore.ReadTimeout):
                return self._exchange.received(self._stream.read(max_bytes, LONGEST_WAIT))
        return self._exchange.received(self._stream.read(max_bytes, left))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        left = current_attempt.get().left(httpcore.ConnectTimeout)
        within = self._stream.get_extra_info("ssl_object") is not None
        # Of TLS within TLS it cannot be seen what waits in between.
        return _SyncConnection(
            self._stream.start_tls(ssl_context, server_hostname, left), is_certain=not within
        )

    def get_extra_info(self, info: str) -> object:
        if info != "is_readable":
            return self._stream.get_extra_info(info)
        within = self._stream.get_extra_info("ssl_object")
        return bool(
            not self._exchange.is_reusable
            or not self._is_certain
            or (within is not None and within.pending())
            or self._stream.get_extra_info("is_readable")
        )


class SyncBackend(httpcore.NetworkBackend):
    """Connects within the time of the current attempt.

    Args:
        check_address: May refuse an address.
    """

    def __init__(self, check_address: CheckAddress | None = None) -> None:
        self._check_address = check_address
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that answers.

        Raises:
            ConnectError: No address answers, or there is none.
            ConnectTimeout: Not in time.
        """
        addresses = _looked_up(host, port)
        failed: Exception = httpcore.ConnectError("the host has no address")
        for number, (_, (address, *_)) in enumerate(addresses):
            # One that keeps silent leaves time for the others.
            share = current_attempt.get().left(httpcore.ConnectTimeout) / (len(addresses) - number)
            if self._check_address:
                self._check_address(address)
            try:
                stream = self._backend.connect_tcp(
                    address, port, share, local_address, socket_options
                )
                return _SyncConnection(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = failed if number else error
        raise failed


def _looked_up(host: str, port: int) -> list[Address]:
    looked_up = look_up(host, port)
    while not looked_up.done():
        left = current_attempt.get().left(httpcore.ConnectTimeout)
        wait([looked_up], min(left, LONGEST_WAIT))
    try:
        return looked_up.result()
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error


class _AsyncConnection(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A connection of one event loop. Nothing waits inside it but for the first byte to come."""

    def __init__(self, connected: socket.socket, register: set[_AsyncConnection]) -> None:
        # Done when the socket is closed.
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket = connected
        self._register = register
        self._exchange = _Exchange()
        self._came: deque[bytes] = deque()
        self._broken: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._idle_timer: asyncio.TimerHandle | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of a stream, so one that writes; uvloop's are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._register.add(self)

    def data_received(self, data: bytes) -> None:
        self._came.append(data)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if self._idle_timer is not None:  # it is between two requests
            self.abort()

    def eof_received(self) -> None:
        self.data_received(b"")

    def connection_lost(self, error: Exception | None) -> None:
        self._broken = error
        self._stop_idle_timer()
        self._register.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)
        self.eof_received()

    # What httpcore calls

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._stop_idle_timer()
        if self._came and not self._exchange.is_open:
            self._exchange.note_early_bytes()
        self._exchange.keep(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        if (request := self._exchange.kept()) and not self._transport.is_closing():
            self._transport.write(request)
        if not self._came:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        data = self._came[0]
        if data:
            self._came.popleft()
        elif self._broken is not None:
            error = httpcore.ReadError(str(self._broken))
            error.__context__ = self._broken  # httpcore takes a cause away
            raise error
        response = self._exchange.received(data)
        if self._exchange.is_reusable:
            loop = asyncio.get_running_loop()
            self._idle_timer = loop.call_later(KEPT_ALIVE_SECONDS, self.abort)
        return response

    def _stop_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Close the socket at once; TLS would wait for the server's close_notify."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._transport.abort()

    def get_extra_info(self, info: str) -> object:
        if info == "is_readable":
            is_closed = self._transport.is_closing()
            return bool(self._came or is_closed or not self._exchange.is_reusable)
        return self._transport.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        inner = _AsyncConnection(self._socket, self._register)
        attempt = current_attempt.get()
        attempt.is_connecting = True
        self._register.discard(self)
        try:
            if self._came:
                self._exchange.note_early_bytes()
            transport = await asyncio.get_running_loop().start_tls(
                self._transport, inner, ssl_context, server_hostname=server_hostname
            )
        except BaseException as error:
            self.abort()
            # A TLS handshake that is cancelled might go on for a minute.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            if isinstance(error, OSError):
                raise httpcore.ConnectError(str(error)) from error
            raise
        attempt.is_connecting = False
        inner.connection_made(cast("asyncio.Transport", transport))
        return inner


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Connections of one event loop. Their time limit is that of the awaiting task.

    Args:
        check_address: May refuse an address.
    """

    def __init__(self, check_address: CheckAddress | None = None) -> None:
        self._check_address = check_address
        self._open: set[_AsyncConnection] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of the host that answers.

        Raises:
            ConnectError: No address answers, or there is none.
        """
        attempt = current_attempt.get()
        attempt.is_connecting = True
        try:
            connected = await connected_socket(host, port, self._check_address)
            _, stream = await asyncio.get_running_loop().create_connection(
                lambda: _AsyncConnection(connected, self._open), sock=connected
            )
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        attempt.is_connecting = False
        return stream

    async def aclose(self) -> None:
        """Close all connections and see them gone."""
        lost = [connection.lost for connection in self._open]
        for connection in [*self._open]:
            connection.abort()
        if lost:
            await asyncio.wait(lost, timeout=_CLOSING_SECONDS)
