"""Serve OpenAI's embeddings API, and beside it `/v1/rerank`, in the shape that others share.

The interface is documented at https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from starlette.routing import Route

from langchain_hf_endpoint.gateway.errors import Refusal, unknown_endpoint
from langchain_hf_endpoint.gateway.requests import check_fields, json_object, printable, while_there
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


@dataclass(frozen=True, slots=True)
class _Asked:
    """The body of a request for embeddings."""

    model: str
    texts: list[str]
    lane: Lane
    encoding: Literal["float", "base64"]
    dimensions: int | None


class Api:
    """One method a route."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def embeddings(self, request: Request) -> Response:
        """One vector per input, none chunked."""
        content = await json_object(request, self._service.options)
        if "id" in request.path_params:  # an endpoint's own URL, where a model's name means nothing
            content["model"] = request.path_params["id"]
        asked = _asked(content)
        endpoint = await self._service.endpoint(asked.model)
        task = endpoint.task_settings
        if asked.dimensions is not None:
            task = task.model_copy(update={"dimensions": asked.dimensions})
        request.state.record.update(
            inference_id=endpoint.inference_id, inputs=len(asked.texts), lane=asked.lane
        )
        work = self._service.vectors(endpoint, asked.texts, asked.lane, task)
        embedded = await while_there(request, work)
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(row, asked.encoding)}
            for index, row in enumerate(embedded.vectors)
        ]
        tokens = embedded.tokens or 0
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": asked.model, "usage": usage}
        return json_answer(request, answer)

    async def rerank(self, request: Request) -> Response:
        """The places of documents by their scores, in the shape of Cohere's and Jina's APIs."""
        content = await json_object(request, self._service.options)
        check_fields(content, _RERANK_FIELDS)
        endpoint = await self._service.endpoint(_model_of(content))
        texts = [_text_of_document(one) for one in _several(content.get("documents"))]
        query, top_n = content.get("query"), content.get("top_n")
        if not isinstance(query, str):
            raise _wrong("'query' must be a string")
        if top_n is not None and (type(top_n) is not int or top_n < 1):
            raise _wrong("'top_n' must be an integer of 1 or more")
        returns = content.get("return_documents")
        if returns is not None and not isinstance(returns, bool):
            raise _wrong("'return_documents' must be true or false")
        own = endpoint.task_settings
        task = own.model_copy(update={"top_n": top_n or own.top_n})
        request.state.record.update(
            inference_id=endpoint.inference_id, inputs=len(texts), lane="query"
        )
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


def _several(documents: object) -> list[Any]:
    if not isinstance(documents, list) or not documents:
        raise _wrong("'documents' must be an array of strings, not empty")
    return documents


def _text_of_document(document: object) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        raise _wrong("'documents' must be strings, or objects with a 'text'")
    return text


def _asked(content: dict[str, Any]) -> _Asked:
    check_fields(content, _FIELDS)
    model, dimensions = _model_of(content), content.get("dimensions")
    given = content.get("encoding_format")
    if given not in (None, "float", "base64"):
        raise _wrong("'encoding_format' must be float or base64")
    encoding: Literal["float", "base64"] = "base64" if given == "base64" else "float"
    is_whole = isinstance(dimensions, int) and not isinstance(dimensions, bool)
    if dimensions is not None and not (is_whole and dimensions >= 1):
        raise _wrong("'dimensions' must be an integer of 1 or more")
    given = content.get("input_type")
    if (given is not None and not isinstance(given, str)) or given not in _LANES:
        raise _wrong("'input_type' must be query or passage")
    return _Asked(model, _texts(content.get("input")), _LANES[given], encoding, dimensions)


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


def _encoded(row: Vector, encoding: str) -> object:
    if encoding == "float":
        return row
    return base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
