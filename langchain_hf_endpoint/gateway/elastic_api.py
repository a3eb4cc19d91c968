"""Serve Elastic's inference API: its paths, its bodies and what their fields mean, its answers.

The interface is documented at https://www.elastic.co/docs/api/doc/elasticsearch/group/endpoint-inference
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from langchain_hf_endpoint._package import __version__
from langchain_hf_endpoint.errors import SettingsError, UnknownEndpointError
from langchain_hf_endpoint.gateway.errors import (
    Refusal,
    incompatible,
    invalid,
    not_parsed,
    unknown_endpoint,
)
from langchain_hf_endpoint.gateway.requests import (
    check_fields,
    check_query,
    check_size,
    flag,
    json_object,
    note,
    printable,
    seconds,
    while_there,
)
from langchain_hf_endpoint.gateway.responses import guarded, json_answer
from langchain_hf_endpoint.settings import TASK_TYPES, TaskSettings

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.gateway.service import Service
    from langchain_hf_endpoint.limiter import Lane

EMBEDDING, RERANK = TASK_TYPES
_OTHER_TASK_TYPES = ("sparse_embedding", "completion", "chat_completion", "embedding")
_LANES: dict[str, Lane] = {
    "search": "query",
    "ingest": "document",
    "classification": "document",
    "clustering": "document",
    "unspecified": "document",
}
_PUT_FIELDS = ("service", "service_settings", "chunking_settings", "task_settings", "task_type")
_MANAGING = ("put", "update", "delete")
_NEVER_HERE = ("query", "return_documents", "top_n")
_PRODUCT = {
    "name": "langchain-hf-endpoint",
    "cluster_name": "langchain-hf-endpoint",
    "cluster_uuid": "_na_",
    "version": {
        # Of the API that is spoken, which clients look at; ours stands below it.
        "number": "9.0.0",
        "build_flavor": "default",
        "build_type": "pip",
        "build_hash": __version__,
        "build_date": "2025-01-01T00:00:00.000000000Z",
        "build_snapshot": False,
        "lucene_version": "10.0.0",
        "minimum_wire_compatibility_version": "8.18.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": "You Know, for Search",
}


def routes(service: Service) -> list[Route]:
    """The routes, those with fixed parts before those that take any name."""
    api = _Api(service)
    table = [("GET", "/", "product", api.product), ("GET", "/_inference", "get", api.get)]
    for base in ("/_inference", "/_inference/{task}"):
        table += [
            ("GET", f"{base}/_all", "get", api.get),
            ("GET", f"{base}/*", "get", api.get),
            ("PUT", f"{base}/{{id}}/_update", "update", api.update),
            ("POST", f"{base}/{{id}}/_chunks", "chunks", api.chunks),
            ("PUT", f"{base}/{{id}}", "put", api.put),
            ("GET", f"{base}/{{id}}", "get", api.get),
            ("POST", f"{base}/{{id}}", "infer", api.infer),
            ("DELETE", f"{base}/{{id}}", "delete", api.delete),
        ]
    return [
        Route(
            path,
            guarded(
                handler,
                f"_inference.{name}" if path != "/" else name,
                manages=name in _MANAGING,
            ),
            methods=[verb],
        )
        for verb, path, name, handler in table
    ]


class _Api:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def product(self, request: Request) -> Response:
        """What the official clients look at before they go on."""
        check_query(request)
        return json_answer(request, _PRODUCT)

    async def put(self, request: Request) -> Response:
        check_query(request, "timeout", "allow_model_change")
        limit, change = seconds(request), flag(request, "allow_model_change")
        inference_id = request.path_params["id"]
        config = await self._body(request)
        check_fields(config, _PUT_FIELDS)
        check_size(config)
        task_type = one_task_type(request.path_params.get("task"), config.pop("task_type", None))
        check_service_name(config)
        if inference_id.startswith("_"):
            raise invalid(f"Invalid inference_id; [{shown(inference_id)}] is reserved")
        work = self._service.put(task_type, inference_id, config, allow_model_change=change)
        return json_answer(request, as_elastic(await while_there(request, work, limit)))

    async def get(self, request: Request) -> Response:
        """One endpoint, or all."""
        check_query(request)
        task = request.path_params.get("task")
        if task not in (None, "any", *TASK_TYPES, *_OTHER_TASK_TYPES):
            raise invalid(f"Unknown task_type [{shown(task)}]")
        found = await self._service.get(request.path_params.get("id"))
        if "id" in request.path_params:
            check_task_type(task, found[0])
        # Elastic has other types too; here there are no endpoints of theirs.
        found = [config for config in found if task in (None, "any", config["task_type"])]
        return json_answer(request, {"endpoints": [as_elastic(config) for config in found]})

    async def update(self, request: Request) -> Response:
        check_query(request, "timeout")
        config = await self._body(request)
        check_size(config)
        inference_id = request.path_params["id"]
        known = await self._known(inference_id)
        given = config.pop("task_type", None)
        if (task := request.path_params.get("task", given)) is not None:
            check_task_type(one_task_type(task, given), known)
        updated = await self._service.update(inference_id, config)
        return json_answer(request, as_elastic(updated))

    async def delete(self, request: Request) -> Response:
        """Delete an endpoint. Nothing refers to endpoints here, so `force` has nothing to do."""
        check_query(request, "dry_run", "force")
        dry_run, _ = flag(request, "dry_run"), flag(request, "force")
        inference_id = request.path_params["id"]
        task = request.path_params.get("task")
        check_task_type(task, await self._known(inference_id))
        if not dry_run:
            await self._service.delete(inference_id)
        return json_answer(
            request,
            {"acknowledged": not dry_run, "pipelines": [], "indexes": [], "error_message": None},
        )

    async def infer(self, request: Request) -> Response:
        """One vector per input, none chunked; of a reranker the places of the inputs."""
        check_query(request, "timeout")
        limit = seconds(request)
        content = await self._body(request)
        endpoint = await self._endpoint(request)
        if endpoint.task_type == RERANK:
            return await self._rerank(request, endpoint, content, limit)
        if "task" in request.path_params:
            for name in _NEVER_HERE:
                if content.get(name) is not None:
                    raise invalid(f"Field [{name}] cannot be specified for task type [{EMBEDDING}]")
        check_fields(content, ("input", "input_type", "task_settings", *_NEVER_HERE))
        texts, lane = texts_of(content), lane_of(content.get("input_type"))
        check_size(content.get("task_settings"))
        task = task_settings_with(endpoint, content.get("task_settings"))
        note(request, endpoint, texts, lane)
        work = self._service.vectors(endpoint, texts, lane, task)
        rows = (await while_there(request, work, limit)).vectors
        return json_answer(request, {EMBEDDING: [{"embedding": row} for row in rows]})

    async def _rerank(
        self,
        request: Request,
        endpoint: InferenceEndpoint,
        content: dict[str, Any],
        limit: float | None,
    ) -> Response:
        check_fields(content, ("input", "query", "return_documents", "top_n", "task_settings"))
        texts, query = texts_of(content), content.get("query")
        if not isinstance(query, str):
            raise invalid("Field [query] is required for task type [rerank], and must be a string")
        check_size(content.get("task_settings"))
        of_request = {name: content.get(name) for name in ("return_documents", "top_n")}
        given = content.get("task_settings") or {}
        if isinstance(given, dict):
            given = {**given, **{name: one for name, one in of_request.items() if one is not None}}
        task = task_settings_with(endpoint, given) or endpoint.task_settings
        note(request, endpoint, texts, "query")
        work = self._service.places(endpoint, query, texts, task)
        places = await while_there(request, work, limit)
        answer = [
            {**place, "text": texts[place["index"]]} if task.return_documents else place
            for place in places
        ]
        return json_answer(request, {RERANK: answer})

    async def chunks(self, request: Request) -> Response:
        """The chunks of each input, with offsets and vectors."""
        check_query(request, "timeout")
        limit = seconds(request)
        content = await self._body(request)
        endpoint = await self._endpoint(request)
        if endpoint.task_type != EMBEDDING:
            raise incompatible(EMBEDDING, endpoint.task_type)
        check_fields(content, ("input", "input_type"))
        if lane_of(content.get("input_type")) == "query":
            raise invalid("[input_type] cannot be [search] here: queries are never chunked")
        texts = texts_of(content)
        note(request, endpoint, texts, "document")
        cut = await while_there(request, self._service.chunks(endpoint, texts), limit)
        answer = [
            {
                "chunks": [
                    {
                        "text": piece.text,
                        "start_offset": piece.start,
                        "end_offset": piece.end,
                        "embedding": vector,
                    }
                    for piece, vector in pieces
                ]
            }
            for pieces in cut
        ]
        return json_answer(request, {EMBEDDING: answer})

    async def _body(self, request: Request) -> dict[str, Any]:
        return await json_object(request, self._service.options)

    async def _known(self, inference_id: str) -> dict[str, Any]:
        try:
            return (await self._service.get(inference_id))[0]
        except UnknownEndpointError:
            raise unknown_endpoint(shown(inference_id)) from None

    async def _endpoint(self, request: Request) -> InferenceEndpoint:
        endpoint = await self._service.endpoint(request.path_params["id"])
        task = request.path_params.get("task")
        if task not in (None, "any", endpoint.task_type):
            raise incompatible(task, endpoint.task_type)
        return endpoint


def shown(name: str | None) -> str:
    """A name as a message may repeat it."""
    return printable(name or "", 100)


def check_task_type(task: str | None, config: dict[str, Any]) -> None:
    """Refuse a task type under which the endpoint is asked for, if it is not its own."""
    if task not in (None, "any", own := config["task_type"]):
        raise Refusal(
            400,
            "status_exception",
            f"Requested task type [{shown(task)}] does not match the inference endpoint's task "
            f"type [{own}]",
        )


def one_task_type(of_path: str | None, of_body: object) -> str:
    """The task type, which the path or the body names."""
    if of_body is not None and not isinstance(of_body, str):
        raise not_parsed("[task_type] must be a string")
    if of_path is not None and of_body is not None and of_path != of_body:
        raise Refusal(
            400,
            "status_exception",
            "Cannot resolve conflicting task_type parameter in the request URL "
            f"[{shown(of_path)}] and the request body [{shown(of_body)}]",
        )
    task = of_path or of_body
    if task is None:
        raise invalid("model is missing required setting [task_type]")
    if task in _OTHER_TASK_TYPES:
        raise invalid(f"The [hugging_face] service does not support task type [{task}]")
    if task not in TASK_TYPES:
        raise invalid(f"Unknown task_type [{shown(task)}]")
    return task


def check_service_name(config: dict[str, Any]) -> None:
    """Refuse any service but Hugging Face's."""
    name = config.get("service")
    if name is None:
        raise invalid("Inference endpoint configuration is missing the [service] setting")
    if name != "hugging_face":
        is_plain = isinstance(name, str) and re.fullmatch(r"[a-z_]{1,30}", name)
        raise invalid(f"Unknown service [{name}]" if is_plain else "Unknown service")


def texts_of(content: dict[str, Any]) -> list[str]:
    """The texts: one string, or several."""
    texts = content.get("input")
    if texts is None:
        raise invalid("Field [input] cannot be null")
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise not_parsed("[input] must be a string or an array of strings")
    if not texts:
        raise invalid("Field [input] cannot be an empty array")
    return texts


def lane_of(input_type: object) -> Lane:
    """Which lane an `input_type` means."""
    if input_type is None:
        return "document"
    lane = _LANES.get(input_type[:20].lower()) if isinstance(input_type, str) else None
    if lane is None:
        raise invalid(f"[input_type] must be one of {', '.join(_LANES)}")
    return lane


def task_settings_with(endpoint: InferenceEndpoint, given: object) -> TaskSettings | None:
    """The endpoint's task settings with those of the request in their place."""
    if given in (None, {}):
        return None
    if not isinstance(given, dict):
        raise not_parsed("[task_settings] must be an object")
    own = endpoint.task_settings.model_dump()
    try:
        settings = TaskSettings(**{**own, **given})
        endpoint.model_copy(update={"task_settings": settings})  # which refuses another task's
    except SettingsError as error:
        section = "task_settings."
        problems = [(section + field.removeprefix(section), text) for field, text in error.problems]
    else:
        return settings
    raise SettingsError(*problems)


def as_elastic(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as Elastic's clients expect it: the size of a chunk has another name."""
    chunking = {
        "max_chunk_size" if name == "max_chunking_size" else name: value
        for name, value in config["chunking_settings"].items()
    }
    return {**config, "chunking_settings": chunking}
