"""Check an endpoint: describe it, probe it, measure how texts fit its model, and warn."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from langchain_hf_endpoint._engine.actions import NullProgress, WaitReason
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.describe import describe
from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.progress import CompositeProgress
from langchain_hf_endpoint._engine.run import run_query
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint.cli.checkup import rules
from langchain_hf_endpoint.cli.checkup.report import (
    Checkup,
    Latency,
    Limits,
    Prompts,
    Registered,
)
from langchain_hf_endpoint.cli.checkup.token_usage import (
    TokenUsage,
    batches_of,
    pieces_of,
    seen_by_model,
    tokenize,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint.cli.checkup.report import ContextUse, Finding
    from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be checked."""

    endpoint: InferenceEndpoint
    texts: Iterable[str] | None = None  # that will be embedded; None: nothing is measured
    registered: Registered = field(default_factory=Registered)  # what a registry holds
    most_chunks: int = 10_000  # that are measured; those after them are left out
    probes: int = 5  # short texts, one after another, to see how long they take


class _Start(NullProgress):
    """Notes since when the endpoint is waited for because it starts."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: float | None = None

    def waits(self, why: WaitReason, seconds: float) -> None:  # noqa: ARG002 - the protocol's
        """A request waits."""
        if why is WaitReason.COLD_START and self._since is None:
            self._since = self._clock()

    def seconds(self) -> float | None:
        """How long ago the first wait began; None where there was none."""
        return None if self._since is None else self._clock() - self._since


def check(
    wanted: Wanted,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Checkup:
    """Ask an endpoint what it is, see how it does, and say what is likely to go wrong.

    A few short texts are embedded. Chunks are only tokenized, by TEI's ``/tokenize``.

    Args:
        wanted: What to check.
        progress: Is told of waits.
        clock: In seconds.

    Raises:
        HFEndpointError: It cannot be reached, or does not embed.
    """
    endpoint, start = wanted.endpoint, _Start(clock)
    description = describe(
        endpoint, progress=CompositeProgress((start, progress)) if progress else start
    )
    starting_seconds = start.seconds()
    latency, length = _probed(wanted, progress)
    limits, prompts = _limits(endpoint, description), _prompts(endpoint)
    use, not_measured = _measured(wanted, description, progress)
    found: list[Finding | None] = [
        rules.changed_model(wanted.registered, description.model_id, description.dimensions),
        rules.over_context(
            use,
            endpoint.chunking_settings.strategy,
            truncate=endpoint.task_settings.truncate,
        )
        if use
        else None,
        rules.missing_prompts(description.model_id, endpoint.service_settings.url, prompts),
        rules.unnamed_model(description.model_id, _path_of_model(endpoint), prompts),
        *rules.over_permits(limits, latency),
        rules.not_normalized(length) if endpoint.task_settings.normalize else None,
    ]
    return Checkup(
        description,
        starting_seconds,
        latency,
        limits,
        prompts,
        use,
        not_measured,
        tuple(one for one in found if one is not None),
    )


def _probed(wanted: Wanted, progress: Progress | None) -> tuple[Latency, float]:
    """How long short texts take, and the length of the last one's vector."""
    seconds, length = [], 0.0
    for number in range(max(1, wanted.probes)):
        call = EmbeddingCall.for_query(wanted.endpoint, ARRAYS)
        # Texts that differ: a cache between us and the model would tell of itself only.
        row = run_query(f"How long does probe number {number} take?", call, progress)
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


def _path_of_model(endpoint: InferenceEndpoint) -> str | None:
    """What the server says in the place of its model's name."""
    info = EmbeddingCall.for_query(endpoint, ARRAYS).server.info
    return info.model_path if info else None


def _measured(
    wanted: Wanted, description: EndpointDescription, progress: Progress | None
) -> tuple[ContextUse | None, str | None]:
    """How the texts fit, or why that is not known."""
    if wanted.texts is None:
        return None, "no file was named"
    if description.max_input_tokens is None:
        return None, "the server does not say how many tokens its model reads"
    call = EmbeddingCall.for_documents(wanted.endpoint, ARRAYS)
    prompt, max_tokens = call.prompt, description.max_input_tokens
    driver = ThreadDriver(call.sync_transport(), progress)
    pieces = pieces_of(wanted.texts, wanted.endpoint.chunking_settings)
    first = islice(pieces, wanted.most_chunks)
    usage = TokenUsage(max_tokens)
    for batch in batches_of(first, call.batch_size, call.server.body_bytes):
        seen = [seen_by_model(piece.chunk.text, prompt, max_tokens) for piece in batch]
        tokens = driver.run(tokenize(seen, call))
        if tokens is None:
            return None, "the server has no /tokenize, which TEI has"
        if progress:
            progress.done(len(batch))
        for piece, text, told in zip(batch, seen, tokens, strict=True):
            usage.add(piece, told, prompt, text)
    if not usage.chunks:
        return None, "the files hold no text"
    return usage.result(is_whole=next(pieces, None) is None), None
