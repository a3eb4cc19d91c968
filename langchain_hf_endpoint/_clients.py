"""The HTTP clients that a user brings: which they are, and what does not go with them.

It knows their classes and the settings that are of no effect on them. It must not send anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import httpx

from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from langchain_hf_endpoint._sections import Problem
    from langchain_hf_endpoint.settings import ServiceSettings


class Clients(NamedTuple):
    """Each None for our own connections."""

    sync: httpx.Client | None = None
    asynchronous: httpx.AsyncClient | None = None


OURS = Clients()


def check_clients(clients: Clients, service: ServiceSettings) -> None:
    """Refuse what cannot be used, and settings that would be passed over in silence.

    Raises:
        SettingsError: Names the fields.
    """
    problems = [
        *_wrong_class("http_client", clients.sync, httpx.Client),
        *_wrong_class("http_async_client", clients.asynchronous, httpx.AsyncClient),
    ]
    if clients != OURS and service.tls is not None:
        problem = "goes with our own connections only: give the certificates to the client"
        problems.append(("service_settings.tls", problem))
    if clients.asynchronous is not None and service.transport != "httpx":
        problem = f"{service.transport!r} cannot be used over an http_async_client"
        problems.append(("service_settings.transport", problem))
    if problems:
        raise SettingsError(*problems)


def _wrong_class(field: str, client: object, wanted: type) -> list[Problem]:
    if client is None or isinstance(client, wanted):
        return []
    return [(field, f"must be an httpx.{wanted.__name__}, not {type(client).__name__}")]
