"""The local server's web application: TEI's routes over one model and its worker threads."""

from __future__ import annotations

import base64
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
import numpy as np
import orjson
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

from langchain_hf_endpoint._protocols import tei_server
from langchain_hf_endpoint._protocols.tei_server import (
    JSON,
    OPENAI_PATHS,
    TEXT,
    RefusedError,
    TeiServer,
)
from langchain_hf_endpoint._urls import is_own_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from numpy.typing import NDArray
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from langchain_hf_endpoint._protocols.tei_server import EmbedRequest, Input
    from langchain_hf_endpoint.local.model import Model

    Handler = Callable[[Request], Awaitable[Response]]

_Result = TypeVar("_Result")
_CLIENT_CLOSED_REQUEST = 499
_DRAINED_BODIES = 32
_MAX_TOKENIZED_CHARACTERS = 200_000


@dataclass(slots=True)
class Embedded:
    """The answer to one request."""

    rows: NDArray[np.float32]  # one vector for each input
    tokens: int  # that were run
    characters: int  # that were given


@dataclass
class Service:
    """A model and the right to use it."""

    model: Model
    threads: int  # inputs of batches run at the same time; as many that come alone, beside them
    inputs_in_flight: int = field(default=0, init=False)  # admitted and not yet answered

    @cached_property
    def options(self) -> TeiServer:
        """What the model and its server are in TEI's words."""
        info = self.model.info
        return TeiServer(
            model_id=info.model_id,
            dimensions=info.dimensions,
            max_input_length=info.max_input_tokens,
        )

    @cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        """Made late: it belongs to the event loop that runs."""
        return anyio.CapacityLimiter(self.threads)

    @cached_property
    def _limiter_of_single_inputs(self) -> anyio.CapacityLimiter:
        """Theirs alone, since a query is one: it does not wait for the documents before it."""
        return anyio.CapacityLimiter(self.threads)

    @contextmanager
    def _admitted(self, count: int) -> Iterator[None]:
        """Hold a permit for each input.

        Raises:
            RefusedError: There are not enough of them; nothing is waited for.
        """
        # By inputs, and refused at once, as TEI does: what a client learns here holds there.
        if self.inputs_in_flight + count > self.options.max_concurrent_requests:
            raise tei_server.overloaded()
        self.inputs_in_flight += count
        try:
            yield
        finally:
            self.inputs_in_flight -= count

    async def embed(self, request: EmbedRequest) -> Embedded:
        """Embed the inputs of a request; cancelled, it leaves what has not begun.

        Raises:
            RefusedError: An input is over the limit and not to be cut, or there are no permits.
        """
        with self._admitted(len(request.inputs)):
            alone = len(request.inputs) == 1
            # In a thread too: while a long text is tokenized, the loop has others to answer.
            ids = await self.in_thread(
                lambda: [self._ids(each, request) for each in request.inputs], alone=alone
            )
            rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(ids)

            async def run(place: int) -> None:
                work = partial(self.model.embed, ids[place])
                rows[place] = await self.in_thread(work, alone=alone)

            async with anyio.create_task_group() as tasks:
                for place in range(len(ids)):
                    tasks.start_soon(run, place)
        return Embedded(
            rows=_finished(np.stack(rows), request),
            tokens=sum(map(len, ids)),
            characters=sum(len(each) for each in request.inputs if isinstance(each, str)),
        )

    async def in_thread(self, work: Callable[[], _Result], *, alone: bool = False) -> _Result:
        """Do the work where the model's is done; of each of both kinds no more than `threads`."""
        limiter = self._limiter_of_single_inputs if alone else self._limiter
        return await anyio.to_thread.run_sync(work, limiter=limiter)

    def text_of(self, given: Input) -> str:
        """An input as text."""
        return given if isinstance(given, str) else self.model.text_of(given)

    def _ids(self, given: Input, request: EmbedRequest) -> list[int]:
        text = self.text_of(given)
        if request.truncate:
            return self.model.ids(text, cut=True, keep_end=request.keep_end)
        options = self.options
        if len(text) > options.max_input_characters:
            most = options.max_input_characters
            raise tei_server.too_long(options.release, len(text), most, "characters")
        ids = self.model.ids(text, cut=False)
        if len(ids) > options.max_input_length:
            raise tei_server.too_long(options.release, len(ids), options.max_input_length)
        return ids


def _finished(rows: NDArray[np.float32], request: EmbedRequest) -> NDArray[np.float32]:
    """Cut to the dimensions asked for, then brought to length 1 if so wished."""
    rows = rows[:, : request.dimensions]
    if request.normalize:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows, dtype=np.float32)


def create_app(service: Service) -> Starlette:
    """An ASGI application that answers as TEI does."""
    routes = _Routes(service)
    embed, tokenize = _guarded(routes.embed), _guarded(routes.tokenize)
    return Starlette(
        routes=[
            *(Route(path, routes.health, methods=["GET"]) for path in tei_server.HEALTH_PATHS),
            Route("/info", routes.info, methods=["GET"]),
            *(Route(path, embed, methods=["POST"]) for path in tei_server.EMBED_PATHS),
            Route("/tokenize", tokenize, methods=["POST"]),
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
            await Response(words, 403, media_type=TEXT)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return answer


class _Routes:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, _request: Request) -> Response:
        """Always well: the process ends where it is not."""
        return Response()

    async def info(self, _request: Request) -> Response:
        """The model and the limits. `docker_label` says that this is not TEI itself."""
        threads = self._service.threads
        info = self._service.options.info(
            model_dtype="int8" if "int8" in self._service.model.info.weights else "float32",
            max_batch_requests=threads,
            tokenization_workers=threads,
            docker_label="langchain-hf-endpoint local server",
        )
        return Response(orjson.dumps(info), media_type=JSON)

    async def embed(self, request: Request) -> Response:
        """Vectors, in TEI's shape or OpenAI's."""
        began = time.perf_counter()
        path, options = request.scope["path"], self._service.options
        content = tei_server.json_object(await self._body(request))
        wanted = tei_server.embed_request(content, path, options)
        embedded = await _unless_gone(request, partial(self._service.embed, wanted))
        if path in OPENAI_PATHS:
            rows = (_row(row, as_base64=wanted.base64) for row in embedded.rows)
            body = tei_server.openai_answer(rows, options.model_id, embedded.tokens)
        else:
            body = orjson.dumps(embedded.rows, option=orjson.OPT_SERIALIZE_NUMPY)
        seconds = time.perf_counter() - began
        headers = tei_server.figures(seconds, embedded.characters, embedded.tokens)
        return Response(body, media_type=JSON, headers=headers)

    async def tokenize(self, request: Request) -> Response:
        """The tokens of each input, uncut."""
        content = tei_server.json_object(await self._body(request))
        inputs = tei_server.inputs_of(content, "inputs", self._service.options)
        special = tei_server.adds_special_tokens(content)
        _check_characters(inputs)
        model = self._service.model

        def tokens() -> bytes:
            texts = map(self._service.text_of, inputs)
            rows = [
                [each._asdict() for each in model.tokens(text, special=special)] for text in texts
            ]
            return orjson.dumps(rows)

        return Response(await self._service.in_thread(tokens), media_type=JSON)

    async def _body(self, request: Request) -> bytes:
        """The body, refused where it is too large or not called JSON."""
        most = self._service.options.payload_limit
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size <= most:
                parts.append(part)
            elif size > _DRAINED_BODIES * most:
                break  # the rest is left unread, and the connection closed
        if size > most:
            raise tei_server.body_too_large()
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            words = "Expected request with `Content-Type: application/json`"
            raise RefusedError(415, "", words)
        return b"".join(parts)


def _row(row: NDArray[np.float32], *, as_base64: bool) -> bytes:
    if as_base64:
        return b'"%b"' % base64.b64encode(row.tobytes())
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)


def _check_characters(inputs: list[Input]) -> None:
    """Refuse to tokenize more of a request than its answer could hold: thirty bytes a character.

    Raises:
        RefusedError: It says how many characters, or token ids, there may be.
    """
    given, most = sum(map(len, inputs)), _MAX_TOKENIZED_CHARACTERS
    if given > most:
        raise RefusedError(413, "Validation", f"inputs have {given} characters > maximum {most}")


def _guarded(handler: Handler) -> Handler:
    """Turn a refusal into its answer."""

    async def guarded(request: Request) -> Response:
        try:
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        except RefusedError as refused:
            body = refused.body(request.scope["path"])
            return Response(body, status_code=refused.status, media_type=refused.content_type)

    return guarded


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
