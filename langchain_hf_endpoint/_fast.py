"""Requests over aiohttp, for tasks: what the extra ``[fast]`` is for.

It knows what `_transport` knows, of another library, and behaves alike in all that can be seen: the
environment's proxies, certificates, time-outs, redirects, sizes and words. It must not know httpx.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from base64 import b64encode
from contextvars import ContextVar
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakSet

import aiohttp
from yarl import URL

from langchain_hf_endpoint._mishaps import (
    LARGEST_REPLY,
    NoClientError,
    broken_encoding,
    mishap,
    not_connected,
    timed_out,
    too_much,
    unusable_url,
)
from langchain_hf_endpoint._tls import tls_context
from langchain_hf_endpoint._urls import is_loopback
from langchain_hf_endpoint._version import __version__
from langchain_hf_endpoint._wire import Failure, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace
    from pydantic import SecretStr

    from langchain_hf_endpoint._wire import Request
    from langchain_hf_endpoint.tls_settings import TlsSettings

_KEPT_ALIVE_SECONDS = 30.0
_PIECE = 1 << 20
_FAREWELL_TURNS = 5  # of the loop, in which it notices which sockets were shut
_USER_AGENT = f"langchain-hf-endpoint/{__version__} aiohttp/{aiohttp.__version__}"


class AiohttpTransport:
    """Sends from the tasks of one event loop.

    Args:
        url: Where all requests go.
        key: For the Authorization header.
        tls: Certificates.

    Raises:
        SettingsError: A file of `tls` cannot be used.
    """

    def __init__(self, url: str, key: SecretStr | None, tls: TlsSettings | None) -> None:
        if tls is not None:
            tls_context(tls)
        self._proxy, self._proxy_headers = _without_password(_proxy_to(url))
        self._key = key
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._connecting: set[asyncio.Task[object] | None] = set()
        self._sockets: WeakSet[socket.socket] = WeakSet()

    async def send(self, request: Request, timeout: float) -> Reply | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""
        try:
            async with self._open().request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=self._headers(request),
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=timeout),
            ) as response:
                if (response.content_length or 0) > LARGEST_REPLY:
                    return too_much()
                body = await _body(response)
                if body is None:
                    return too_much()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, headers, body)
        except (asyncio.TimeoutError, TimeoutError):
            is_connecting = asyncio.current_task() in self._connecting
            return not_connected(timeout) if is_connecting else timed_out(timeout)
        except (aiohttp.ClientError, OSError, ValueError, NoClientError) as error:
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
            try:
                connector = _Connector(
                    ssl=tls_context(self._tls),
                    limit=0,
                    keepalive_timeout=_KEPT_ALIVE_SECONDS,
                    socket_factory=self._socket,
                )
                connector.tasks = self._connecting
            except OSError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": _USER_AGENT},
                )
                return self._session
            raise NoClientError(f"the environment's certificates cannot be used: {reason}")
        return self._session

    def _socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        if (noted := _made_here.get()) is not None:
            noted.append(made)
        return made

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            _shut(self._sockets)  # TLS would wait for the server's farewell, longer than the loop
            for _ in range(_FAREWELL_TURNS):
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
            connection = await super().connect(req, traces, timeout)
        except BaseException:
            # On uvloop a handshake that is cancelled before it began would go on for a minute.
            _shut(noted)
            raise
        finally:
            _made_here.reset(token)
        self.tasks.discard(task)
        return connection


def _proxy_to(url: str) -> URL | None:
    """The environment's proxy. Not asked of aiohttp, which would look for keys in .netrc too."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.netloc):
        return None  # a proxy is for other machines; what is meant for this one does not leave it
    proxies = getproxies()
    if "*" in (name.strip() for name in proxies.get("no", "").split(",")):
        return None
    proxy = proxies.get(parts.scheme.lower()) or proxies.get("all")
    if not proxy:
        return None
    return URL(proxy if "://" in proxy else f"http://{proxy}")


def _without_password(proxy: URL | None) -> tuple[URL | None, dict[str, str] | None]:
    """The proxy's URL as it may be shown, and the header with what it may not show."""
    if proxy is None or proxy.user is None:
        return proxy, None
    secret = b64encode(f"{proxy.user}:{proxy.password or ''}".encode()).decode()
    return proxy.with_user(None), {"Proxy-Authorization": f"Basic {secret}"}


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None where it is too large to be one of vectors."""
    if response.content_length is not None and "Content-Encoding" not in response.headers:
        return await response.read()  # as long as it says, which was looked at before
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_PIECE):
        parts.append(part)
        size += len(part)
        if size > LARGEST_REPLY:
            return None
    return b"".join(parts)


def _failure(error: Exception) -> Failure:
    """Say what went wrong on the way, and whether another try may help."""
    if isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
        return broken_encoding()
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return unusable_url()
    connected = not isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)
    )
    return mishap(error, connected=connected)
