"""What a server says of itself, and what one probe shows."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from langchain_hf_endpoint._engine.call import EmbeddingCall, Endpoint
from langchain_hf_endpoint._engine.discovery import fetch_served
from langchain_hf_endpoint._engine.drivers import TaskDriver, ThreadDriver
from langchain_hf_endpoint._engine.parity import acheck_parity, check_parity
from langchain_hf_endpoint._engine.progress import followed
from langchain_hf_endpoint._engine.prompts import e5_prompt, needs_e5_prompts, unnamed
from langchain_hf_endpoint._engine.query import arun_query, run_query
from langchain_hf_endpoint._engine.results import reported
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint._http.clients import Clients, check_clients, library_of
from langchain_hf_endpoint._messages import EndpointDescription, ServerInfo
from langchain_hf_endpoint._protocols import ServedModels
from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint
from langchain_hf_endpoint._urls import host_of

if TYPE_CHECKING:
    import httpx
    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._session.session import EndpointSession

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")

_PROBE = TEXTS[0]


def describe(
    endpoint: Endpoint,
    client: httpx.Client | None = None,
    *,
    followers: tuple[Progress, ...] = (),
    parity: bool = False,
) -> EndpointDescription:
    """Ask and probe. See `InferenceEndpoint.describe`.

    Args:
        endpoint: Which one.
        client: The user's own, if there is one.
        followers: Are told of waits, such as that for a cold start.
        parity: See whether a text's vector depends on what it is sent with.
    """
    call = _probe_call(endpoint, Clients(sync=client), followers=followers)
    with reported(*call.followers):
        vector = run_query(_PROBE, _without_prompt(call))
        ThreadDriver(call.sync_transport()).run(fetch_served(call))
        if parity:
            check_parity(call)
    return _described(endpoint, call, vector, client)


async def adescribe(
    endpoint: Endpoint,
    clients: Clients,
    session: EndpointSession | None = None,
    *,
    parity: bool = False,
) -> EndpointDescription:
    """Ask and probe. See `InferenceEndpoint.describe`.

    Args:
        endpoint: Which one.
        clients: The user's own, if there are any.
        session: With whom limits and connections are shared; default: as by any call.
        parity: As in `describe`.
    """
    call = _probe_call(endpoint, clients, session)
    with reported(*call.followers):
        vector = await arun_query(_PROBE, _without_prompt(call))
        await TaskDriver(await call.async_transport()).run(fetch_served(call))
        if parity:
            await acheck_parity(call)
    return _described(endpoint, call, vector, clients.asynchronous)


def _probe_call(
    endpoint: Endpoint,
    clients: Clients,
    session: EndpointSession | None = None,
    followers: tuple[Progress, ...] = (),
) -> EmbeddingCall[NDArray[np.float32]]:
    check_clients(clients, endpoint.service_settings)
    of_scores = endpoint.task_type == "rerank"
    make = partial(EmbeddingCall.for_scores, query=_PROBE) if of_scores else EmbeddingCall.for_query
    call = make(endpoint, ARRAYS, clients=clients, session=session, insists_on_info=True)
    return call.followed_by(*followers) if followers else followed(call, "describe")


def _without_prompt(call: EmbeddingCall[RowT]) -> EmbeddingCall[RowT]:
    """The call that sends a text as it is: its vector is part of the model's fingerprint."""
    return replace(call, task=call.task.model_copy(update={"query_prompt": ""}))


def _has_prompts(endpoint: Endpoint) -> bool:
    task = endpoint.task_settings
    return not {task.query_prompt, task.document_prompt, task.query_prompt_name} <= {None}


def _described(
    endpoint: Endpoint, call: Call, vector: NDArray[np.float32], client: object
) -> EndpointDescription:
    service, server = endpoint.service_settings, call.server
    fingerprint: ModelFingerprint | None = None
    scores = call.query is not None
    if call.options.prompt_name is None and not scores:
        fingerprint = ModelFingerprint.of(vector[None])
        server.keep_fingerprint(call.task.dimensions, fingerprint, server.doubts)
    info = server.info or ServerInfo(kind="")
    served = server.served or ServedModels()
    model = info.model_id or service.model or served.choice
    if scores:
        pass  # prompts are of embeddings
    elif model is None and not _has_prompts(endpoint) and not needs_e5_prompts(service.url):
        _logger.warning("%s %s %s", host_of(service.url), *unnamed(info.model_path))
    elif needs_e5_prompts(model) and not call.prompt and not _has_prompts(endpoint):
        _logger.warning(
            "%s serves the E5 model %s, which wants the prompts %r and %r: set "
            "task_settings.query_prompt and document_prompt (on this route they are not set by "
            "themselves)",
            host_of(service.url),
            model,
            e5_prompt("query"),
            e5_prompt("document"),
        )
    route = server.route
    return EndpointDescription(
        inference_id=endpoint.inference_id,
        host=host_of(service.url),
        dialect=route.dialect.name if route else service.dialect,
        dimensions=0 if scores else len(vector),
        latency_seconds=server.latency_seconds,
        server=info.kind or served.kind,
        version=info.version,
        model_id=model,
        max_input_tokens=server.max_input_tokens,
        max_batch_size=info.max_batch_size,
        max_concurrent_inputs=info.max_concurrent_inputs,
        transport=library_of(client, service.transport),
        parity=server.parity,
        fingerprint=fingerprint.to_bytes().hex() if fingerprint else None,
    )
