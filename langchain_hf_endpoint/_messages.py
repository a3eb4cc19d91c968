"""Define the values that pass between what decides and what sends."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "list[list[float]] | NDArray[np.float32]"
"""One row per input: lists where the response was JSON numbers (exact, and cheaper than a detour
over an array), a float32 matrix where it was base64 or arrays are wanted."""

Form: TypeAlias = Literal["lists", "arrays"]
"""How vectors will be kept: what is read the cheaper for it. Their values are the same."""


@dataclass(frozen=True, slots=True)
class InputOptions:
    """What the server is asked to do with the inputs of one request."""

    prompt_name: str | None = None  # the server's own prompt to put before each input
    truncate: bool = True  # cut an input that is too long instead of refusing it
    normalize: bool = True  # bring the vectors to length 1
    dimensions: int | None = None  # how many numbers of each vector to return
    model: str | None = None  # its name, for OpenAI-style servers that insist on theirs (vLLM)
    base64: bool = True  # ask for it where the protocol has it
    truncate_tokens: int | None = None  # cut there, for servers that have this of their own
    query: bytes | None = None  # what inputs are scored against, as JSON; None: vectors are wanted


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, complete but for the Authorization header, which only the sender adds."""

    method: str
    url: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response, read to its end. Header names are in lower case."""

    status: int
    # Not shown, as in a traceback with local variables: a server may repeat the key in them.
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Cause(Enum):
    """Why a request brought no vectors. The value is how it is named in logs and counts."""

    AUTHENTICATION = "authentication"
    BLOCKED = "blocked"
    """403 with a web page, as firewalls answer."""
    PAYMENT_REQUIRED = "payment_required"
    NOT_FOUND = "not_found"
    """404, 405, 410, a redirect: no embedding route here."""
    PAUSED = "paused"
    NOT_READY = "not_ready"
    """503: a cold start, or no replica for the moment. Worth waiting for."""
    RATE_LIMITED = "rate_limited"
    """429: too many requests, or no permits left."""
    SERVER = "server"
    """408, 425, 500, 502, 504, any 5xx that is not known: worth another try."""
    BACKEND = "backend"
    """424, and 5xx about the request itself such as 501: another try will not help."""
    TRANSPORT = "transport"
    """No response: not connected, reset, timed out. Worth another try."""
    UNREACHABLE = "unreachable"
    """No response, and none to come: an unknown host, a certificate that is not accepted."""
    BATCH_TOO_LARGE = "batch_too_large"
    """More inputs than the server takes at once; `batch_limit` says how many it does take."""
    BODY_TOO_LARGE = "body_too_large"
    """More bytes than the server takes at once."""
    INPUT_REJECTED = "input_rejected"
    """The server refuses one or more of the inputs, without saying which."""
    SETTING_REJECTED = "setting_rejected"
    """The server refuses an option (a prompt name, dimensions): no input would pass."""
    PROTOCOL = "protocol"
    """A response that cannot be right: a 2xx without usable vectors, a status out of place."""
    DIMENSIONS = "width"
    """Vectors of other dimensions than asked for, or than before: another model."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that brought no vectors, and what the server said about it."""

    cause: Cause  # what it means
    text: str  # what happened, in words: the server's own (at most 300 characters), or ours
    status: int | None = None  # of HTTP; None where there was no response
    retry_after: float | None = None  # seconds to wait, from whichever header or field said so
    is_estimate: bool = False  # that is how long it may take to start: it may be asked before
    batch_limit: int | None = None  # inputs per request that the server takes, where it said so
    share: float | None = None  # part of the request's tokens that it takes, where it said so
    over_context_length: bool = False  # an input is said to be longer than the model's
    timed_out: bool = False  # it was ended for taking longer than it may
    connected: bool = True  # a connection stood, so that the server may have seen the request
    refused: bool = False  # nothing listens there
    proxy: str = ""  # the one that was to be connected to, in words


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server says of itself (TEI's ``/info``), each None where it does not."""

    kind: str  # the server: ``tei`` or ``tgi``
    version: str | None = None
    model_id: str | None = None  # None where only a path inside the container is known
    model_path: str | None = None  # that path
    max_input_tokens: int | None = None
    max_batch_size: int | None = None  # inputs in one request
    max_concurrent_inputs: int | None = None  # which is what TEI's field of requests counts
    truncates: bool = False  # whether what is too long is cut where a request does not say
    unfit: str | None = None  # why no text embedding will come from it (a reranker, say)
    unfit_to_score: str | None = None  # why no scores will come from it
    fault: str | None = None  # what it is known to do wrong with texts that share a batch


SAME_VECTOR = 0.999
"""The cosine from which a text counts as having one vector, whatever it is sent with."""


@dataclass(frozen=True, slots=True)
class Parity:
    """Whether a text gets the vector that it has alone: the lowest cosine to that, of a few texts.

    Attributes:
        repeated: In another request, alone again.
        equal_lengths: In a request of texts of as many tokens each.
        mixed_lengths: In a request of texts of various lengths.
        concurrent: In requests of one text each, of various lengths, at the same time.
        concurrent_equal_lengths: The same, of texts of as many tokens each.
    """

    repeated: float
    equal_lengths: float
    mixed_lengths: float
    concurrent: float
    concurrent_equal_lengths: float

    @property
    def is_good(self) -> bool:
        """Whether it does in all of them."""
        return not str(self)

    def __str__(self) -> str:
        """What is wrong, if anything."""
        wrong = {name: cosine for name, cosine in asdict(self).items() if cosine < SAME_VECTOR}
        return ", ".join(
            f"{name.replace('_', ' ')}: cosine {cosine:.3f}" for name, cosine in wrong.items()
        )


@dataclass(frozen=True, slots=True)
class EndpointDescription:
    """What a server said of itself and showed in one probe. None where it does not say.

    Attributes:
        inference_id: The endpoint's name.
        host: Where it is.
        dialect: The protocol that answered: ``tei``, ``hugging_face`` or ``openai``.
        dimensions: Of its vectors.
        latency_seconds: How long the probe took, one short text, from sending to the last byte.
        server: The kind of server.
        version: Its version.
        model_id: The model.
        max_input_tokens: The model's context length; what is over it is cut or refused.
        max_batch_size: Inputs per request.
        max_concurrent_inputs: Inputs in flight.
        transport: The library that sends requests.
        parity: Whether a text's vector depends on what it is sent with, where that was asked for.
        fingerprint: In hexadecimal digits: the vector of a fixed text, by which a registry notices
            another model of the same name and dimensions.
    """

    inference_id: str
    host: str
    dialect: str
    dimensions: int
    latency_seconds: float
    server: str | None = None
    version: str | None = None
    model_id: str | None = None
    max_input_tokens: int | None = None
    max_batch_size: int | None = None
    max_concurrent_inputs: int | None = None
    transport: str | None = None
    parity: Parity | None = field(default=None, repr=False)
    fingerprint: str | None = field(default=None, repr=False)
