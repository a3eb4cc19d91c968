"""Make connection pools, through the environment's proxy where there is one, and lease them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpcore
import httpx

from langchain_hf_endpoint._http.errors import NoClientError
from langchain_hf_endpoint._http.network import KEPT_ALIVE_SECONDS
from langchain_hf_endpoint._http.proxies import proxy_to
from langchain_hf_endpoint._http.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint.settings import TlsSettings

# httpcore scans all connections of a pool at each request, and above twenty closes idle ones at
# once (https://github.com/encode/httpcore/issues/1035): more requests in flight get more pools.
_CONNECTIONS_PER_POOL = 8

PoolT = TypeVar("PoolT")


class Pools(Generic[PoolT]):
    """As many pools as the requests in flight need, each with few connections.

    Args:
        make: Makes another one.
    """

    def __init__(self, make: Callable[[], PoolT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._pools: list[PoolT] = []
        self._in_flight: list[int] = []

    @contextmanager
    def lease(self) -> Iterator[PoolT]:
        """The first with a connection to spare, so that the others' may go idle."""
        with self._lock:
            for number, count in enumerate(self._in_flight):  # noqa: B007 - it is used behind
                if count < _CONNECTIONS_PER_POOL:
                    break
            else:
                number = len(self._pools)
                self._pools.append(self._made())
                self._in_flight.append(0)
            self._in_flight[number] += 1
            pool = self._pools[number]
        try:
            yield pool
        finally:
            with self._lock:
                self._in_flight[number] -= 1

    def _made(self) -> PoolT:
        try:
            return self._make()
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
        raise NoClientError(f"the environment's proxy or certificates cannot be used: {reason}")

    def all(self) -> list[PoolT]:
        """Those that were made."""
        return list(self._pools)


def pool_options(
    url: str, tls: TlsSettings | None, check_address: CheckAddress | None
) -> tuple[dict[str, Any], CheckAddress | None]:
    """What httpcore's pools take, and what may refuse their addresses: nothing with a proxy."""
    proxy = proxy_to(url)
    options: dict[str, Any] = {
        "ssl_context": tls_context(tls),
        "max_connections": _CONNECTIONS_PER_POOL,
        "max_keepalive_connections": _CONNECTIONS_PER_POOL,
        "keepalive_expiry": KEPT_ALIVE_SECONDS,
    }
    if proxy is None:
        return options, check_address
    auth = None
    if proxy.auth is not None:
        user, password = proxy.auth
        auth = user.encode(), password.encode()
    return {**options, "proxy": httpcore.Proxy(proxy.origin, auth)}, None


def stock_options(url: str, tls: TlsSettings | None) -> dict[str, Any]:
    """What httpx's own transports take. Without our network no connection is used twice."""
    proxy = proxy_to(url)
    return {
        "verify": tls_context(tls),
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=0),
        "proxy": None if proxy is None else httpx.Proxy(proxy.origin, auth=proxy.auth),
    }
