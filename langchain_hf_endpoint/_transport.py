"""Requests over httpx, for threads and for tasks: the only module that knows httpx.

It knows connections, time-outs and the one header that holds the key. It must not know what a
request is about, nor try one twice.

httpx scans all connections of a client at each request, and above twenty closes idle ones at once
(https://github.com/encode/httpcore/issues/1035). So no client here has more than eight; when more
requests are in flight there are more clients.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
import httpx

from langchain_hf_endpoint._deadline import limit_waits, time_limit
from langchain_hf_endpoint._urls import is_loopback
from langchain_hf_endpoint._version import __version__
from langchain_hf_endpoint._wire import Cause, Failure, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pydantic import SecretStr

    from langchain_hf_endpoint._wire import Request

ClientT = TypeVar("ClientT", httpx.Client, httpx.AsyncClient)

_CONNECTIONS_PER_CLIENT = 8
_KEPT_ALIVE_SECONDS = 30.0
_LARGEST_REPLY = 256 * 1024 * 1024
_USER_AGENT = f"langchain-hf-endpoint/{__version__} httpx/{httpx.__version__}"


class _NoClientError(httpx.TransportError):
    """The environment's proxy or certificates cannot be used."""


class _BearerAuth(httpx.Auth):
    """Puts the key on a request at the last moment, so that it stands in no argument before."""

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        yield request


@lru_cache(maxsize=4)
def _ssl_context(_certificates: tuple[str | None, str | None]) -> ssl.SSLContext:
    """The context that all clients share: making one costs forty times what a client costs."""
    return httpx.create_ssl_context()


def _client_options(url: str, key: SecretStr | None) -> dict[str, object]:
    certificates = (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
    return {
        "auth": _BearerAuth(key) if key else None,
        # Nothing a server sets comes back to it: no request depends on the one before.
        "cookies": CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
        "follow_redirects": False,
        "headers": {"User-Agent": _USER_AGENT},
        "limits": httpx.Limits(
            max_connections=_CONNECTIONS_PER_CLIENT,
            max_keepalive_connections=_CONNECTIONS_PER_CLIENT,
            keepalive_expiry=_KEPT_ALIVE_SECONDS,
        ),
        # A proxy is for other machines; what is meant for this one does not leave it.
        "trust_env": not is_loopback(url),
        "verify": _ssl_context(certificates),
    }


class _Clients(Generic[ClientT]):
    """As many clients as the requests in flight need, each with few connections."""

    def __init__(self, make: Callable[[], ClientT]) -> None:
        self._make: Callable[[], ClientT] = make
        self._lock = threading.Lock()
        self._clients: list[ClientT] = []
        self._in_flight: list[int] = []

    @contextmanager
    def lease(self) -> Iterator[ClientT]:
        """The first client with a connection to spare, so that the others' may go idle."""
        with self._lock:
            spare = (
                n for n, count in enumerate(self._in_flight) if count < _CONNECTIONS_PER_CLIENT
            )
            place = next(spare, len(self._clients))
            if place == len(self._clients):
                self._clients.append(self._made())
                self._in_flight.append(0)
            self._in_flight[place] += 1
            client = self._clients[place]
        try:
            yield client
        finally:
            with self._lock:
                self._in_flight[place] -= 1

    def _made(self) -> ClientT:
        try:
            return self._make()
        except (ImportError, OSError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise _NoClientError(f"the environment's proxy or certificates cannot be used: {reason}")

    def all(self) -> list[ClientT]:
        return list(self._clients)


class SyncTransport:
    """Sends from any number of threads of one process."""

    def __init__(self, url: str, key: SecretStr | None) -> None:
        def make() -> httpx.Client:
            client = httpx.Client(**_client_options(url, key))  # type: ignore[arg-type]
            limit_waits(client)
            return client

        self._clients = _Clients(make)

    def send(self, request: Request, timeout: float) -> Reply | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        body = bytearray()
        try:
            with (
                self._clients.lease() as client,
                time_limit(timeout),
                client.stream(**_stream_arguments(request, timeout)) as response,  # type: ignore[arg-type]
            ):
                for part in response.iter_bytes():
                    body += part
                    if len(body) > _LARGEST_REPLY:
                        return _too_much()
                    if time.monotonic() > deadline:
                        return _timed_out(timeout)
                return _reply(response, bytes(body))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return _failure(error, timeout)

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.all():
            client.close()


class AsyncTransport:
    """Sends from the tasks of one event loop."""

    def __init__(self, url: str, key: SecretStr | None) -> None:
        def make() -> httpx.AsyncClient:
            return httpx.AsyncClient(**_client_options(url, key))  # type: ignore[arg-type]

        self._clients = _Clients(make)

    async def send(self, request: Request, timeout: float) -> Reply | Failure:  # noqa: ASYNC109
        """Send one request and read the whole reply within `timeout` seconds."""
        body = bytearray()
        try:
            with anyio.fail_after(timeout), self._clients.lease() as client:
                async with client.stream(**_stream_arguments(request, timeout)) as response:  # type: ignore[arg-type]
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > _LARGEST_REPLY:
                            return _too_much()
                    return _reply(response, bytes(body))
        except TimeoutError:
            return _timed_out(timeout)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return _failure(error, timeout)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.all():
            await client.aclose()


def _stream_arguments(request: Request, timeout: float) -> dict[str, object]:
    return {
        "method": request.method,
        "url": request.url,
        "content": request.body or None,
        "headers": dict(request.headers),
        "timeout": timeout,
    }


def _reply(response: httpx.Response, body: bytes) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, body)


def _too_much() -> Failure:
    return Failure(Cause.PROTOCOL, f"the reply has more than {_LARGEST_REPLY} bytes")


def _timed_out(timeout: float) -> Failure:
    return Failure(Cause.TRANSPORT, f"no complete reply within {timeout:g} s", timed_out=True)


def _failure(error: Exception, timeout: float) -> Failure:
    """Say what went wrong on the way, and whether another try may help."""
    if isinstance(error, _NoClientError):
        return Failure(Cause.UNREACHABLE, str(error)[:300], connected=False)
    if isinstance(error, httpx.DecodingError):
        return Failure(Cause.PROTOCOL, "the reply's content encoding is broken")
    connected = not isinstance(
        error,
        (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol),
    )
    if isinstance(error, httpx.TimeoutException):
        if connected:
            return _timed_out(timeout)
        return Failure(Cause.TRANSPORT, f"no connection within {timeout:g} s", connected=False)
    root = _root(error)
    if isinstance(root, ssl.SSLCertVerificationError):
        text = f"the server's certificate is not accepted: {root.verify_message}"
        return Failure(Cause.UNREACHABLE, text, connected=False)
    if isinstance(root, socket.gaierror) and root.errno == socket.EAI_NONAME:
        return Failure(Cause.UNREACHABLE, "the host is unknown", connected=False)
    if isinstance(error, (httpx.UnsupportedProtocol, httpx.InvalidURL)):
        return Failure(Cause.UNREACHABLE, "the URL cannot be used", connected=False)
    kind = type(error).__name__
    return Failure(Cause.TRANSPORT, f"{kind}: {error}"[:300], connected=connected)


def _root(error: BaseException) -> BaseException:
    """The error at the bottom of a chain; httpx wraps httpcore, which wraps the socket's."""
    seen = {id(error)}
    while (deeper := error.__cause__ or error.__context__) is not None and id(deeper) not in seen:
        seen.add(id(deeper))
        error = deeper
    return error
