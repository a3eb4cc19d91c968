"""Send requests over aiohttp, from the tasks of an event loop: the transport of ``[fast]``."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from base64 import b64encode
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp
from yarl import URL

from langchain_hf_endpoint._http.addresses import look_up
from langchain_hf_endpoint._http.errors import (
    LARGEST_RESPONSE,
    NoClientError,
    RefusedAddressError,
    compressed,
    network_failure,
    not_connected,
    timed_out,
    too_large,
    unusable_url,
)
from langchain_hf_endpoint._http.framing import ResponseFraming
from langchain_hf_endpoint._http.network import KEPT_ALIVE_SECONDS
from langchain_hf_endpoint._http.proxies import proxy_to
from langchain_hf_endpoint._http.tls import check_files, tls_context
from langchain_hf_endpoint._messages import Failure, Response
from langchain_hf_endpoint._package import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.abc import ResolveResult
    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace
    from pydantic import SecretStr

    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint._http.proxies import Proxy
    from langchain_hf_endpoint._messages import Request
    from langchain_hf_endpoint.settings import TlsSettings

_LARGEST_READ = 1 << 20
_CLOSING_TURNS = 5  # of the loop, in which it notices which sockets were shut
_USER_AGENT = f"langchain-hf-endpoint/{__version__} aiohttp/{aiohttp.__version__}"


class AiohttpTransport:
    """Sends from the tasks of one event loop.

    Args:
        url: Where all requests go.
        key: For the Authorization header.
        tls: Certificates.
        check_address: As that of `SyncTransport`.

    Raises:
        SettingsError: A file of `tls` cannot be used.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr | None,
        tls: TlsSettings | None,
        check_address: CheckAddress | None = None,
    ) -> None:
        check_files(tls)
        self._url = url
        self._key = key
        self._tls = tls
        self._check_address = check_address
        self._proxy: Proxy | None = None
        self._session: aiohttp.ClientSession | None = None
        self._connecting: set[asyncio.Task[object] | None] = set()
        self._sockets: WeakSet[socket.socket] = WeakSet()

    async def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole response within `timeout` seconds."""
        try:
            async with self._open().request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=self._headers(request),
                **_through(self._proxy),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=timeout),
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                if (instead := compressed(response.status, headers)) is not None:
                    return instead
                body = await _body(response)
                return too_large() if body is None else Response(response.status, headers, body)
        except TimeoutError:
            is_connecting = asyncio.current_task() in self._connecting
            return not_connected(timeout) if is_connecting else timed_out(timeout)
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
            NoClientError,
            RefusedAddressError,
        ) as error:
            return _failure(error)
        except BaseException as error:  # noqa: BLE001 - raised again
            # A cancellation. The frames below, which hold the key, are not shown.
            raise error.with_traceback(None) from None
        finally:
            self._connecting.discard(asyncio.current_task())

    def _headers(self, request: Request) -> dict[str, str]:
        key = self._key
        authorization = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        return {**request.headers, **authorization}

    def _open(self) -> aiohttp.ClientSession:
        """The session; made on the loop, with the first request."""
        if self._session is None:
            self._proxy = proxy_to(self._url)
            if self._proxy is not None and self._proxy.scheme.startswith("socks"):
                problem = "names a SOCKS proxy, which needs the transport httpx"
                raise NoClientError(f"{self._proxy.variable} {problem}")
            connector = _Connector(
                ssl=tls_context(self._tls),
                limit=0,
                keepalive_timeout=KEPT_ALIVE_SECONDS,
                resolver=_Resolver(),
                socket_factory=self._socket,
            )
            connector.tasks = self._connecting
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, place = address
        if self._check_address and self._proxy is None:
            self._check_address(str(place[0]))
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        if (noted := _made_here.get()) is not None:
            noted.append(made)
        return made

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            _shut(self._sockets)  # TLS would wait for the server's farewell, longer than the loop
            for _ in range(_CLOSING_TURNS):
                await asyncio.sleep(0)


_made_here: ContextVar[list[socket.socket] | None] = ContextVar("_made_here", default=None)
"""The sockets for the connection that this task, with those it begins, is about to have."""


def _shut(sockets: Iterable[socket.socket]) -> None:
    """End connections at once, whoever holds their sockets; nothing where they are closed."""
    for one in list(sockets):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


class _Connector(aiohttp.TCPConnector):
    """Notes which tasks have no connection yet: aiohttp's time-outs do not say."""

    tasks: set[asyncio.Task[object] | None]

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> Connection:
        task = asyncio.current_task()
        self.tasks.add(task)
        noted: list[socket.socket] = []
        token = _made_here.set(noted)
        try:
            while True:
                connection = await super().connect(req, traces, timeout)
                if _watched(connection):
                    break
                connection.close()
        except BaseException:
            # On uvloop a handshake that is cancelled before it began would go on for a minute.
            _shut(noted)
            raise
        finally:
            _made_here.reset(token)
        self.tasks.discard(task)
        return connection


def _watched(connection: Connection) -> bool:
    """Whether a request may be sent on this connection: nothing came that nobody asked for."""
    transport, handler = connection.transport, connection.protocol
    if transport is None or handler is None:
        return False
    watch = transport.get_protocol()
    if not isinstance(watch, _Watch):
        watch = _Watch(handler, is_spoiled=handler.should_close)
        transport.set_protocol(watch)
        return True
    return watch.begin()


class _Watch(asyncio.Protocol):
    """Stands between a connection and aiohttp, which would take early bytes for a response.

    Args:
        handler: aiohttp's.
        is_spoiled: Something came before the first request, which it may answer.
    """

    def __init__(self, handler: asyncio.Protocol, *, is_spoiled: bool) -> None:
        self._handler = handler
        self._framing = ResponseFraming()
        self._is_spoiled = is_spoiled

    def begin(self) -> bool:
        """Another request is about to be sent. False: it must not be."""
        if self._is_spoiled or not self._framing.is_over:
            return False
        self._framing.begin()
        return True

    def data_received(self, data: bytes) -> None:
        used = self._framing.take(data)
        self._is_spoiled = self._is_spoiled or used < len(data)
        if used:
            self._handler.data_received(data[:used])

    def eof_received(self) -> bool | None:
        return self._handler.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        self._handler.connection_lost(error)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()


class _Resolver(aiohttp.abc.AbstractResolver):
    """Names are looked up as the other transports do it."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.wrap_future(look_up(host, port))
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": kind,
                "proto": socket.IPPROTO_TCP,
                "flags": socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            }
            for kind, (address, *_) in found
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        pass


def _through(proxy: Proxy | None) -> dict[str, Any]:
    """The proxy's URL as it may be shown, and the header with what it may not show."""
    if proxy is None:
        return {}
    headers = None
    if proxy.auth is not None:
        secret = b64encode(":".join(proxy.auth).encode()).decode()
        headers = {"Proxy-Authorization": f"Basic {secret}"}
    return {"proxy": URL(proxy.origin), "proxy_headers": headers}


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None where it is too large to be one of vectors."""
    if response.content_length is not None:
        is_too_large = response.content_length > LARGEST_RESPONSE
        return None if is_too_large else await response.read()
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_LARGEST_READ):
        parts.append(part)
        size += len(part)
        if size > LARGEST_RESPONSE:
            return None
    return b"".join(parts)


def _failure(error: Exception) -> Failure:
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return unusable_url()
    connected = not isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)
    )
    text = str(error)
    if isinstance(error, aiohttp.ClientResponseError):  # shows the URL, with what it asks for
        text = f"{error.status} {error.message}"
    return network_failure(error, connected=connected, text=text)
