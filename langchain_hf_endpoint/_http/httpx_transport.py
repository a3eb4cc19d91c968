"""Requests over httpx, for threads and for tasks.

It knows connections, time-outs and the one header that holds the key. It must not know what a
request is about, nor try one twice.

httpcore scans all connections of a pool at each request, and above twenty closes idle ones at once
(https://github.com/encode/httpcore/issues/1035). So no pool has more than eight; when more requests
are in flight there are more pools.

Requests go to transports rather than to httpx's clients, which do for each request what is never
needed here: cookies, redirects, defaults to be merged. Whoever replaces or wraps the methods of
httpx's own transports, as pytest-httpx and OpenTelemetry do, sees every request: it is then sent by
httpx's own, a connection each.
"""

from __future__ import annotations

import inspect
import threading
import time
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import anyio
import anyio.lowlevel
import httpcore
import httpx

from langchain_hf_endpoint._http.clients import errors_of_libraries
from langchain_hf_endpoint._http.errors import (
    LARGEST_REPLY,
    NoClientError,
    RefusedAddressError,
    encoded,
    mishap,
    not_connected,
    timed_out,
    too_much,
    unasked_coding,
    unusable_url,
)
from langchain_hf_endpoint._http.network import (
    KEPT_ALIVE_SECONDS,
    AsyncBackend,
    Attempt,
    SyncBackend,
    current_attempt,
)
from langchain_hf_endpoint._http.proxies import proxy_to
from langchain_hf_endpoint._http.tls import check_files, tls_context
from langchain_hf_endpoint._messages import Failure, Response
from langchain_hf_endpoint._package import __version__
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator

    from pydantic import SecretStr

    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint._http.proxies import Proxy
    from langchain_hf_endpoint._messages import Request
    from langchain_hf_endpoint.settings import TlsSettings

_PARTS_A_TURN = 500
"""Of a body in chunks of a byte tens of thousands come at once: others get their turn between."""
_CONNECTIONS_PER_SENDER = 8
_HEADERS = {
    "User-Agent": f"langchain-hf-endpoint/{__version__} httpx/{httpx.__version__}",
    "Connection": "keep-alive",
    "Accept-Encoding": "identity",
}
_NEVER_CONNECTED = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol")
_MISHAPS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,
    NoClientError,
    RefusedAddressError,
)
_SYNC_METHOD = inspect.unwrap(httpx.HTTPTransport.handle_request)
_ASYNC_METHOD = inspect.unwrap(httpx.AsyncHTTPTransport.handle_async_request)

SenderT = TypeVar("SenderT")


class _SyncPool(httpx.BaseTransport):
    """httpcore's connections in place of those of httpx, which takes no network for its own."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its errors are httpcore's."""
        return _response(self._pool.handle_request(_of_httpcore(request)), _SyncBody)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


class _AsyncPool(httpx.AsyncBaseTransport):
    """The async twin of `_SyncPool`."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, backend: AsyncBackend) -> None:
        self._pool = pool
        self._backend = backend

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its errors are httpcore's."""
        response = await self._pool.handle_async_request(_of_httpcore(request))
        return _response(response, _AsyncBody)

    async def aclose(self) -> None:
        """Close all connections and see them gone."""
        await self._pool.aclose()
        await self._backend.aclose()


class _SyncBody(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()


def _of_httpcore(request: httpx.Request) -> httpcore.Request:
    url = request.url
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _response(response: httpcore.Response, body: Callable[[Any], Any]) -> httpx.Response:
    return httpx.Response(
        response.status,
        headers=response.headers,
        stream=body(response.stream),
        extensions=response.extensions,
    )


def _pool_options(context: ssl.SSLContext, proxy: Proxy | None) -> dict[str, Any]:
    """What httpcore's pools take, sync or async, direct or through a proxy."""
    options: dict[str, Any] = {
        "ssl_context": context,
        "max_connections": _CONNECTIONS_PER_SENDER,
        "max_keepalive_connections": _CONNECTIONS_PER_SENDER,
        "keepalive_expiry": KEPT_ALIVE_SECONDS,
    }
    if proxy is not None:
        options["proxy_url"] = proxy.origin
        if proxy.user is not None:
            options["proxy_auth"] = (proxy.user.encode(), proxy.password.encode())
    return options


def _is_socks(proxy: Proxy) -> bool:
    return proxy.scheme.startswith("socks")


def _stock_options(url: str, tls: TlsSettings | None) -> dict[str, Any]:
    """What httpx's own transports take. Without our network no connection is used twice."""
    proxy = proxy_to(url)
    options: dict[str, Any] = {
        "verify": tls_context(tls),
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=0),
    }
    if proxy is not None:
        auth = None if proxy.user is None else (proxy.user, proxy.password)
        options["proxy"] = httpx.Proxy(proxy.origin, auth=auth)
    return options


def _opened(client: Any, name: str) -> Any:
    """The user's own client."""
    if client.is_closed:
        raise NoClientError(f"the {name} is closed")
    return client


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
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise NoClientError(f"the environment's proxy or certificates cannot be used: {reason}")

    def all(self) -> list[SenderT]:
        return list(self._senders)


class AnyAsyncTransport(Protocol):
    """Sends from the tasks of one event loop."""

    async def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""

    async def close(self) -> None:
        """Close all connections."""


class SyncTransport:
    """Sends from any number of threads of one process.

    Args:
        url: Where all requests go.
        key: For the Authorization header.
        tls: Certificates.
        client: The user's own, of httpx or of httpx2, to be used as it is and not to be closed.
        check_address: May refuse an address just before it is connected to. It is not asked where
            a proxy of the environment or the user's client is in between.

    Raises:
        SettingsError: A file of `tls` cannot be used.
    """

    def __init__(
        self,
        url: str,
        key: SecretStr | None,
        tls: TlsSettings | None = None,
        client: httpx.Client | None = None,
        check_address: CheckAddress | None = None,
    ) -> None:
        def make() -> _SyncPool:
            proxy = proxy_to(url)
            options = _pool_options(tls_context(tls), proxy)
            if proxy is None:
                backend = SyncBackend(check_address)
                return _SyncPool(httpcore.ConnectionPool(network_backend=backend, **options))
            kind = httpcore.SOCKSProxy if _is_socks(proxy) else httpcore.HTTPProxy
            return _SyncPool(kind(network_backend=SyncBackend(), **options))

        check_files(tls)
        self._key = key
        self._client = client
        self._pools = _Senders(make)
        self._watched = _Senders(lambda: httpx.HTTPTransport(**_stock_options(url, tls)))

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""
        attempt = Attempt(time.monotonic() + timeout)
        token = current_attempt.set(attempt)
        body: list[bytes] = []
        size = 0
        try:
            with self._sent(request, timeout) as response:
                if (packed := _packed(response)) is not None:
                    return packed
                for part in _parts(response) or response.iter_raw():
                    body.append(part)
                    size += len(part)
                    if size > LARGEST_REPLY:
                        return too_much()
                    attempt.left(httpcore.ReadTimeout)
                return _reply(response, body)
        except _mishaps() as error:
            return _failure(error, timeout)
        except BaseException as error:  # noqa: BLE001 - raised again
            # An interrupt. The frames of the libraries below, which hold the key, are not shown.
            raise error.with_traceback(None) from None
        finally:
            current_attempt.reset(token)

    @contextmanager
    def _sent(self, request: Request, timeout: float) -> Iterator[httpx.Response]:
        if self._client is not None:
            client = _opened(self._client, "http_client")
            built = _built(client, request, timeout)
            with closing(client.send(built, **_send_options(self._key))) as response:
                yield response
            return
        is_watched = httpx.HTTPTransport.handle_request is not _SYNC_METHOD
        senders: _Senders[Any] = self._watched if is_watched else self._pools
        with senders.lease() as sender:
            built = _request(request, timeout, self._key)
            with closing(sender.handle_request(built)) as response:
                yield response

    def close(self) -> None:
        """Close all connections of ours."""
        for sender in (*self._pools.all(), *self._watched.all()):
            sender.close()


class AsyncTransport:
    """Sends from the tasks of one event loop. Arguments and errors: as those of `SyncTransport`."""

    def __init__(
        self,
        url: str,
        key: SecretStr | None,
        tls: TlsSettings | None = None,
        client: httpx.AsyncClient | None = None,
        check_address: CheckAddress | None = None,
    ) -> None:
        def make() -> _AsyncPool:
            proxy = proxy_to(url)
            options = _pool_options(tls_context(tls), proxy)
            backend = AsyncBackend(check_address if proxy is None else None)
            if proxy is None:
                pool = httpcore.AsyncConnectionPool(network_backend=backend, **options)
            else:
                kind = httpcore.AsyncSOCKSProxy if _is_socks(proxy) else httpcore.AsyncHTTPProxy
                pool = kind(network_backend=backend, **options)
            return _AsyncPool(pool, backend)

        check_files(tls)
        self._key = key
        self._client = client
        self._pools = _Senders(make)
        self._watched = _Senders(lambda: httpx.AsyncHTTPTransport(**_stock_options(url, tls)))

    async def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""
        attempt = Attempt(time.monotonic() + timeout)
        token = current_attempt.set(attempt)
        body: list[bytes] = []
        size = 0
        try:
            with anyio.fail_after(timeout):
                async with self._sent(request, timeout) as response:
                    if (packed := _packed(response)) is not None:
                        return packed
                    if (read := _parts(response)) is not None:
                        return _reply(response, read)
                    async for part in response.aiter_raw():
                        body.append(part)
                        if len(body) % _PARTS_A_TURN == 0:
                            await anyio.lowlevel.checkpoint()
                        size += len(part)
                        if size > LARGEST_REPLY:
                            return too_much()
                    return _reply(response, body)
        except TimeoutError:
            return not_connected(timeout) if attempt.is_connecting else timed_out(timeout)
        except _mishaps() as error:
            return _failure(error, timeout)
        except BaseException as error:  # noqa: BLE001 - raised again
            # A cancellation. As in `SyncTransport.send`.
            raise error.with_traceback(None) from None
        finally:
            current_attempt.reset(token)

    @asynccontextmanager
    async def _sent(self, request: Request, timeout: float) -> AsyncIterator[httpx.Response]:
        if self._client is not None:
            client = _opened(self._client, "http_async_client")
            built = _built(client, request, timeout)
            async with aclosing(await client.send(built, **_send_options(self._key))) as response:
                yield response
            return
        is_watched = httpx.AsyncHTTPTransport.handle_async_request is not _ASYNC_METHOD
        senders: _Senders[Any] = self._watched if is_watched else self._pools
        with senders.lease() as sender:
            built = _request(request, timeout, self._key)
            async with aclosing(await sender.handle_async_request(built)) as response:
                yield response

    async def close(self) -> None:
        """Close all connections of ours."""
        for sender in (*self._pools.all(), *self._watched.all()):
            await sender.aclose()


def fast_transport(
    url: str,
    key: SecretStr | None,
    tls: TlsSettings | None,
    check_address: CheckAddress | None = None,
) -> AnyAsyncTransport:
    """The transport over aiohttp.

    Raises:
        SettingsError: aiohttp is not installed, or a file of `tls` cannot be used.
    """
    try:
        from langchain_hf_endpoint._http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - of an extra
    except ImportError:
        problem = 'needs aiohttp: pip install "langchain-hf-endpoint[fast]"'
    else:
        return AiohttpTransport(url, key, tls, check_address)
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


def _built(client: Any, request: Request, timeout: float) -> Any:
    """The request with what a client puts on each of its own."""
    return client.build_request(
        request.method,
        request.url,
        content=request.body or None,
        headers={**request.headers, "Accept-Encoding": "identity"},
        timeout=timeout,
    )


def _send_options(key: SecretStr | None) -> dict[str, Any]:
    """A redirect is never followed: with the key it must not be, and where to is not ours to say.

    Without a key the client's own way to authenticate is left to it.
    """
    options: dict[str, Any] = {"stream": True, "follow_redirects": False}

    def authorize(request: Any) -> Any:
        """Put the key on a request at the last moment, so that it stands in no argument before."""
        if key is not None:
            request.headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        return request

    return options if key is None else {**options, "auth": authorize}


def _packed(response: httpx.Response) -> Response | Failure | None:
    """What is said of a reply whose body is not read, since it is packed; None for any other.

    Of an error the status is said by itself.
    """
    headers = {name.lower(): value for name, value in response.headers.items()}
    codings = encoded(headers)
    if codings is None or response.is_stream_consumed:
        return None
    is_error = response.is_error
    return Response(response.status_code, headers, b"") if is_error else unasked_coding(codings)


def _parts(response: httpx.Response) -> list[bytes] | None:
    """The body that somebody in between, a hook or a transport for tests, has read already."""
    return [response.content] if response.is_stream_consumed else None


def _reply(response: httpx.Response, body: list[bytes]) -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status_code, headers, b"".join(body))


def _mishaps() -> tuple[type[Exception], ...]:
    return _MISHAPS + errors_of_libraries()


def _failure(error: Exception, timeout: float) -> Failure:
    """Say what went wrong on the way, and whether another try may help.

    httpcore, httpx and httpx2 have classes of the same names.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names.isdisjoint({"UnsupportedProtocol", "InvalidURL"}):
        return unusable_url()
    connected = names.isdisjoint(_NEVER_CONNECTED)
    if "TimeoutException" in names:
        return timed_out(timeout) if connected else not_connected(timeout)
    return mishap(error, connected=connected)
