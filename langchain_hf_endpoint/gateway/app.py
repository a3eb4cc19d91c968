"""The ASGI application: the routes of both APIs behind one door.

It knows what happens to every request: who may call, what is logged and counted. It must not know
what an API means.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from langchain_hf_endpoint.errors import RegistryError, SettingsError
from langchain_hf_endpoint.gateway import elastic_api, openai_api
from langchain_hf_endpoint.gateway.auth import Access
from langchain_hf_endpoint.gateway.config import Options, default_allowed_urls
from langchain_hf_endpoint.gateway.errors import Refusal
from langchain_hf_endpoint.gateway.requests import WaitingBytes
from langchain_hf_endpoint.gateway.responses import NOBODY_THERE, OPENAI_PREFIX, guarded, refused
from langchain_hf_endpoint.gateway.service import Service
from langchain_hf_endpoint.gateway.url_allowlist import Destinations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from langchain_hf_endpoint.registry import InferenceEndpoints

access_log = logging.getLogger("langchain_hf_endpoint.gateway.access")

_OPEN_PATHS = ("/health",)
_NOT_ALLOWED = 405


def create_app(  # noqa: PLR0913 - the operator's decisions
    endpoints: InferenceEndpoints,
    *,
    api_key: SecretStr | str | None = None,
    manage_key: SecretStr | str | None = None,
    max_queue: int = 2000,
    max_waiting_bytes: int = 200_000_000,
    request_seconds: float = 60.0,
    allow_urls: Sequence[str] | None = None,
    environment_keys: bool = False,
    max_inputs: int = 2048,
    max_body_bytes: int = 20_000_000,
    redis_url: SecretStr | str | None = None,
    replicas: int | None = None,
) -> Starlette:
    """An ASGI application that serves a registry of endpoints.

    It belongs to the event loop that runs its lifespan, and does not close `endpoints`.

    Args:
        endpoints: The registry. Other processes may use the same file.
        api_key: What callers must send, as ``Authorization: ApiKey …`` or ``Bearer …``. None:
            anybody may call who reaches it by a name of this machine.
        manage_key: What callers must send who create, update and delete endpoints; `api_key` then
            only uses and reads them. None: `api_key` has both rights.
        max_queue: Requests per endpoint that may wait before they are sent; more get 429.
        max_waiting_bytes: Bytes that the bodies of all requests may hold that are not answered;
            more get 429.
        request_seconds: How long a body may take to arrive.
        allow_urls: To which hosts endpoints may be created: ``https://*.example.com``,
            ``host:port``, ``127.0.0.1``. Default: Hugging Face's hosts, and without `api_key`,
            where only this machine is answered, this machine. It does not hold for what is put
            into the registry by other means until it is used here.
        environment_keys: Let callers create endpoints that use a key of this process's environment
            (``HF_TOKEN`` by leaving the key out, any variable with ``api_key_env``). Whoever may
            do that can have it sent to a host of his own among `allow_urls`.
        max_inputs: Texts of one request.
        max_body_bytes: Bytes of one request.
        redis_url: Of a Redis where all replicas of the gateway count together, each endpoint's
            requests by its URL and key. None: each counts for itself.
        replicas: How many there are: while Redis is away, each goes on with that share of a
            limit. None: requests fail then.

    Raises:
        SettingsError: A pattern, the key or the Redis cannot be used.
    """
    redis = SecretStr(redis_url) if isinstance(redis_url, str) else redis_url  # it may hold a key
    options = Options(
        max_queue,
        environment_keys,
        max_inputs,
        max_body_bytes,
        max_waiting_bytes,
        request_seconds,
        redis,
        replicas,
    )
    _check_numbers(options)
    access = Access(api_key, manage_key)
    if allow_urls is None:
        allow_urls = default_allowed_urls(only_this_machine=not access.has_key)
    service = Service(endpoints, options, Destinations(allow_urls))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await service.close()

    app = Starlette(
        routes=[*elastic_api.routes(service), *openai_api.routes(service), *_own_routes(service)],
        exception_handlers={404: _no_such_route, 405: _no_such_method},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.add_middleware(_Door, service=service, access=access)
    return app


def _check_numbers(options: Options) -> None:
    problems = [
        (name, f"must be {least} or more, not {value}")
        for name, value, least in (
            ("max_queue", options.max_queue, 1),
            ("max_inputs", options.max_inputs, 1),
            ("max_body_bytes", options.max_body_bytes, 1),
            ("max_waiting_bytes", options.max_waiting_bytes, options.max_body_bytes),
            ("request_seconds", options.request_seconds, 1),
        )
        if value < least
    ]
    if problems:
        raise SettingsError(*problems)


def _own_routes(service: Service) -> list[Route]:
    async def health(_request: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def metrics(request: Request) -> Response:
        with suppress(RegistryError):  # the figures are wanted all the more then
            await service.forget_deleted()
        content, media_type = service.metrics.text(request.headers.get("accept", ""))
        return Response(content, headers={"Content-Type": media_type})

    return [
        Route("/health", guarded(health, "health")),
        Route("/metrics", guarded(metrics, "metrics")),
    ]


async def _no_such_route(request: Request, _error: Exception) -> Response:
    is_openai = request.url.path.startswith(OPENAI_PREFIX)
    # Elastic's status for it is 400; OpenAI's is 404. The path is not repeated: it may be anything.
    reason = f"no handler found for this uri and method [{request.method[:20]}]"
    return refused(
        request, Refusal(404 if is_openai else 400, "illegal_argument_exception", reason)
    )


async def _no_such_method(request: Request, error: Exception) -> Response:
    headers_of_error = error.headers if isinstance(error, HTTPException) else None
    allowed = (headers_of_error or {}).get("Allow", "")
    method = request.method[:20]
    reason = f"Incorrect HTTP method [{method}] for this uri, allowed: [{allowed}]"
    headers = {"Allow": allowed}
    return refused(
        request, Refusal(_NOT_ALLOWED, "illegal_argument_exception", reason, headers=headers)
    )


class _Door:
    """Every request passes here: the key is checked, the answer logged and counted."""

    def __init__(self, app: ASGIApp, service: Service, access: Access) -> None:
        self._app = app
        self._metrics = service.metrics
        self._waiting = WaitingBytes(service.options.max_waiting_bytes)
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record: dict[str, Any] = {"route": "none", "method": scope["method"], "status": 0}
        scope.setdefault("state", {})["record"] = record
        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            with self._waiting.lease() as lease:
                scope["state"]["lease"] = lease
                await self._admit(scope, receive, self._noting(scope, record, send))
        finally:
            self._metrics.in_flight.dec()
            self._write_down(scope, record, time.perf_counter() - began)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in _OPEN_PATHS:
                may_manage = self._access.check(Headers(scope=scope))
                scope["state"]["may_manage"] = may_manage
        except Refusal as refusal:
            await refused(Request(scope), refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _noting(self, scope: Scope, record: dict[str, Any], send: Send) -> Send:
        headers = Headers(scope=scope)
        # A proxy in between may have read the other one (RFC 9112, 6.1): what follows is not ours.
        is_unclear = "transfer-encoding" in headers and "content-length" in headers

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and is_unclear:
                MutableHeaders(scope=message)["Connection"] = "close"
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
                if not scope["path"].startswith(OPENAI_PREFIX):
                    # The official clients talk to nobody who does not say so.
                    MutableHeaders(scope=message)["X-Elastic-Product"] = "Elasticsearch"
            await send(message)

        return noting

    def _write_down(self, scope: Scope, record: dict[str, Any], took: float) -> None:
        route, method, status = record["route"], _known(record["method"]), record["status"]
        self._metrics.requests.labels(route, method, str(status or NOBODY_THERE)).inc()
        self._metrics.seconds.labels(route).observe(took)
        if access_log.isEnabledFor(logging.INFO):
            client = (scope.get("client") or ("",))[0]
            line = {**record, "method": method, "seconds": round(took, 4), "client": client}
            access_log.info("%s", json.dumps(line))


def _known(method: str) -> str:
    """A method as a label: a caller may send any word for one."""
    return method if method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS") else "other"
