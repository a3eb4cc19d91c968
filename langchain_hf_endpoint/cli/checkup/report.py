"""The result of a check, in plain values; None is what is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_hf_endpoint.endpoint import EndpointDescription


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registry holds of an endpoint's model."""

    model_id: str | None = None
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """How long probes of one short text took, in seconds."""

    probes: int
    shortest: float
    median: float
    longest: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What we keep to, beside what the server allows."""

    requests_per_minute: int
    batch_size: int  # inputs per request, as they will be sent
    wanted_batch_size: int | None  # as set; None: it is left to the server
    wanted_requests: int | None  # in flight, as set; None: they adapt
    server_batch_size: int | None  # inputs that the server takes in a request
    server_permits: int | None  # inputs that it takes in flight


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before queries and documents; empty where that is nothing."""

    query: str
    document: str
    query_name: str | None  # the prompt that the server is asked to put there
    document_name: str | None
    are_ours: bool  # the texts come from us, since the model is known to want them
    are_decided: bool = True  # the settings, or what is known of the model, say what they are


@dataclass(frozen=True, slots=True)
class ContextUse:
    """How the chunks of texts fit into the tokens that the model reads of an input."""

    window: int  # those tokens
    texts: int
    chunks: int
    over: int  # chunks that are longer
    median: float  # tokens of a chunk, the model's marks and the prompt included
    longest: int
    characters: int  # of the texts, in chunks
    lost: int  # those of them that are in no vector
    lost_share: float  # 0 to 1
    is_whole: bool  # all chunks were measured
    fitting_size: int | None  # words per chunk that would fit, odd chunks apart; None: they do


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is likely to go wrong, and what to do.

    Its kind is `chunks_over_window`, `missing_prompts`, `unnamed_model`, `limit_over_permits`,
    `model_changed`, `no_parity` or `not_normalized`.
    """

    kind: str
    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """All that a check found."""

    description: EndpointDescription
    starting_seconds: float | None  # waited for while it started; None where it was up
    latency: Latency
    limits: Limits
    prompts: Prompts
    window: ContextUse | None
    not_measured: str | None  # why `window` is None
    findings: tuple[Finding, ...]
