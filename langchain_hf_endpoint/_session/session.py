"""What cannot be pickled and must be shared: one limiter, window and set of clients per (url, key).

It knows processes, event loops and who shares what. It must not decide anything about a request.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint._http.httpx_transport import (
    AsyncTransport,
    SyncTransport,
    fast_transport,
)
from langchain_hf_endpoint._http.tls import edition
from langchain_hf_endpoint._lifecycle import close_with_loop, in_child_of_fork, running_loop
from langchain_hf_endpoint._secrets import Redactor
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, one_at_a_time
from langchain_hf_endpoint._session.server_state import ServerState
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pydantic import SecretStr

    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint._http.clients import Clients
    from langchain_hf_endpoint._http.httpx_transport import AnyAsyncTransport
    from langchain_hf_endpoint._http.tls import Edition
    from langchain_hf_endpoint.settings import ServiceSettings, TlsSettings

_logger = logging.getLogger("langchain_hf_endpoint")


class _Way(NamedTuple):
    """What tells the connections of one loop, or of all threads, apart."""

    transport: str
    tls: TlsSettings | None
    edition: Edition
    check_address: CheckAddress | None


@dataclass(slots=True)
class _HeldTransports:
    """The transports of one loop, and what closes them with it."""

    of_way: dict[_Way, AnyAsyncTransport]
    closer: AsyncGenerator[None, None] | None = None


class EndpointSession:
    """What all callers of one (url, key) in this process share.

    Attributes:
        limiter: Requests per minute.
        window: Requests in flight.
        redactor: Takes the key out of what the server says.
        discovery_lock: Lets one at a time ask what the server is.
    """

    def __init__(self, url: str, key: SecretStr | None, requests_per_minute: int) -> None:
        self.url = url
        self.redactor = Redactor(key)
        self.redactor.redact_logs()
        self._servers: dict[str | None, ServerState] = {}
        self.limiter = RequestsPerMinuteLimiter(requests_per_minute)
        self.window = ConcurrencyWindow()
        self.discovery_lock = one_at_a_time()
        self._key = key
        self._lock = threading.Lock()
        self._sync: dict[_Way, SyncTransport] = {}
        self._of_loop: dict[asyncio.AbstractEventLoop, _HeldTransports] = {}
        self._agreed: set[int] = {requests_per_minute}

    def __repr__(self) -> str:
        return f"<EndpointSession of {host_of(self.url)}: {self.limiter!r}, {self.window!r}>"

    @property
    def has_key(self) -> bool:
        """Whether requests carry a key."""
        return self._key is not None

    def serves(self, service: ServiceSettings) -> bool:
        """Whether it is for the URL and key of these settings.

        Raises:
            SettingsError: The variable that should hold the key does not.
        """
        return self.url == service.url and self._key == service.find_key()

    def server_state(self, model: str | None) -> ServerState:
        """What is known about the server, as far as it serves this model; None: its only one."""
        with self._lock:
            return self._servers.setdefault(model, ServerState())

    def agree(self, service: ServiceSettings) -> None:
        """Take the stricter of what this caller and those before want."""
        wanted = service.rate_limit.requests_per_minute
        with self._lock:
            is_new = wanted not in self._agreed
            self._agreed.add(wanted)
        if is_new:
            held = self.limiter.requests_per_minute
            _logger.warning(
                "%s is used with one key under two limits, %d and %d requests per minute: "
                "the lower holds for both",
                host_of(self.url),
                held,
                wanted,
            )
            self.limiter.slow_to(wanted)
        if service.max_concurrent_requests is not None:
            self.window.bound(requests=service.max_concurrent_requests)

    def change_rate(self, requests_per_minute: int) -> None:
        """Go on with another limit, lower or higher."""
        with self._lock:
            self._agreed.add(requests_per_minute)  # endpoints made before do not object
        self.limiter.change_to(requests_per_minute)

    def sync_transport(self, service: ServiceSettings, clients: Clients = OURS) -> SyncTransport:
        """The connections for threads; over the user's client, where there is one.

        Raises:
            SettingsError: A file of the TLS settings cannot be used.
        """
        if clients.sync is not None:
            return SyncTransport(self.url, self._key, None, clients.sync)
        check = clients.check_address
        with self._lock:
            way = _Way("httpx", service.tls, edition(service.tls), check)
            if way not in self._sync:
                self._sync[way] = SyncTransport(self.url, self._key, service.tls, None, check)
            return self._sync[way]

    async def async_transport(
        self, service: ServiceSettings, clients: Clients = OURS
    ) -> AnyAsyncTransport:
        """The connections of the running loop; they are closed when the loop shuts down.

        Raises:
            SettingsError: A file of the TLS settings cannot be used, or an extra is not installed.
            HFEndpointError: The running loop is none of asyncio's.
        """
        loop = running_loop()
        if clients.asynchronous is not None:
            return AsyncTransport(self.url, self._key, None, clients.asynchronous)
        way = _Way(service.transport, service.tls, edition(service.tls), clients.check_address)
        with self._lock:
            for old in [old for old in self._of_loop if old.is_closed()]:
                del self._of_loop[old]
            held = self._of_loop.get(loop)
            if held is not None and way in held.of_way:
                return held.of_way[way]
            transport = self._made(way)
            if held is not None:
                held.of_way[way] = transport
                return transport
            held = self._of_loop[loop] = _HeldTransports({way: transport})

        async def close() -> None:
            with self._lock:
                self._of_loop.pop(loop, None)
            for one in held.of_way.values():
                await one.close()

        held.closer = await close_with_loop(close)
        return transport

    def _made(self, way: _Way) -> AnyAsyncTransport:
        if way.transport == "httpx":
            return AsyncTransport(self.url, self._key, way.tls, None, way.check_address)
        return fast_transport(self.url, self._key, way.tls, way.check_address)

    async def aclose(self) -> None:
        """Close all connections but those of other loops."""
        with self._lock:
            held = self._of_loop.get(asyncio.get_running_loop())
        if held is not None and held.closer is not None:
            await held.closer.aclose()
        self.close()

    def close(self) -> None:
        """Close the clients for threads; those of loops go with their loops."""
        with self._lock:
            transports, self._sync = self._sync, {}
        for transport in transports.values():
            transport.close()


_runtimes: dict[tuple[str, str], EndpointSession] = {}
_left_to_parent: list[dict[tuple[str, str], EndpointSession]] = []
_lock = threading.Lock()


def _identity(url: str, key: SecretStr | None) -> tuple[str, str]:
    """What tells runtimes apart, without a key in clear."""
    secret = key.get_secret_value() if key else ""
    return url, hashlib.sha256(secret.encode()).hexdigest()


def session_for(service: ServiceSettings) -> EndpointSession:
    """The runtime that every endpoint with this URL and key shares in this process.

    Raises:
        SettingsError: The variable that should hold the key does not.
    """
    key = service.find_key()
    identity = _identity(service.url, key)
    with _lock:
        runtime = _runtimes.get(identity)
        if runtime is None:
            rate = service.rate_limit.requests_per_minute
            runtime = _runtimes[identity] = EndpointSession(service.url, key, rate)
    runtime.agree(service)
    return runtime


def private_session(service: ServiceSettings) -> EndpointSession:
    """A runtime that is shared with nobody: what happens to it changes nothing for others.

    Raises:
        SettingsError: The variable that should hold the key does not.
    """
    runtime = EndpointSession(
        service.url, service.find_key(), service.rate_limit.requests_per_minute
    )
    runtime.agree(service)
    return runtime


def change_rate(service: ServiceSettings) -> None:
    """Let the limit of these settings hold from now on, where this process uses their endpoint.

    For an endpoint whose limit was updated.
    """
    with _lock:
        runtime = _runtimes.get(_identity(service.url, service.find_key()))
    if runtime is not None:
        runtime.change_rate(service.rate_limit.requests_per_minute)


def close_sessions() -> None:
    """Close all connections for threads and forget what was learned. For tests and at exit."""
    with _lock:
        runtimes = list(_runtimes.values())
        _runtimes.clear()
    for runtime in runtimes:
        runtime.close()


def _start_anew_after_fork() -> None:
    """A child process must not use its parent's connections, locks and permits."""
    global _runtimes, _lock  # noqa: PLW0603 - the old ones may be in any state
    # Kept, not freed: freeing would run clean-up code of the parent's event loops.
    _left_to_parent.append(_runtimes)
    _runtimes = {}
    _lock = threading.Lock()


in_child_of_fork(_start_anew_after_fork)
atexit.register(close_sessions)
