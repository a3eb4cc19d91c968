"""Send requests over httpcore and httpx, from threads and from the tasks of an event loop.

Who replaces or wraps the methods of httpx's own transports, as pytest-httpx and OpenTelemetry do,
sees every request: it then goes through httpx. All others go to httpcore's pools directly, since
httpx takes no network backend, and its clients keep cookies and follow redirects.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeAlias

import httpcore
import httpx

from langchain_hf_endpoint._http.clients import errors_of_libraries
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
from langchain_hf_endpoint._http.network import AsyncBackend, Attempt, SyncBackend, current_attempt
from langchain_hf_endpoint._http.pools import Pools, pool_options, stock_options
from langchain_hf_endpoint._http.proxies import with_proxy
from langchain_hf_endpoint._http.tls import check_files
from langchain_hf_endpoint._messages import Failure, Response
from langchain_hf_endpoint._package import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from pydantic import SecretStr

    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint._http.aiohttp_transport import AiohttpTransport
    from langchain_hf_endpoint._messages import Request
    from langchain_hf_endpoint.settings import TlsSettings

# Of a body in chunks of a byte tens of thousands come at once: others get their turn between.
_PARTS_A_TURN = 500
_HEADERS = {
    "User-Agent": f"langchain-hf-endpoint/{__version__} httpx/{httpx.__version__}",
    "Connection": "keep-alive",
    "Accept-Encoding": "identity",
}
_NEVER_CONNECTED = ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol")
_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,
    NoClientError,
    RefusedAddressError,
)
AnyAsyncTransport: TypeAlias = "AsyncTransport | AiohttpTransport"


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
        def make_pool() -> httpcore.ConnectionPool:
            options, check = pool_options(url, tls, check_address)
            return httpcore.ConnectionPool(network_backend=SyncBackend(check), **options)

        check_files(tls)
        self._key = key
        self._client = client
        self._pools = Pools(make_pool)
        self._stock: Pools[Any] = Pools(lambda: httpx.HTTPTransport(**stock_options(url, tls)))

    def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole response within `timeout` seconds."""
        attempt = Attempt(time.monotonic() + timeout)
        token = current_attempt.set(attempt)
        try:
            with self._begun(request, timeout) as incoming:
                if (done := incoming.without_reading()) is not None:
                    return done
                for part in incoming.parts:
                    if not incoming.add(part):
                        return too_large()
                    attempt.left(httpcore.ReadTimeout)
                return incoming.response()
        except _errors() as error:
            return with_proxy(_failure(error, timeout), None if self._client else request.url)
        except BaseException as error:  # noqa: BLE001 - raised again
            # An interrupt. The frames of the libraries below, which hold the key, are not shown.
            raise error.with_traceback(None) from None
        finally:
            current_attempt.reset(token)

    @contextmanager
    def _begun(self, request: Request, timeout: float) -> Iterator[_Incoming]:
        if self._client is None and _is_of_httpx(httpx.HTTPTransport.handle_request):
            with (
                self._pools.lease() as pool,
                pool.stream(**_arguments(request, timeout, self._key)) as response,
            ):
                headers = httpx.Headers(response.headers)
                yield _Incoming(response.status, headers, response.iter_stream())
        else:
            with closing(self._sent_by_httpx(request, timeout)) as response:
                yield _from_httpx(response, response.iter_raw)

    def _sent_by_httpx(self, request: Request, timeout: float) -> Any:
        if self._client is None:
            with self._stock.lease() as transport:
                return transport.handle_request(_stock_request(request, timeout, self._key))
        client = _opened(self._client, "http_client")
        return client.send(_client_request(client, request, timeout), **_send_options(self._key))

    def close(self) -> None:
        """Close all connections of ours."""
        for pool in [*self._stock.all(), *self._pools.all()]:
            pool.close()


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
        def make_pool() -> httpcore.AsyncConnectionPool:
            options, check = pool_options(url, tls, check_address)
            backend = AsyncBackend(check)
            self._backends.append(backend)
            return httpcore.AsyncConnectionPool(network_backend=backend, **options)

        check_files(tls)
        self._key = key
        self._client = client
        self._backends: list[AsyncBackend] = []
        self._pools = Pools(make_pool)
        self._stock: Pools[Any] = Pools(lambda: httpx.AsyncHTTPTransport(**stock_options(url, tls)))

    async def send(self, request: Request, timeout: float) -> Response | Failure:
        """Send one request and read the whole response within `timeout` seconds."""
        attempt = Attempt(time.monotonic() + timeout)
        token = current_attempt.set(attempt)
        try:
            async with asyncio.timeout(timeout), self._begun(request, timeout) as incoming:
                if (done := incoming.without_reading()) is not None:
                    return done
                async for part in incoming.parts:
                    if not incoming.add(part):
                        return too_large()
                    if len(incoming.body) % _PARTS_A_TURN == 0:
                        await asyncio.sleep(0)
                return incoming.response()
        except TimeoutError:
            failure = not_connected(timeout) if attempt.is_connecting else timed_out(timeout)
            return with_proxy(failure, None if self._client else request.url)
        except _errors() as error:
            return with_proxy(_failure(error, timeout), None if self._client else request.url)
        except BaseException as error:  # noqa: BLE001 - raised again
            # A cancellation. As in `SyncTransport.send`.
            raise error.with_traceback(None) from None
        finally:
            current_attempt.reset(token)

    @asynccontextmanager
    async def _begun(self, request: Request, timeout: float) -> AsyncIterator[_Incoming]:
        method = httpx.AsyncHTTPTransport.handle_async_request
        if self._client is None and _is_of_httpx(method):
            with self._pools.lease() as pool:
                async with pool.stream(**_arguments(request, timeout, self._key)) as response:
                    headers = httpx.Headers(response.headers)
                    yield _Incoming(response.status, headers, response.aiter_stream())
        else:
            async with aclosing(await self._sent_by_httpx(request, timeout)) as response:
                yield _from_httpx(response, response.aiter_raw)

    async def _sent_by_httpx(self, request: Request, timeout: float) -> Any:
        if self._client is None:
            built = _stock_request(request, timeout, self._key)
            with self._stock.lease() as transport:
                return await transport.handle_async_request(built)
        client = _opened(self._client, "http_async_client")
        built = _client_request(client, request, timeout)
        return await client.send(built, **_send_options(self._key))

    async def aclose(self) -> None:
        """Close all connections of ours."""
        for pool in [*self._stock.all(), *self._pools.all()]:
            await pool.aclose()
        for backend in self._backends:
            await backend.aclose()


def _is_of_httpx(method: Callable[..., Any]) -> bool:
    """Whether it is neither replaced nor wrapped."""
    return method.__module__.startswith("httpx.") and not hasattr(method, "__wrapped__")


def _opened(client: Any, name: str) -> Any:
    """The user's own client."""
    if client.is_closed:
        raise NoClientError(f"the {name} is closed")
    return client


@lru_cache(maxsize=64)
def _parsed(url: str) -> tuple[httpcore.URL, str]:
    """The URL and the Host header."""
    parts = httpx.URL(url)
    target = httpcore.URL(
        scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path
    )
    return target, parts.netloc.decode()


def _arguments(request: Request, timeout: float, key: SecretStr | None) -> dict[str, Any]:
    """Of `stream` of httpcore's pools. It holds the key, so no frame of ours holds it."""
    url, host = _parsed(request.url)
    authorization = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    return {
        "method": request.method,
        "url": url,
        "headers": {"Host": host, **_HEADERS, **request.headers, **authorization},
        "content": request.body or None,
        "extensions": {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)},
    }


def _stock_request(request: Request, timeout: float, key: SecretStr | None) -> httpx.Request:
    return httpx.Request(**{**_arguments(request, timeout, key), "url": request.url})


def _client_request(client: Any, request: Request, timeout: float) -> Any:
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
    return options if key is None else {**options, "auth": partial(_authorize, key)}


def _authorize(key: SecretStr, request: Any) -> Any:
    """Put the key on a request at the last moment, so that it stands in no argument before."""
    request.headers["Authorization"] = f"Bearer {key.get_secret_value()}"
    return request


class _Incoming:
    """A response whose body is still to come.

    Args:
        status: Of HTTP.
        headers: Of httpx or httpx2.
        parts: Of the body; an async iterable in `AsyncTransport`.
        content: The body, where somebody in between, a hook or a transport for tests, has read it.
    """

    def __init__(
        self, status: int, headers: Mapping[str, str], parts: Any, content: bytes | None = None
    ) -> None:
        self._status = status
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._size = 0
        self._content = content
        self.parts = parts
        self.body: list[bytes] = []

    def without_reading(self) -> Response | Failure | None:
        """What there is to return already; None where the body must be read."""
        if self._content is not None:
            return Response(self._status, self._headers, self._content)
        return compressed(self._status, self._headers)

    def add(self, part: bytes) -> bool:
        """Keep a part of the body. False: there is too much to be vectors."""
        self.body.append(part)
        self._size += len(part)
        return self._size <= LARGEST_RESPONSE

    def response(self) -> Response:
        return Response(self._status, self._headers, b"".join(self.body))


def _from_httpx(response: httpx.Response, parts: Callable[[], Any]) -> _Incoming:
    status, headers = response.status_code, response.headers
    if response.is_stream_consumed:
        return _Incoming(status, headers, None, response.content)
    return _Incoming(status, headers, parts())


def _errors() -> tuple[type[Exception], ...]:
    return _ERRORS + errors_of_libraries()


def _failure(error: Exception, timeout: float) -> Failure:
    """Map a client library's exception. httpcore, httpx and httpx2 have classes of one name."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names.isdisjoint({"UnsupportedProtocol", "InvalidURL"}):
        return unusable_url()
    connected = names.isdisjoint(_NEVER_CONNECTED)
    if "TimeoutException" in names:
        return timed_out(timeout) if connected else not_connected(timeout)
    return network_failure(error, connected=connected)
