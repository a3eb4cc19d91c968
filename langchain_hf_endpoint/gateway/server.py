"""The gateway as a process's work: an address, a server, an orderly end.

It knows sockets and uvicorn. It must not know any route.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from langchain_hf_endpoint._urls import is_loopback_address
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.gateway.app import create_app
from langchain_hf_endpoint.gateway.config import default_allowed_urls
from langchain_hf_endpoint.gateway.connections import (
    KEEP_ALIVE_SECONDS,
    connections,
    most_connections,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint.registry import InferenceEndpoints

DEFAULT_PORT = 9200
_BACKLOG = 2048
_ACCEPTED_AT_ONCE = 16


def serve(  # noqa: PLR0913 - the operator's decisions
    endpoints: InferenceEndpoints,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    ready: Callable[[str], object] | None = None,
    max_connections: int = 4096,
    request_seconds: float = 60.0,
    shutdown_seconds: int = 30,
    **options: Any,
) -> None:
    """Serve a registry until the process is told to end (Ctrl-C, SIGTERM).

    What is under way then is finished and answered first, within `shutdown_seconds`; a second
    Ctrl-C ends it at once.

    Args:
        endpoints: The registry; it is not closed.
        host: An address of this machine. Any but a loopback one needs `api_key`, and there
            `allow_urls` has loopback addresses only where it names them.
        port: 0 takes a free one.
        ready: Is called with the URL when it listens.
        max_connections: Of callers, at a time; never more than this process may have files. Above
            it the one is closed that has waited longest without a request.
        request_seconds: How long the head of a request may take to arrive, and then its body.
        shutdown_seconds: How long what is under way may take when the process is told to end.
        **options: Those of `create_app`.

    Raises:
        SettingsError: An option cannot be used, or the address cannot.
    """
    only_this_machine = host == "localhost" or is_loopback_address(host)
    if options.get("api_key") is None and not only_this_machine:
        raise SettingsError(
            (
                "host",
                (
                    f"{host} can be reached from other machines: a gateway there needs a key "
                    "(api_key; HF_ENDPOINT_GATEWAY_KEY for hf-endpoint serve)"
                ),
            )
        )
    problems = [
        (name, f"must be 1 or more, not {value}")
        for name, value in (
            ("max_connections", max_connections),
            ("shutdown_seconds", shutdown_seconds),
        )
        if value < 1
    ]
    if problems:
        raise SettingsError(*problems)
    if options.get("allow_urls") is None:
        options["allow_urls"] = default_allowed_urls(only_this_machine=only_this_machine)
    app = create_app(endpoints, request_seconds=request_seconds, **options)
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        access_log=False,
        log_level="error",
        server_header=False,
        backlog=_ACCEPTED_AT_ONCE,
        http=connections(request_seconds, most_connections(max_connections)),
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds,
    )
    with _listener(host, port) as listener:
        if ready:
            ready(_url_of(listener))
        _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Takes in few connections in one turn of the loop, so that those who are in have their turn.

    asyncio accepts as many at once as it makes the system queue: so the queue is made longer later.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_BACKLOG)


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol is named because asyncio turns Nagle's algorithm off only where it sees it.
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (OSError, OverflowError) as error:
        raise SettingsError(("host", f"{host} port {port} cannot be used: {error}")) from error
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(
            ("port", f"{port} of {host} cannot be used: {error.strerror}; 0 takes a free one")
        ) from error
    listener.listen(_BACKLOG)
    return listener


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
