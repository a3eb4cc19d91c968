"""Share one limiter, concurrency window and set of connections per URL and key in a process."""

from __future__ import annotations

import atexit
import logging
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint._http.httpx_transport import AsyncTransport, SyncTransport
from langchain_hf_endpoint._http.tls import edition
from langchain_hf_endpoint._lifecycle import PerLoop, ProcessCache, loading_aiohttp, running_loop
from langchain_hf_endpoint._secrets import Redactor
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, one_at_a_time
from langchain_hf_endpoint._session.limit_waits import LimitWaits
from langchain_hf_endpoint._session.server_state import ServerState
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pydantic import SecretStr

    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint._http.clients import Clients
    from langchain_hf_endpoint._http.httpx_transport import AnyAsyncTransport
    from langchain_hf_endpoint._http.tls import Edition
    from langchain_hf_endpoint.settings import ServiceSettings, TlsSettings

_logger = logging.getLogger("langchain_hf_endpoint")


class _TransportOptions(NamedTuple):
    """What tells the connections of one loop, or of all threads, apart."""

    name: str
    tls: TlsSettings | None
    edition: Edition
    check_address: CheckAddress | None


class _LoopTransports(dict[_TransportOptions, "AnyAsyncTransport"]):
    """The transports of one event loop."""

    async def aclose(self) -> None:
        for transport in self.values():
            await transport.aclose()


class EndpointSession:
    """What all callers of one (url, key) in this process share: what cannot be pickled."""

    def __init__(self, url: str, key: SecretStr | None, requests_per_minute: int) -> None:
        self.url = url
        self.redactor = Redactor(key)
        self.redactor.redact_logs()
        self._servers: dict[tuple[str | None, bool], ServerState] = {}
        self.limiter = RequestsPerMinuteLimiter(requests_per_minute)
        self.limit_waits = LimitWaits()
        self.window = ConcurrencyWindow()
        self.discovery_lock = one_at_a_time()  # of those who ask what the server is
        self.reply_lock = one_at_a_time()  # of those whose reply shows that it may say so
        self._key = key
        self._lock = threading.Lock()
        self._sync: dict[_TransportOptions, SyncTransport] = {}
        self._of_loop = PerLoop(_LoopTransports)
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

    def server_state(self, model: str | None, *, scores: bool = False) -> ServerState:
        """What is known about the server, as far as it serves this model; None: its only one.

        Args:
            model: Its name.
            scores: Whether it is asked for scores: on other routes, in another dialect.
        """
        with self._lock:
            return self._servers.setdefault((model, scores), ServerState())

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
        options = _TransportOptions("httpx", service.tls, edition(service.tls), check)
        with self._lock:
            if options not in self._sync:
                self._sync[options] = SyncTransport(self.url, self._key, service.tls, None, check)
            return self._sync[options]

    async def async_transport(
        self, service: ServiceSettings, clients: Clients = OURS
    ) -> AnyAsyncTransport:
        """The connections of the running loop; they are closed when the loop shuts down.

        Raises:
            SettingsError: A file of the TLS settings cannot be used, or an extra is not installed.
            HFEndpointError: The running loop is none of asyncio's.
        """
        if clients.asynchronous is not None:
            running_loop()
            return AsyncTransport(self.url, self._key, None, clients.asynchronous)
        options = _TransportOptions(
            service.transport, service.tls, edition(service.tls), clients.check_address
        )
        transports = await self._of_loop.get()
        if options not in transports:
            transports[options] = self._made(options)
        return transports[options]

    @asynccontextmanager
    async def own_loop_transport(
        self, service: ServiceSettings, clients: Clients
    ) -> AsyncIterator[AnyAsyncTransport]:
        """As `async_transport`, for a loop whose connections are closed as soon as it is left."""
        try:
            yield await self.async_transport(service, clients)
        finally:
            await self._of_loop.aclose()

    def _made(self, options: _TransportOptions) -> AnyAsyncTransport:
        if options.name == "httpx":
            return AsyncTransport(self.url, self._key, options.tls, None, options.check_address)
        try:
            with loading_aiohttp:
                from langchain_hf_endpoint._http.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - of an extra
        except ImportError:
            problem = 'needs aiohttp: pip install "langchain-hf-endpoint[fast]"'
        else:
            return AiohttpTransport(self.url, self._key, options.tls, options.check_address)
        raise SettingsError(("service_settings.transport", problem))

    async def aclose(self) -> None:
        """Close all connections but those of other loops."""
        await self._of_loop.aclose()
        self.close()

    def close(self) -> None:
        """Close the connections for threads; those of loops go with their loops."""
        with self._lock:
            transports, self._sync = self._sync, {}
        for transport in transports.values():
            transport.close()


# A SecretStr equals another of the same key, and shows no key.
_sessions: ProcessCache[tuple[str, SecretStr | None], EndpointSession] = ProcessCache()


def session_for(service: ServiceSettings) -> EndpointSession:
    """The session that every endpoint with this URL and key shares in this process.

    Raises:
        SettingsError: The variable that should hold the key does not.
    """
    key = service.find_key()
    rate = service.rate_limit.requests_per_minute
    session = _sessions.find_or_make(
        (service.url, key), lambda: EndpointSession(service.url, key, rate)
    )
    session.agree(service)
    return session


def private_session(service: ServiceSettings) -> EndpointSession:
    """A session that is not shared: what happens to it changes nothing for others.

    Raises:
        SettingsError: The variable that should hold the key does not.
    """
    rate = service.rate_limit.requests_per_minute
    session = EndpointSession(service.url, service.find_key(), rate)
    session.agree(service)
    return session


def change_rate(service: ServiceSettings) -> None:
    """Let the limit of these settings hold from now on, where this process uses their endpoint.

    For an endpoint whose limit was updated.
    """
    session = _sessions.find((service.url, service.find_key()))
    if session is not None:
        session.change_rate(service.rate_limit.requests_per_minute)


def close_sessions() -> None:
    """Close all connections for threads and forget what was learned. For tests and at exit."""
    for session in _sessions.take_all():
        session.close()


atexit.register(close_sessions)
