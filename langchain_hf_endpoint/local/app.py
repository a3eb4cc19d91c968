"""The web application: TEI's routes over a `Service`.

It knows HTTP and the shapes of answers. It must not know onnxruntime.
"""

from __future__ import annotations

import base64
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from langchain_hf_endpoint._urls import is_own_name
from langchain_hf_endpoint.local import protocol
from langchain_hf_endpoint.local.protocol import MAX_BODY_BYTES, OPENAI_PATHS, RefusedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from langchain_hf_endpoint.local.service import Embedded, Service

    Handler = Callable[[Request], Awaitable[Response]]

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_NOBODY_THERE = 499
_DRAINED_BYTES = 32 * MAX_BODY_BYTES
_EMBED_PATHS = ("/embed", "/", "/invocations", *OPENAI_PATHS)


def create_app(service: Service) -> Starlette:
    """An ASGI application that answers as TEI does."""
    routes = _Routes(service)
    return Starlette(
        routes=[
            *(Route(path, routes.health, methods=["GET"]) for path in ("/", "/health", "/ping")),
            Route("/info", routes.info, methods=["GET"]),
            *(Route(path, _guarded(routes.embed), methods=["POST"]) for path in _EMBED_PATHS),
            Route("/tokenize", _guarded(routes.tokenize), methods=["POST"]),
        ]
    )


def own_names_only(app: ASGIApp) -> ASGIApp:
    """The application for this machine's own names alone.

    A web page that a browser on this machine shows could otherwise call it by a name of its own
    that resolves to loopback.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_own_name(Headers(scope=scope).get("host", "")):
            words = "this server answers only to localhost and loopback addresses"
            await Response(words, 403, media_type=_TEXT)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


class _Routes:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, _request: Request) -> Response:
        """Always well: the process ends where it is not."""
        return Response()

    async def info(self, _request: Request) -> Response:
        """The model and the limits."""
        service = self._service
        info = protocol.server_info(service.model.info, service.threads)
        return Response(orjson.dumps(info), media_type=_JSON)

    async def embed(self, request: Request) -> Response:
        """Vectors, in TEI's shape or OpenAI's."""
        began = time.perf_counter()
        path = request.scope["path"]
        info = self._service.model.info
        wanted = protocol.embed_request(await _body(request), path, info)
        embedded = await _unless_gone(request, partial(self._service.embed, wanted))
        if path in OPENAI_PATHS:
            content = _openai(embedded, info.model_id, as_base64=wanted.base64)
        else:
            content = orjson.dumps(embedded.rows, option=orjson.OPT_SERIALIZE_NUMPY)
        headers = _figures(embedded, time.perf_counter() - began)
        return Response(content, media_type=_JSON, headers=headers)

    async def tokenize(self, request: Request) -> Response:
        """The tokens of each input, uncut."""
        content = protocol.json_object(await _body(request))
        inputs = protocol.inputs_of(content, "inputs")
        special = protocol.add_special_tokens(content)
        protocol.check_characters(inputs)
        model = self._service.model

        def tokens() -> bytes:
            texts = (each if isinstance(each, str) else model.text_of(each) for each in inputs)
            return orjson.dumps(
                [
                    [token._asdict() for token in model.tokens(text, special=special)]
                    for text in texts
                ]
            )

        return Response(await self._service.in_thread(tokens), media_type=_JSON)


def _guarded(handler: Handler) -> Handler:
    """Turn a refusal into its answer."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=_NOBODY_THERE)
        except RefusedError as refused:
            return Response(
                refused.body(request.scope["path"]),
                status_code=refused.status,
                media_type=_JSON if refused.kind else _TEXT,
            )

    return guarded


async def _body(request: Request) -> bytes:
    """The body, refused where it is too large or not called JSON."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= MAX_BODY_BYTES:
            parts.append(part)
        elif size > _DRAINED_BYTES:
            break  # the rest is left unread, and the connection closed
    if size > MAX_BODY_BYTES:
        words = "Failed to buffer the request body: length limit exceeded"
        raise RefusedError(413, "", words)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
        words = "Expected request with `Content-Type: application/json`"
        raise RefusedError(415, "", words)
    return b"".join(parts)


async def _unless_gone(request: Request, work: Callable[[], Awaitable[Embedded]]) -> Embedded:
    """Do the work, but drop what is left of it when the client leaves."""
    result: list[Embedded] = []
    refused: list[RefusedError] = []

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            result.append(await work())
        except RefusedError as error:
            refused.append(error)  # raised below: not as a group of one
        tasks.cancel_scope.cancel()
    if refused:
        raise refused[0]
    if not result:
        raise ClientDisconnect
    return result[0]


def _openai(embedded: Embedded, model_id: str, *, as_base64: bool) -> bytes:
    def shown(row: object) -> object:
        if not as_base64:
            return row
        return base64.b64encode(memoryview(row).tobytes()).decode()  # type: ignore[arg-type]

    answer = {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": shown(row), "index": index}
            for index, row in enumerate(embedded.rows)
        ],
        "model": model_id,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _figures(embedded: Embedded, seconds: float) -> dict[str, str]:
    """TEI's headers; the time in whole milliseconds."""
    return {
        "x-compute-type": "cpu",
        "x-compute-time": str(round(seconds * 1000)),
        "x-compute-characters": str(embedded.characters),
        "x-compute-tokens": str(embedded.tokens),
        "x-total-time": str(round(seconds * 1000)),
    }
