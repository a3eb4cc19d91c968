"""The result of a check: values without behaviour.

It knows what there is to say. It must not know how it was found out or how it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_hf_endpoint.endpoint import EndpointDescription


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registry holds of an endpoint's model; None where it does not know."""

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
    """What we keep to, beside what the server allows; None where it does not say.

    Attributes:
        requests_per_minute: The rate limit that is set.
        batch_size: Inputs per request, as they will be sent.
        wanted_batch_size: As they are set; None where they are left to the server.
        wanted_requests: Requests in flight, as set; None where they adapt.
        server_batch_size: Inputs that the server takes in a request.
        server_permits: Inputs that it takes in flight.
    """

    requests_per_minute: int
    batch_size: int
    wanted_batch_size: int | None
    wanted_requests: int | None
    server_batch_size: int | None
    server_permits: int | None


@dataclass(frozen=True, slots=True)
class Prompts:
    """What is put before queries and documents.

    Attributes:
        query: The text before a query; empty where there is none.
        document: The text before a document.
        query_name: The prompt that the server is asked to put there.
        document_name: The same for documents.
        are_ours: Whether the texts come from us, since the model is known to want them.
        are_decided: Whether the settings, or what is known of the model, say what they are.
    """

    query: str
    document: str
    query_name: str | None
    document_name: str | None
    are_ours: bool
    are_decided: bool = True


@dataclass(frozen=True, slots=True)
class WindowUse:
    """How the chunks of texts fit into the model's window.

    Attributes:
        window: Tokens that the model reads of an input.
        texts: Texts measured.
        chunks: Chunks measured.
        over: Those of them that are longer than the window.
        median: Tokens of a chunk, the model's marks and the prompt included.
        longest: Tokens of the longest chunk.
        characters: Of the texts, in chunks.
        lost: Those of them that are in no vector.
        lost_share: Which part of the texts that is, 0 to 1.
        is_whole: Whether all chunks were measured.
        fitting_size: Words per chunk with which these texts would fit, odd ones apart; None where
            they do as it is, or where that is not known.
    """

    window: int
    texts: int
    chunks: int
    over: int
    median: float
    longest: int
    characters: int
    lost: int
    lost_share: float
    is_whole: bool
    fitting_size: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is likely to go wrong.

    Attributes:
        kind: For machines: `chunks_over_window`, `missing_prompts`, `unnamed_model`,
            `limit_over_permits`, `model_changed` or `not_normalized`.
        problem: What it is.
        advice: What to do.
    """

    kind: str
    problem: str
    advice: str


@dataclass(frozen=True, slots=True)
class Checkup:
    """All that a check found.

    Attributes:
        description: What the server is.
        starting_seconds: How long it was waited for while it started; None where it was up.
        latency: Of short texts, on a server that is up.
        limits: Ours and the server's.
        prompts: Before queries and documents.
        window: How texts fit; None where it was not measured.
        not_measured: Why `window` is None.
        findings: What to warn of.
    """

    description: EndpointDescription
    starting_seconds: float | None
    latency: Latency
    limits: Limits
    prompts: Prompts
    window: WindowUse | None
    not_measured: str | None
    findings: tuple[Finding, ...]
