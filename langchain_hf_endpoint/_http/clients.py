"""Accept the HTTP clients that a user brings, of httpx or httpx2."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from langchain_hf_endpoint._http.errors import NoClientError
from langchain_hf_endpoint._http.proxies import proxy_to
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from langchain_hf_endpoint._http.addresses import CheckAddress
    from langchain_hf_endpoint._validation import Problem
    from langchain_hf_endpoint.settings import ServiceSettings, TransportName


class Clients(NamedTuple):
    """What requests are sent with."""

    sync: httpx.Client | None = None  # for threads. None: our own connections
    asynchronous: httpx.AsyncClient | None = None  # for tasks. None: our own connections
    # Is given each IP address just before our own connections are made to it; raises
    # `RefusedAddressError` to refuse it.
    check_address: CheckAddress | None = None


OURS = Clients()


def fastest_transport(url: str) -> TransportName:
    """The fastest of those that are installed and can send there."""
    try:
        proxy = proxy_to(url)
    except NoClientError:  # said where a request is about to be sent
        return "httpx"
    needs_httpx = proxy is not None and proxy.is_socks
    return "httpx" if needs_httpx or find_spec("aiohttp") is None else "aiohttp"


def library_of(client: object, transport: TransportName) -> str:
    """The library that sends, be it over the user's client."""
    return transport if client is None else type(client).__module__.partition(".")[0]


def check_clients(clients: Clients, service: ServiceSettings) -> None:
    """Refuse what cannot be used, and settings that would be passed over in silence.

    Raises:
        SettingsError: Names the fields.
    """
    problems = [
        *_wrong_class("http_client", clients.sync, "Client"),
        *_wrong_class("http_async_client", clients.asynchronous, "AsyncClient"),
    ]
    has_client = clients.sync is not None or clients.asynchronous is not None
    if has_client and service.tls is not None:
        problem = "goes with our own connections only: give the certificates to the client"
        problems.append(("service_settings.tls", problem))
    if clients.asynchronous is not None and service.transport != "httpx":
        problem = f"{service.transport!r} cannot be used over an http_async_client"
        problems.append(("service_settings.transport", problem))
    if problems:
        raise SettingsError(*problems)


def _wrong_class(field: str, client: object, wanted: str) -> list[Problem]:
    kinds = tuple(getattr(library, wanted) for library in _libraries())
    if client is None or isinstance(client, kinds):
        return []
    problem = f"must be an httpx.{wanted} or httpx2.{wanted}, not {type(client).__name__}"
    return [(field, problem)]


def _libraries() -> list[Any]:
    """Httpx and, where somebody has loaded it, its fork httpx2."""
    return [httpx, *filter(None, [sys.modules.get("httpx2")])]


def errors_of_libraries() -> tuple[type[Exception], ...]:
    """What their clients raise when a request does not succeed."""
    return tuple(
        kind for library in _libraries() for kind in (library.HTTPError, library.InvalidURL)
    )
