"""Serve the gateway at an address, with bounds on callers' connections and an orderly end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

import uvicorn
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from langchain_hf_endpoint._urls import is_loopback_address
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.gateway.app import create_app
from langchain_hf_endpoint.gateway.config import check_least, default_allowed_urls

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import Receive, Scope, Send

    from langchain_hf_endpoint.registry import InferenceEndpoints

DEFAULT_PORT = 9200
_BACKLOG = 2048
_ACCEPTED_AT_ONCE = 16
_KEEP_ALIVE_SECONDS = 120
"""Longer than clients and proxies keep an idle connection: whoever closes first may cut off a
request that the other is sending."""
_FILES_FOR_OTHERS = 200
_PIECE = 16_384
"""Bytes that are read in one turn of the loop where more have come: of a body in chunks of a byte,
each takes 20 microseconds."""


def serve(  # noqa: PLR0913 - the operator's decisions
    endpoints: InferenceEndpoints,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    ready: Callable[[str], object] | None = None,
    max_connections: int = 4096,
    request_seconds: float = 60.0,
    shutdown_seconds: int = 30,
    **options: Any,
) -> None:
    """Serve a registry until the process is told to end (Ctrl-C, SIGTERM).

    What is under way then is finished and answered first, within `shutdown_seconds`; a second
    Ctrl-C ends it at once.

    Args:
        endpoints: The registry; it is not closed.
        host: An address of this machine. Any but a loopback one needs `api_key`, and there
            `allow_urls` has loopback addresses only where it names them.
        port: 0 takes a free one.
        ready: Is called with the URL when it listens.
        max_connections: Of callers, at a time; never more than this process may have files. Above
            it the one is closed that has waited longest without a request.
        request_seconds: How long the head of a request may take to arrive, and then its body.
        shutdown_seconds: How long what is under way may take when the process is told to end.
        **options: Those of `create_app`.

    Raises:
        SettingsError: An option cannot be used, or the address cannot.
    """
    only_this_machine = host == "localhost" or is_loopback_address(host)
    if options.get("api_key") is None and not only_this_machine:
        problem = (
            f"{host} can be reached from other machines: a gateway there needs a key "
            "(api_key; HF_ENDPOINT_GATEWAY_KEY for hf-endpoint serve)"
        )
        raise SettingsError(("host", problem))
    check_least(("max_connections", max_connections, 1), ("shutdown_seconds", shutdown_seconds, 1))
    if options.get("allow_urls") is None:
        options["allow_urls"] = default_allowed_urls(only_this_machine=only_this_machine)
    app = create_app(endpoints, request_seconds=request_seconds, **options)
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="error",
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        http=_connections(request_seconds, _most_connections(max_connections)),
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds,
    )
    with _listener(host, port) as listener:
        if ready:
            ready(_url_of(listener))
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Takes in few connections in one turn of the loop, so that those who are in have their turn.

    asyncio accepts as many at once as it makes the system queue: so the queue is made longer later.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol is named because asyncio turns Nagle's algorithm off only where it sees it.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (OSError, OverflowError) as error:
        raise SettingsError(("host", f"{host} port {port} cannot be used: {error}")) from error
    # On Windows the option would let another program listen at the same port.
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(
            ("port", f"{port} of {host} cannot be used: {error.strerror}; 0 takes a free one")
        ) from error
    listener.listen(_BACKLOG)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
        # A view, so that cutting a piece off a large body copies nothing.
        self._received = memoryview(b"")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it in; let the one that waited longest go where there are too many."""
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self.open.add(self)
        if len(self.open) > self.most:
            # Where all others have requests under way, the new one goes. Aborted and not closed: a
            # close would wait for a peer that does not read.
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
                # One second after the time-out of uvicorn, for a connection that does not end then.
                self._wait(_KEEP_ALIVE_SECONDS + 1)

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


def _connections(seconds: float, most: int) -> type[asyncio.Protocol]:
    """A protocol for uvicorn: heads are whole within `seconds`, connections at most `most`."""
    # uvicorn makes the connections itself: what those of a server share is kept by a class of their
    # own.
    members = {"seconds": seconds, "most": most, "waiting": {}, "open": set(), "unread": deque()}
    return type("CallerConnection", (CallerConnection,), members)


def _most_connections(wanted: int) -> int:
    """How many there may be: no more than this process may have files, less those of its own."""
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415 - POSIX only

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, max(files - _FILES_FOR_OTHERS, files // 2)))
