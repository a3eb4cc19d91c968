"""Send requests over aiohttp, from the tasks of an event loop: the transport of ``[fast]``."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from base64 import b64encode
from contextvars import ContextVar
from dataclasses import dataclass, field
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
from langchain_hf_endpoint._http.proxies import proxy_to, with_proxy
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
        self._sockets: WeakSet[socket.socket] = WeakSet()

    async def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole response within `timeout` seconds."""
        attempt = _Attempt()
        token = _current_attempt.set(attempt)
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
            failure = not_connected(timeout) if attempt.is_connecting else timed_out(timeout)
            return with_proxy(failure, self._url)
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
            NoClientError,
            RefusedAddressError,
        ) as error:
            return with_proxy(_failure(error), self._url)
        except BaseException as error:  # noqa: BLE001 - raised again
            # A cancellation. The frames below, which hold the key, are not shown.
            raise error.with_traceback(None) from None
        finally:
            _current_attempt.reset(token)

    def _headers(self, request: Request) -> dict[str, str]:
        key = self._key
        authorization = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        return {**request.headers, **authorization}

    def _open(self) -> aiohttp.ClientSession:
        """The session; made on the loop, with the first request."""
        if self._session is None:
            self._proxy = proxy_to(self._url)
            if self._proxy is not None and self._proxy.is_socks:
                problem = "names a SOCKS proxy, which needs the transport httpx"
                raise NoClientError(f"{self._proxy.variable} {problem}")
            connector = _Connector(
                ssl=tls_context(self._tls),
                limit=0,
                keepalive_timeout=KEPT_ALIVE_SECONDS,
                resolver=_Resolver(),
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = address
        if self._check_address and self._proxy is None:
            self._check_address(str(target[0]))
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        _current_attempt.get().sockets.append(made)
        return made

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            _shut(self._sockets)  # TLS would wait for the server's close_notify
            for _ in range(_CLOSING_TURNS):
                await asyncio.sleep(0)


@dataclass
class _Attempt:
    """One request of a task."""

    is_connecting: bool = False  # there is no connection yet; aiohttp's time-outs do not say
    # Those that were made for it, also in tasks that this one begins.
    sockets: list[socket.socket] = field(default_factory=list)


_current_attempt: ContextVar[_Attempt] = ContextVar("_current_attempt")


def _shut(sockets: Iterable[socket.socket]) -> None:
    """End connections at once; nothing where they are closed."""
    for one in list(sockets):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


class _Connector(aiohttp.TCPConnector):
    """Gives out connections on which nothing came before a request."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> Connection:
        attempt = _current_attempt.get()
        attempt.is_connecting = True
        try:
            while not _begin(connection := await super().connect(req, traces, timeout)):
                connection.close()
        except BaseException:
            # On uvloop a handshake that is cancelled before it began would go on for a minute.
            _shut(attempt.sockets)
            raise
        attempt.is_connecting = False
        return connection


def _begin(connection: Connection) -> bool:
    """Watch a connection from the next request on. False: no request may be sent on it."""
    transport, handler = connection.transport, connection.protocol
    if transport is None or handler is None:
        return False
    watch = transport.get_protocol()
    if isinstance(watch, _Watch):
        return watch.begin()
    transport.set_protocol(_Watch(handler, has_early_bytes=handler.should_close))
    return True


class _Watch(asyncio.Protocol):
    """Stands between a connection and aiohttp, which would take early bytes for a response.

    Args:
        handler: aiohttp's.
        has_early_bytes: Something came before the first request, which it may answer.
    """

    def __init__(self, handler: asyncio.Protocol, *, has_early_bytes: bool) -> None:
        self._handler = handler
        self._framing = ResponseFraming()
        self._has_early_bytes = has_early_bytes

    def begin(self) -> bool:
        """Another request is about to be sent. False: it must not be."""
        if self._has_early_bytes or not self._framing.is_over:
            return False
        self._framing.begin()
        return True

    def data_received(self, data: bytes) -> None:
        used = self._framing.take(data)
        self._has_early_bytes = self._has_early_bytes or used < len(data)
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
    connected = not isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError))
    text = str(error)
    if isinstance(error, aiohttp.ClientResponseError):  # shows the URL, with what it asks for
        text = f"{error.status} {error.message}"
    return network_failure(error, connected=connected, text=text)
