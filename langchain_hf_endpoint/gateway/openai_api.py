"""Serve OpenAI's embeddings API, and beside it `/v1/rerank`, in the shape that others share.

The interface is documented at https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
import re
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.routing import Route

from langchain_hf_endpoint.gateway.errors import Refusal, unknown_endpoint
from langchain_hf_endpoint.gateway.requests import (
    check_fields,
    json_object,
    note,
    printable,
    while_there,
)
from langchain_hf_endpoint.gateway.responses import guarded, json_answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_hf_endpoint._engine.vectors import Vector
    from langchain_hf_endpoint.gateway.service import Service
    from langchain_hf_endpoint.limiter import Lane

_FIELDS = ("model", "input", "encoding_format", "dimensions", "user", "input_type")
_RERANK_FIELDS = (
    *("model", "query", "documents", "top_n", "return_documents"),
    *("max_tokens_per_doc", "max_chunks_per_doc", "truncation", "priority", "rank_fields"),
)
_LANES: dict[object, Lane] = {
    None: "document",
    "query": "query",
    "search": "query",
    "passage": "document",
    "document": "document",
    "ingest": "document",
}
_TOKENS = (
    "'input' must be text: this endpoint's model has a tokenizer of its own, so token ids of "
    "another mean nothing to it. With LangChain's OpenAIEmbeddings set "
    "check_embedding_ctx_length=False."
)


def routes(service: Service) -> list[Route]:
    """The routes."""
    api = Api(service)
    return [
        Route("/v1/embeddings", guarded(api.embeddings, "v1.embeddings"), methods=["POST"]),
        *(
            Route(path, guarded(api.rerank, "rerank"), methods=["POST"])
            for path in ("/v1/rerank", "/v2/rerank")
        ),
        Route("/v1/models", guarded(api.models, "v1.models"), methods=["GET"]),
        Route("/v1/models/{id}", guarded(api.model, "v1.model"), methods=["GET"]),
    ]


class Api:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def embeddings(self, request: Request) -> Response:
        """One vector per input, none chunked."""
        content = await json_object(request, self._service.options)
        if "id" in request.path_params:  # an endpoint's own URL, where a model's name means nothing
            content["model"] = request.path_params["id"]
        check_fields(content, _FIELDS)
        model, encoding = _model_of(content), content.get("encoding_format")
        if encoding not in (None, "float", "base64"):
            raise _wrong("'encoding_format' must be float or base64")
        if (dimensions := content.get("dimensions")) is not None:
            _check_count("dimensions", dimensions)
        lane, texts = _lane_of(content.get("input_type")), _texts(content.get("input"))
        endpoint = await self._service.endpoint(model)
        task = endpoint.task_settings
        if dimensions is not None:
            task = task.model_copy(update={"dimensions": dimensions})
        note(request, endpoint, texts, lane)
        embedded = await while_there(request, self._service.vectors(endpoint, texts, lane, task))
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(row, encoding)}
            for index, row in enumerate(embedded.vectors)
        ]
        tokens = embedded.tokens or 0
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": model, "usage": usage}
        return json_answer(request, answer)

    async def rerank(self, request: Request) -> Response:
        """The places of documents by their scores, in the shape of Cohere's and Jina's APIs."""
        content = await json_object(request, self._service.options)
        check_fields(content, _RERANK_FIELDS)
        endpoint = await self._service.endpoint(_model_of(content))
        texts = _texts_of(content.get("documents"))
        query, top_n = content.get("query"), content.get("top_n")
        if not isinstance(query, str):
            raise _wrong("'query' must be a string")
        if top_n is not None:
            _check_count("top_n", top_n)
        returns = content.get("return_documents")
        if returns is not None and not isinstance(returns, bool):
            raise _wrong("'return_documents' must be true or false")
        own = endpoint.task_settings
        task = own.model_copy(update={"top_n": top_n or own.top_n})
        note(request, endpoint, texts, "query")
        work = self._service.places(endpoint, query, texts, task)
        returns = own.return_documents if returns is None else returns
        results = [
            {**place, "document": {"text": texts[place["index"]]}} if returns else place
            for place in await while_there(request, work)
        ]
        answer = {
            "id": str(uuid.uuid4()),
            "model": endpoint.inference_id,
            "results": results,
            "meta": {"api_version": {"version": "2"}},
            "usage": {"total_tokens": 0},
        }
        return json_answer(request, answer)

    async def models(self, request: Request) -> Response:
        """Every endpoint's name."""
        found = await self._service.get(None)
        names = [str(config["inference_id"]) for config in found]
        return json_answer(request, {"object": "list", "data": list(map(_model, names))})

    async def model(self, request: Request) -> Response:
        """One endpoint's name, if there is one."""
        name = request.path_params["id"]
        await self._service.get(name)
        return json_answer(request, _model(name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "langchain-hf-endpoint"}


def _model_of(content: dict[str, Any]) -> str:
    model = content.get("model")
    if not isinstance(model, str) or not model:
        raise _wrong("you must provide a model parameter: the inference id of an endpoint")
    if not re.fullmatch(r"[a-z0-9_.\-]{1,100}", model):
        raise unknown_endpoint(printable(model, 100))
    return model


def _texts_of(documents: object) -> list[str]:
    if not isinstance(documents, list) or not documents:
        raise _wrong("'documents' must be an array of strings, not empty")
    texts: list[Any] = [one.get("text") if isinstance(one, dict) else one for one in documents]
    if not all(isinstance(text, str) for text in texts):
        raise _wrong("'documents' must be strings, or objects with a 'text'")
    return texts


def _check_count(field: str, given: object) -> None:
    if type(given) is not int or given < 1:
        raise _wrong(f"'{field}' must be an integer of 1 or more")


def _lane_of(given: object) -> Lane:
    if (given is not None and not isinstance(given, str)) or given not in _LANES:
        raise _wrong("'input_type' must be query or passage")
    return _LANES[given]


def _texts(given: object) -> list[str]:
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list) or not given:
        raise _wrong("'input' must be a string or an array of strings, not empty")
    if all(isinstance(one, str) for one in given):
        return given
    if all(isinstance(one, (int, list)) for one in given):
        raise _wrong(_TOKENS)
    raise _wrong("'input' must be a string or an array of strings")


def _wrong(reason: str) -> Refusal:
    return Refusal(400, "invalid_value", reason)


def _encoded(row: Vector, encoding: str | None) -> object:
    if encoding != "base64":
        return row
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
