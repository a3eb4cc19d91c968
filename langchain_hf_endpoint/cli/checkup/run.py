"""Check an endpoint: describe it, probe it, measure how texts fit its model, and warn."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.describe import describe
from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.parity import check_parity
from langchain_hf_endpoint._engine.query import run_query
from langchain_hf_endpoint._engine.token_bounds import tokenize
from langchain_hf_endpoint._engine.usage import EmbeddingUsage
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint.cli.checkup import rules
from langchain_hf_endpoint.cli.checkup.report import Checkup, Latency, Limits, Prompts
from langchain_hf_endpoint.cli.checkup.token_usage import (
    TokenUsage,
    batches_of,
    pieces_of,
    seen_by_model,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint.cli.checkup.report import ContextUse, Finding, Registered
    from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint


_PROBES = 5  # short texts, one after another, to see how long they take


def check(
    endpoint: InferenceEndpoint,
    texts: Iterable[str] | None,
    registered: Registered,
    most_chunks: int,
    progress: Progress,
) -> Checkup:
    """Ask an endpoint what it is, see how it does, and say what is likely to go wrong.

    A few short texts are embedded, alone, together and at the same time. Chunks are only tokenized,
    by TEI's ``/tokenize``.

    Args:
        endpoint: Which endpoint.
        texts: Those that will be embedded, or a part of them. None: nothing is measured.
        registered: What a registry holds of its model.
        most_chunks: Chunks that are measured; those after them are left out.
        progress: Is told of waits.

    Raises:
        HFEndpointError: It cannot be reached, or does not embed.
    """
    usage, task = EmbeddingUsage(), endpoint.task_settings
    usage.begin()
    # Another model is a finding here, and what follows is told of that one.
    kept, endpoint = endpoint.expected_fingerprint, endpoint.expecting(None)
    description = describe(endpoint, followers=(usage, progress))
    starting_seconds = usage.cold_start_wait_seconds or None
    latency, length = _probed(endpoint, progress)
    limits, prompts = _limits(endpoint, description), _prompts(endpoint)
    use, not_measured = _measured(endpoint, texts, most_chunks, description, progress)
    # Last: a server that mixes requests up is sent nothing after it.
    call = EmbeddingCall.for_query(endpoint, ARRAYS).followed_by(progress)
    check_parity(call)
    description, info = replace(description, parity=call.server.parity), call.server.info
    found_fingerprint = call.server.fingerprint(task.dimensions)
    cosine = kept.similarity(found_fingerprint) if kept and found_fingerprint else None
    model, strategy = description.model_id, endpoint.chunking_settings.strategy
    found: list[Finding | None] = [
        rules.changed_model(registered, model, description.dimensions, cosine),
        rules.no_parity(description.parity, info),
        rules.over_context(use, strategy, truncate=task.truncate) if use else None,
        rules.missing_prompts(model, endpoint.service_settings.url, prompts),
        rules.unnamed_model(model, info.model_path if info else None, prompts),
        *rules.over_permits(limits, latency),
        rules.not_normalized(length) if task.normalize else None,
    ]
    findings = tuple(one for one in found if one is not None)
    return Checkup(
        description, starting_seconds, latency, limits, prompts, use, not_measured, findings
    )


def _probed(endpoint: InferenceEndpoint, progress: Progress) -> tuple[Latency, float]:
    """How long short texts take, and the length of the last one's vector."""
    seconds, length = [], 0.0
    for number in range(_PROBES):
        call = EmbeddingCall.for_query(endpoint, ARRAYS).followed_by(progress)
        # Texts that differ: a cache between us and the model would tell of itself only.
        row = run_query(f"How long does probe number {number} take?", call)
        length = float(np.linalg.norm(row))
        seconds.append(call.server.latency_seconds)
    return Latency(len(seconds), min(seconds), median(seconds), max(seconds)), length


def _limits(endpoint: InferenceEndpoint, description: EndpointDescription) -> Limits:
    service = endpoint.service_settings
    return Limits(
        requests_per_minute=service.rate_limit.requests_per_minute,
        batch_size=EmbeddingCall.for_documents(endpoint, ARRAYS).batch_size,
        wanted_batch_size=service.max_batch_size,
        wanted_requests=service.max_concurrent_requests,
        server_batch_size=description.max_batch_size,
        server_permits=description.max_concurrent_inputs,
    )


def _prompts(endpoint: InferenceEndpoint) -> Prompts:
    query = EmbeddingCall.for_query(endpoint, ARRAYS)
    document = EmbeddingCall.for_documents(endpoint, ARRAYS)
    task = endpoint.task_settings
    return Prompts(
        query=query.prompt,
        document=document.prompt,
        query_name=query.options.prompt_name,
        document_name=document.options.prompt_name,
        are_ours=(query.prompt, document.prompt)
        != (task.query_prompt or "", task.document_prompt or ""),
        are_decided=None not in (task.query_prompt, task.document_prompt)
        or bool(query.prompt or document.prompt)
        or bool(query.options.prompt_name or document.options.prompt_name),
    )


def _measured(
    endpoint: InferenceEndpoint,
    texts: Iterable[str] | None,
    most_chunks: int,
    description: EndpointDescription,
    progress: Progress,
) -> tuple[ContextUse | None, str | None]:
    """How the texts fit, or why that is not known."""
    if texts is None:
        return None, "no file was named"
    if description.max_input_tokens is None:
        return None, "the server does not say how many tokens its model reads"
    call = EmbeddingCall.for_documents(endpoint, ARRAYS).followed_by(progress)
    prompt, max_tokens = call.prompt, description.max_input_tokens
    driver = ThreadDriver(call.sync_transport())
    pieces = pieces_of(texts, call)
    first = islice(pieces, most_chunks)
    usage = TokenUsage(max_tokens)
    for batch in batches_of(first, call.batch_size, call.server.body_bytes):
        seen = [seen_by_model(piece.chunk.text, prompt, max_tokens) for piece in batch]
        tokens = driver.run(tokenize(seen, call))
        if tokens is None:
            return None, "the server has no /tokenize, which TEI has"
        progress.done(len(batch))
        for piece, text, told in zip(batch, seen, tokens, strict=True):
            usage.add(piece, told, prompt, text)
    if not usage.chunks:
        return None, "the files hold no text"
    return usage.result(is_whole=next(pieces, None) is None), None
