"""Requests over httpx, for threads and for tasks.

It knows connections, time-outs and the one header that holds the key. It must not know what a
request is about, nor try one twice.

httpx scans all connections of a client at each request, and above twenty closes idle ones at once
(https://github.com/encode/httpcore/issues/1035). So no transport for threads has more than eight;
when more requests are in flight there are more transports.

Requests go to httpx's transports rather than to its clients, which do for each request what is
never needed here: cookies, redirects, defaults to be merged. Whoever replaces the transports, as
pytest-httpx does, sees every request.
"""

from __future__ import annotations

import threading
import time
from contextlib import aclosing, closing, contextmanager
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.request import getproxies

import anyio
import httpx

from langchain_hf_endpoint._deadline import limit_waits, time_limit
from langchain_hf_endpoint._http11 import Stage, use_own_connections
from langchain_hf_endpoint._mishaps import (
    LARGEST_REPLY,
    NoClientError,
    ReplyTooLargeError,
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
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pydantic import SecretStr

    from langchain_hf_endpoint._wire import Request
    from langchain_hf_endpoint.tls_settings import TlsSettings

_CONNECTIONS_PER_SENDER = 8
_LIMITS = httpx.Limits(
    max_connections=_CONNECTIONS_PER_SENDER,
    max_keepalive_connections=_CONNECTIONS_PER_SENDER,
    keepalive_expiry=30.0,
)
_HEADERS = {
    "User-Agent": f"langchain-hf-endpoint/{__version__} httpx/{httpx.__version__}",
    "Connection": "keep-alive",
}
_NEVER_CONNECTED = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_MISHAPS = (httpx.HTTPError, httpx.InvalidURL, OSError, NoClientError, ReplyTooLargeError)

SenderT = TypeVar("SenderT")
ClientT = TypeVar("ClientT", httpx.Client, httpx.AsyncClient)


class _BearerAuth(httpx.Auth):
    """Puts the key on a request at the last moment, so that it stands in no argument before."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


def _client_options(tls: TlsSettings | None) -> dict[str, Any]:
    """For the clients through which httpx sends by the environment's proxies."""
    return {
        # Nothing a server sets comes back to it: no request depends on the one before.
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        "headers": _HEADERS,
        "limits": _LIMITS,
        "verify": tls_context(tls),
    }


def _opened(client: ClientT, name: str) -> ClientT:
    """The user's own client."""
    if client.is_closed:
        raise NoClientError(f"the {name} is closed")
    return client


def _has_proxy(url: str) -> bool:
    """Whether the environment may name a proxy; one is for other machines, never for this one."""
    return not is_loopback(url) and not getproxies().keys().isdisjoint({"http", "https", "all"})


class _Senders(Generic[SenderT]):
    """As many clients or transports as the requests in flight need, each with few connections."""

    def __init__(self, make: Callable[[], SenderT]) -> None:
        self._make: Callable[[], SenderT] = make
        self._lock = threading.Lock()
        self._senders: list[SenderT] = []
        self._in_flight: list[int] = []

    @contextmanager
    def lease(self) -> Iterator[SenderT]:
        """The first with a connection to spare, so that the others' may go idle."""
        with self._lock:
            spare = (
                n for n, count in enumerate(self._in_flight) if count < _CONNECTIONS_PER_SENDER
            )
            place = next(spare, len(self._senders))
            if place == len(self._senders):
                self._senders.append(self._made())
                self._in_flight.append(0)
            self._in_flight[place] += 1
            sender = self._senders[place]
        try:
            yield sender
        finally:
            with self._lock:
                self._in_flight[place] -= 1

    def _made(self) -> SenderT:
        try:
            return self._make()
        except (ImportError, OSError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise NoClientError(f"the environment's proxy or certificates cannot be used: {reason}")

    def all(self) -> list[SenderT]:
        return list(self._senders)


class AnyAsyncTransport(Protocol):
    """Sends from the tasks of one event loop."""

    async def send(self, request: Request, timeout: float) -> Reply | Failure:  # noqa: ASYNC109
        """Send one request and read the whole reply within `timeout` seconds."""

    async def close(self) -> None:
        """Close all connections."""


class SyncTransport:
    """Sends from any number of threads of one process.

    Args:
        url: Where all requests go.
        key: For the Authorization header.
        tls: Certificates.
        client: The user's own, to be used as it is and not to be closed.

    Raises:
        SettingsError: A file of `tls` cannot be used.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr | None,
        tls: TlsSettings | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        def make() -> httpx.Client | httpx.HTTPTransport:
            if client is not None:
                return _opened(client, "http_client")
            sender: httpx.Client | httpx.HTTPTransport
            if _has_proxy(url):
                sender = httpx.Client(**_client_options(tls))
            else:
                sender = httpx.HTTPTransport(verify=tls_context(tls), limits=_LIMITS)
            limit_waits(sender)
            return sender

        if tls is not None:
            tls_context(tls)
        self._key = key
        self._is_ours = client is None
        self._senders = _Senders(make)

    def send(self, request: Request, timeout: float) -> Reply | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        body: list[bytes] = []
        size = 0
        try:
            with self._senders.lease() as sender, time_limit(timeout):
                if isinstance(sender, httpx.HTTPTransport):
                    response = sender.handle_request(_request(request, timeout, self._key))
                else:
                    response = sender.send(
                        _built(sender, request, timeout), **_send_options(self._key)
                    )
                with closing(response):
                    for part in response.iter_bytes():
                        body.append(part)
                        size += len(part)
                        if size > LARGEST_REPLY:
                            return too_much()
                        if time.monotonic() > deadline:
                            return timed_out(timeout)
                return _reply(response, body)
        except _MISHAPS as error:
            return _failure(error, timeout)
        except BaseException as error:  # noqa: BLE001 - raised again
            # An interrupt. The frames of the libraries below, which hold the key, are not shown.
            raise error.with_traceback(None) from None

    def close(self) -> None:
        """Close all connections of ours."""
        for sender in self._senders.all() if self._is_ours else ():
            sender.close()


class AsyncTransport:
    """Sends from the tasks of one event loop. Arguments and errors: as those of `SyncTransport`."""

    def __init__(
        self,
        url: str,
        key: SecretStr | None,
        tls: TlsSettings | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        def make() -> httpx.AsyncClient | httpx.AsyncHTTPTransport:
            if client is not None:
                return _opened(client, "http_async_client")
            if _has_proxy(url):
                return httpx.AsyncClient(**_client_options(tls))
            context = tls_context(tls)
            sender = httpx.AsyncHTTPTransport(verify=context, limits=_LIMITS)
            use_own_connections(sender, context)
            return sender

        if tls is not None:
            tls_context(tls)
        self._key = key
        self._is_ours = client is None
        self._senders = _Senders(make)

    async def send(self, request: Request, timeout: float) -> Reply | Failure:  # noqa: ASYNC109
        """Send one request and read the whole reply within `timeout` seconds."""
        body: list[bytes] = []
        size = 0
        stage = Stage()
        try:
            with anyio.fail_after(timeout), self._senders.lease() as sender:
                if isinstance(sender, httpx.AsyncHTTPTransport):
                    sent = _request(request, timeout, self._key)
                    sent.extensions[Stage.NAME] = stage
                    response = await sender.handle_async_request(sent)
                else:
                    response = await sender.send(
                        _built(sender, request, timeout), **_send_options(self._key)
                    )
                async with aclosing(response):
                    async for part in response.aiter_bytes():
                        body.append(part)
                        size += len(part)
                        if size > LARGEST_REPLY:
                            return too_much()
                return _reply(response, body)
        except TimeoutError:
            return not_connected(timeout) if stage.is_connecting else timed_out(timeout)
        except _MISHAPS as error:
            return _failure(error, timeout)
        except BaseException as error:  # noqa: BLE001 - raised again
            # A cancellation. As in `SyncTransport.send`.
            raise error.with_traceback(None) from None

    async def close(self) -> None:
        """Close all connections of ours."""
        for sender in self._senders.all() if self._is_ours else ():
            await sender.aclose()


def fast_transport(url: str, key: SecretStr | None, tls: TlsSettings | None) -> AnyAsyncTransport:
    """The transport over aiohttp.

    Raises:
        SettingsError: aiohttp is not installed, or a file of `tls` cannot be used.
    """
    try:
        from langchain_hf_endpoint._fast import AiohttpTransport  # noqa: PLC0415 - of an extra
    except ImportError:
        problem = 'needs aiohttp: pip install "langchain-hf-endpoint[fast]"'
    else:
        return AiohttpTransport(url, key, tls)
    raise SettingsError(("service_settings.transport", problem))


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _request(request: Request, timeout: float, key: SecretStr | None) -> httpx.Request:
    """The request as a transport takes it: complete."""
    built = httpx.Request(
        request.method,
        _parsed(request.url),
        headers={**_HEADERS, **request.headers},
        content=request.body or None,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)},
    )
    if key is not None:
        built.headers["Authorization"] = f"Bearer {key.get_secret_value()}"
    return built


def _built(
    client: httpx.Client | httpx.AsyncClient, request: Request, timeout: float
) -> httpx.Request:
    """The request with what a client puts on each of its own."""
    return client.build_request(
        request.method,
        request.url,
        content=request.body or None,
        headers=request.headers,
        timeout=timeout,
    )


def _send_options(key: SecretStr | None) -> dict[str, Any]:
    """A redirect is never followed: with the key it must not be, and where to is not ours to say.

    Without a key the client's own way to authenticate is left to it.
    """
    options: dict[str, Any] = {"stream": True, "follow_redirects": False}
    return options if key is None else {**options, "auth": _BearerAuth(key)}


def _reply(response: httpx.Response, body: list[bytes]) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, b"".join(body))


def _failure(error: Exception, timeout: float) -> Failure:
    """Say what went wrong on the way, and whether another try may help."""
    if isinstance(error, httpx.DecodingError):
        return broken_encoding()
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return unusable_url()
    connected = not isinstance(error, _NEVER_CONNECTED)
    if isinstance(error, httpx.TimeoutException):
        return timed_out(timeout) if connected else not_connected(timeout)
    return mishap(error, connected=connected)
