"""Serve OpenAI's embeddings API: `/v1/embeddings`, and endpoints as the models of `/v1/models`.

The interface is documented at https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

import base64
import re
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


def _asked(content: dict[str, Any]) -> _Asked:
    check_fields(content, _FIELDS)
    model, dimensions = content.get("model"), content.get("dimensions")
    if not isinstance(model, str) or not model:
        raise _wrong("you must provide a model parameter: the inference id of an endpoint")
    if not re.fullmatch(r"[a-z0-9_.\-]{1,100}", model):
        raise unknown_endpoint(printable(model, 100))
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
