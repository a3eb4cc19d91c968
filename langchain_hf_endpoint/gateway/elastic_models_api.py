"""Serve what Elasticsearch's clients ask of its models beside `_inference`: services, `_infer`.

- `GET _inference/_services` says which services there are and which settings they take.
- `POST _ml/trained_models/<id>/_infer` embeds by a deployed model: LangChain's
  `ElasticsearchEmbeddings`, for one, asks nothing else. Here the model is an endpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from langchain_hf_endpoint.gateway.errors import Refusal, invalid, not_parsed
from langchain_hf_endpoint.gateway.requests import (
    check_fields,
    check_query,
    json_object,
    note,
    printable,
    seconds,
    while_there,
)
from langchain_hf_endpoint.gateway.responses import guarded, json_answer
from langchain_hf_endpoint.settings import TASK_TYPES

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_hf_endpoint.gateway.service import Service


def _setting(label: str, description: str, kind: str, **more: bool) -> dict[str, Any]:
    usual = {"required": False, "sensitive": False, "updatable": False}
    about = {"label": label, "description": description, "type": kind}
    return {**about, **usual, **more, "supported_task_types": TASK_TYPES}


_SERVICE = {
    "service": "hugging_face",
    "name": "Hugging Face",
    "task_types": TASK_TYPES,
    "configurations": {
        "api_key": _setting("API Key", "The endpoint's access token.", "str", sensitive=True),
        "url": _setting("URL", "Where the endpoint is.", "str", required=True),
        "rate_limit.requests_per_minute": _setting(
            "Rate Limit", "Requests in a minute, 3000 by default.", "int", updatable=True
        ),
    },
}


def routes(service: Service) -> list[Route]:
    """The routes."""
    api = _Api(service)
    services = guarded(api.services, "_inference._services")
    infer = guarded(api.infer, "_ml._infer")
    model = "/_ml/trained_models/{id}"
    return [
        Route("/_inference/_services", services, methods=["GET"]),
        Route("/_inference/_services/{task}", services, methods=["GET"]),
        Route(f"{model}/_infer", infer, methods=["POST"]),
        Route(f"{model}/deployment/_infer", infer, methods=["POST"]),
    ]


class _Api:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def services(self, request: Request) -> Response:
        """The one service, for the task type that is asked for."""
        check_query(request)
        task = request.path_params.get("task")
        return json_answer(request, [_SERVICE] if task in (None, *TASK_TYPES) else [])

    async def infer(self, request: Request) -> Response:
        """One vector per document: the text of its one field, whatever that is called."""
        check_query(request, "timeout")
        limit = seconds(request)
        content = await json_object(request, self._service.options)
        check_fields(content, ("docs",))
        documents = content.get("docs")
        if not isinstance(documents, list) or not documents:
            raise invalid("Field [docs] must be an array of objects, not empty")
        texts = [_text_of(index, document) for index, document in enumerate(documents)]
        name = request.path_params["id"]
        try:
            endpoint = await self._service.endpoint(name)
        except Refusal as refusal:
            if refusal.status != 404:  # noqa: PLR2004 - HTTP
                raise
            reason = f"No known trained model with model_id [{printable(name, 100)}]"
            raise Refusal(404, refusal.kind, reason) from None
        note(request, endpoint, texts, "document")
        work = self._service.vectors(endpoint, texts, "document")
        rows = (await while_there(request, work, limit)).vectors
        return json_answer(
            request, {"inference_results": [{"predicted_value": row} for row in rows]}
        )


def _text_of(index: int, document: object) -> str:
    fields = list(document.values()) if isinstance(document, dict) else []
    if len(fields) != 1 or not isinstance(fields[0], str):
        raise not_parsed(f"[docs][{index}] must be an object with one field, a string")
    text: str = fields[0]
    return text
