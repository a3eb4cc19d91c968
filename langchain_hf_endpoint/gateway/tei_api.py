"""Serve the API of text-embeddings-inference (TEI), below a base URL per endpoint.

https://huggingface.github.io/text-embeddings-inference describes the routes.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response
from starlette.routing import Route

from langchain_hf_endpoint._engine.discovery import ask
from langchain_hf_endpoint._engine.drivers import TaskDriver
from langchain_hf_endpoint._protocols.tei_server import (
    RERANKER,
    RefusedError,
    TeiServer,
    adds_special_tokens,
    embed_request,
    inputs_of,
)
from langchain_hf_endpoint._protocols.tokenize import tokenize_request, tokens_told
from langchain_hf_endpoint.gateway import openai_api
from langchain_hf_endpoint.gateway.errors import Refusal
from langchain_hf_endpoint.gateway.requests import json_object, note, while_there
from langchain_hf_endpoint.gateway.responses import TEI_PREFIX, guarded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.gateway.service import Service
    from langchain_hf_endpoint.limiter import Lane

_BASE = TEI_PREFIX + "{id}"
_LANES: dict[str, Lane] = {"": "document", "query": "query", "document": "document"}
_STATED_BATCH = 32  # where the endpoint's server says nothing: TEI's own default


def routes(service: Service) -> list[Route]:
    """The routes."""
    api = _Api(service)
    embed, health = guarded(api.embed, "tei.embed"), guarded(api.health, "tei.health")
    return [
        Route(_BASE + "/embed", embed, methods=["POST"]),
        Route(
            _BASE + "/v1/embeddings",
            guarded(openai_api.Api(service).embeddings, "tei.v1.embeddings"),
            methods=["POST"],
        ),
        Route(_BASE + "/tokenize", guarded(api.tokenize, "tei.tokenize"), methods=["POST"]),
        Route(_BASE + "/rerank", guarded(api.rerank, "tei.rerank"), methods=["POST"]),
        Route(_BASE + "/info", guarded(api.info, "tei.info"), methods=["GET"]),
        Route(_BASE + "/health", health, methods=["GET"]),
        *(
            Route(_BASE + end, handler, methods=[method])
            for end in ("", "/")
            for method, handler in (("POST", embed), ("GET", health))
        ),
    ]


class _Api:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def embed(self, request: Request) -> Response:
        """One vector per input, none chunked."""
        content = await json_object(request, self._service.options)
        endpoint = await self._service.endpoint(request.path_params["id"])
        with _refusing():
            asked = embed_request(content, "/embed", self._reader(endpoint))
        texts = [text for text in asked.inputs if isinstance(text, str)]
        if len(texts) < len(asked.inputs):
            raise _wrong("`inputs` must be texts: the ids of tokens are not passed on")
        if asked.keep_end:
            raise _wrong("`truncation_direction` Left is not passed on")
        said = {name: content.get(name) for name in ("truncate", "normalize", "dimensions")}
        task = endpoint.task_settings.model_copy(
            update={name: value for name, value in said.items() if value is not None}
        )
        lane = _LANES[asked.prompt]
        note(request, endpoint, texts, lane)
        embedded = await while_there(request, self._service.vectors(endpoint, texts, lane, task))
        tokens = {} if embedded.tokens is None else {"x-compute-tokens": str(embedded.tokens)}
        body = orjson.dumps(embedded.vectors, option=orjson.OPT_SERIALIZE_NUMPY)
        return Response(body, headers=tokens, media_type="application/json")

    async def tokenize(self, request: Request) -> Response:
        """The tokens of each input, as the endpoint's own server tells them."""
        content = await json_object(request, self._service.options)
        endpoint = await self._service.endpoint(request.path_params["id"])
        with _refusing():
            inputs = inputs_of(content, "inputs", self._reader(endpoint))
            special = adds_special_tokens(content)
        texts = [text for text in inputs if isinstance(text, str)]
        if len(texts) < len(inputs):
            raise _wrong("`inputs` must be texts")
        call = self._service.call(endpoint)
        driver = TaskDriver(await call.async_transport(), None)
        told: list[Any] = []
        for start in range(0, len(texts), call.batch_size):
            some = texts[start : start + call.batch_size]
            asking = tokenize_request(endpoint.service_settings.url, some, None)
            response = await while_there(request, driver.run(ask(asking, call)))
            found = tokens_told(response, len(some)) if response else None
            if found is None:
                raise Refusal(404, "Validation", "the endpoint's server tells no tokens as TEI's")
            told += found
        kept = told if special else [[one for one in of if not one["special"]] for of in told]
        return Response(orjson.dumps(kept), media_type="application/json")

    async def rerank(self, request: Request) -> Response:
        """The places of texts by their scores, the best first."""
        content = await json_object(request, self._service.options)
        endpoint = await self._service.endpoint(request.path_params["id"])
        query, texts = content.get("query"), content.get("texts")
        if not isinstance(query, str) or not isinstance(texts, list):
            raise _wrong("`query` must be a text, and `texts` a list of texts")
        if not texts:
            raise Refusal(400, "Empty", "Input validation error: `texts` cannot be empty")
        for name in ("truncate", "raw_scores", "return_text"):
            if content.get(name) is not None and not isinstance(content[name], bool):
                raise _wrong(f"`{name}` must be true or false")
        if content.get("raw_scores"):
            raise _wrong("`raw_scores` are not passed on")
        if str(content.get("truncation_direction") or "Right").capitalize() != "Right":
            raise _wrong("`truncation_direction` Left is not passed on")
        task = endpoint.task_settings.model_copy(update={"top_n": None})
        if content.get("truncate") is not None:
            task = task.model_copy(update={"truncate": content["truncate"]})
        note(request, endpoint, texts, "query")
        work = self._service.places(endpoint, query, texts, task)
        answer = [
            {"index": place["index"], "score": place["relevance_score"]}
            | ({"text": texts[place["index"]]} if content.get("return_text") else {})
            for place in await while_there(request, work)
        ]
        return Response(orjson.dumps(answer), media_type="application/json")

    async def info(self, request: Request) -> Response:
        """The endpoint's model and limits, as its server states them."""
        endpoint = await self._service.endpoint(request.path_params["id"])
        found = await while_there(request, self._service.description(endpoint))
        options = self._service.options
        # A batch of the endpoint's own size is one request there. Larger ones are taken too.
        stated = found.max_batch_size or _STATED_BATCH
        server = TeiServer(
            model_id=found.model_id or endpoint.inference_id,
            dimensions=found.dimensions,
            max_input_length=found.max_input_tokens or 0,
            max_client_batch_size=min(stated, options.max_inputs),
            max_concurrent_requests=options.max_queue,
        )
        own = {"model_type": RERANKER} if endpoint.task_type == "rerank" else {}
        return Response(orjson.dumps(server.info(**own)), media_type="application/json")

    def _reader(self, endpoint: InferenceEndpoint) -> TeiServer:
        # The prompts are the endpoint's own: their names only say what the inputs are.
        return TeiServer(
            model_id=endpoint.inference_id,
            dimensions=1 << 32,  # how many there may be, the endpoint's server knows
            max_client_batch_size=self._service.options.max_inputs,
            prompts={name: name for name in _LANES if name},
        )

    async def health(self, request: Request) -> Response:
        """Whether there is such an endpoint; its server is not asked."""
        await self._service.endpoint(request.path_params["id"])
        return Response()


@contextmanager
def _refusing() -> Iterator[None]:
    """Refuse what TEI would, in its words."""
    try:
        yield
    except RefusedError as error:
        raise Refusal(error.status, error.kind or "Validation", error.message) from None


def _wrong(reason: str) -> Refusal:
    return Refusal(422, "Validation", f"Input validation error: {reason}")
