"""The ASGI application: the routes of all APIs, health and metrics."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from langchain_hf_endpoint.errors import RegistryError
from langchain_hf_endpoint.gateway import elastic_api, elastic_models_api, openai_api, tei_api
from langchain_hf_endpoint.gateway.config import GatewayOptions, default_allowed_urls
from langchain_hf_endpoint.gateway.errors import Refusal
from langchain_hf_endpoint.gateway.middleware import CallerKeys, GatewayMiddleware
from langchain_hf_endpoint.gateway.responses import NOT_ELASTIC, guarded, refused
from langchain_hf_endpoint.gateway.service import Service
from langchain_hf_endpoint.gateway.url_allowlist import UrlAllowlist

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

    from langchain_hf_endpoint.registry import InferenceEndpoints


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
    allow_key_rotation: bool = False,
    max_inputs: int = 2048,
    max_body_bytes: int = 20_000_000,
    tei_at_root: str | None = None,
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
        allow_key_rotation: Let those who may manage endpoints give one a new `api_key` by an
            update. Otherwise it must be deleted and created anew.
        max_inputs: Texts of one request.
        max_body_bytes: Bytes of one request.
        tei_at_root: The id of the endpoint whose TEI API is at the root too (``/embed``,
            ``/rerank``, ``/info``, ``/tokenize``, ``POST /``), for clients that take no path. While
            the registry has no such endpoint, they get 404 there.
        redis_url: Of a Redis where all replicas of the gateway count together, each endpoint's
            requests by its URL and key. None: each counts for itself.
        replicas: How many there are: while Redis is away, each goes on with that share of a
            limit. None: requests fail then.

    Raises:
        SettingsError: A pattern, the key, the id or the Redis cannot be used.
    """
    redis_url = SecretStr(redis_url) if isinstance(redis_url, str) else redis_url  # may hold a key
    options = GatewayOptions(
        max_queue=max_queue,
        environment_keys=environment_keys,
        allow_key_rotation=allow_key_rotation,
        max_inputs=max_inputs,
        max_body_bytes=max_body_bytes,
        max_waiting_bytes=max_waiting_bytes,
        request_seconds=request_seconds,
        tei_at_root=tei_at_root,
        redis_url=redis_url,
        replicas=replicas,
    )
    keys = CallerKeys(api_key, manage_key)
    if allow_urls is None:
        allow_urls = default_allowed_urls(only_this_machine=not keys.are_needed)
    service = Service(endpoints, options, UrlAllowlist(allow_urls))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await service.close()

    app = Starlette(
        # The first that fits has the request, and each before it takes its time.
        routes=[
            *openai_api.routes(service),
            *tei_api.routes(service),
            *_own_routes(service),
            *elastic_models_api.routes(service),
            *elastic_api.routes(service),
        ],
        exception_handlers={404: _no_such_route, 405: _no_such_method},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.add_middleware(GatewayMiddleware, service=service, keys=keys)
    return app


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
    is_elastic = not request.scope["path"].startswith(NOT_ELASTIC)
    # Elastic's status for it is 400; others have 404. The path is not repeated: it may be anything.
    reason = f"no handler found for this uri and method [{request.method[:20]}]"
    return refused(
        request, Refusal(400 if is_elastic else 404, "illegal_argument_exception", reason)
    )


async def _no_such_method(request: Request, error: Exception) -> Response:
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    allowed = headers.get("Allow", "")
    reason = f"Incorrect HTTP method [{request.method[:20]}] for this uri, allowed: [{allowed}]"
    refusal = Refusal(405, "illegal_argument_exception", reason, headers={"Allow": allowed})
    return refused(request, refusal)
