"""Errors that the user reads, made of failed requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols import unknown_model
from langchain_hf_endpoint.errors import (
    AuthenticationError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    HFEndpointError,
    InputError,
    ModelChangedError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint._session.fingerprint import ModelFingerprint


@dataclass(frozen=True, slots=True)
class _Wording:
    error: type[HFEndpointError]
    what: str
    advice: str


class _Details(TypedDict):
    host: str
    attempts: int
    status: int | None


_WORDING: Mapping[Cause, _Wording] = {
    Cause.AUTHENTICATION: _Wording(
        AuthenticationError,
        "the server does not accept the key",
        "Check api_key (or the variable that holds it) and what the token may do.",
    ),
    Cause.BLOCKED: _Wording(
        AuthenticationError,
        "the server, or a firewall before it, refuses the request",
        "Check what the token may do, and ask whoever runs the firewall, if there is one.",
    ),
    Cause.PAYMENT_REQUIRED: _Wording(
        PaymentRequiredError,
        "the account has no credit left",
        "Add credit or use an endpoint of your own.",
    ),
    Cause.NOT_FOUND: _Wording(
        EndpointNotFoundError,
        "nothing at this URL takes embedding requests",
        "Check the URL and its path (such as /embed or /v1/embeddings), and that the endpoint "
        "still exists.",
    ),
    Cause.PAUSED: _Wording(
        EndpointPausedError,
        "the endpoint is paused, and requests do not wake it",
        "Resume it on its page at Hugging Face, or ask its owner to.",
    ),
    Cause.NOT_READY: _Wording(
        EndpointNotReadyError,
        "the endpoint was not ready in time",
        "It may still be starting: try again later, or raise max_wait.",
    ),
    Cause.RATE_LIMITED: _Wording(
        RateLimitedError,
        "the server refuses for its rate limit",
        "Lower rate_limit.requests_per_minute or max_concurrent_requests, or raise max_wait.",
    ),
    Cause.SERVER: _Wording(
        ServerError, "the server failed", "Look at the server's log, or try again later."
    ),
    Cause.BACKEND: _Wording(
        ServerError,
        "the server cannot do this",
        "Look at the server's log; it may be short of memory or serve no embedding model.",
    ),
    Cause.TRANSPORT: _Wording(
        TransportError, "no reply", "Check that the server runs, the network, and timeout."
    ),
    Cause.UNREACHABLE: _Wording(
        TransportError,
        "no connection is possible",
        "Check what is named here, the URL's host and its certificate.",
    ),
    Cause.BATCH_TOO_LARGE: _Wording(
        ServerError,
        "the server calls a single input too many",
        "Look at the server's limits (TEI: --max-client-batch-size).",
    ),
    Cause.BODY_TOO_LARGE: _Wording(
        InputError,
        "the text has more bytes than the server takes in one request",
        "Chunk it smaller, or raise the server's limit (TEI: --payload-limit).",
    ),
    Cause.INPUT_REJECTED: _Wording(
        InputError,
        "the server rejects the text",
        "Shorten or mend it, or set task_settings.truncate to True.",
    ),
    Cause.SETTING_REJECTED: _Wording(
        SettingsError, "the server rejects a setting", "Check task_settings against the model."
    ),
    Cause.PROTOCOL: _Wording(
        ProtocolError,
        "the reply cannot be right",
        "Nothing of it was used. Check that the URL leads to an embedding model.",
    ),
    Cause.DIMENSIONS: _Wording(
        ProtocolError,
        "the reply cannot be right",
        "Nothing of it was used. Check which model the URL leads to.",
    ),
}

_OF_A_RERANKER: Mapping[Cause, _Wording] = {
    Cause.NOT_FOUND: _Wording(
        EndpointNotFoundError,
        "nothing at this URL takes rerank requests",
        "Check the URL and its path (such as /rerank), and that the endpoint still exists.",
    ),
    Cause.BACKEND: _Wording(
        ServerError,
        "the server cannot do this",
        "Look at the server's log; it may be short of memory or serve no model that reranks.",
    ),
    Cause.PROTOCOL: _Wording(
        ProtocolError,
        "the reply cannot be right",
        "None of its scores was used. Check that the URL leads to a model that reranks.",
    ),
}
"""Where scores are asked for."""
_LOOK_AT_THE_TEXT = "Shorten, mend or leave out the text, and look at the server's log."
_OF_AN_INPUT: Mapping[Cause, _Wording] = {
    **dict.fromkeys(
        (Cause.AUTHENTICATION, Cause.BLOCKED),
        _Wording(
            InputError,
            "the server, or a firewall before it, refuses the text and takes others",
            "Mend it or leave it out, or ask whoever runs the firewall.",
        ),
    ),
    **dict.fromkeys(
        (Cause.BACKEND, Cause.SERVER, Cause.NOT_READY),
        _Wording(ServerError, "the server fails on the text and answers others", _LOOK_AT_THE_TEXT),
    ),
    Cause.TRANSPORT: _Wording(
        TransportError, "no reply for the text, while others are answered", _LOOK_AT_THE_TEXT
    ),
    Cause.PROTOCOL: _Wording(
        ProtocolError,
        "the reply for the text cannot be right, while those for others are",
        _LOOK_AT_THE_TEXT,
    ),
}
"""What befalls one text alone."""

_CUT_IT = (
    "Cut texts into smaller chunks (chunking_settings.max_chunking_size), or shorten the query: "
    "the server does not truncate on this route, although task_settings.truncate is True."
)


def error_of(  # noqa: PLR0913 - what a message is made of
    failure: Failure,
    *,
    host: str,
    attempts: int,
    sent_key: bool,
    key_advice: str = "",
    of_input: bool = False,
    reranks: bool = False,
    truncates: bool = False,
) -> HFEndpointError:
    """Word a failure that is not tried again.

    Args:
        failure: The last one.
        host: Where it happened.
        attempts: How many requests were made for it.
        sent_key: Whether a key went with them.
        key_advice: What to do about the key, where that is at fault.
        of_input: Whether it befalls this input alone.
        reranks: Whether scores were asked for, not vectors.
        truncates: Whether the server was to cut what is too long.
    """
    wording = _WORDING[failure.cause]
    if reranks:
        wording = _OF_A_RERANKER.get(failure.cause, wording)
    if of_input:
        wording = _OF_AN_INPUT.get(failure.cause, wording)
    status = "" if failure.status is None else f"HTTP {failure.status}, "
    advice = wording.advice
    if failure.cause is Cause.AUTHENTICATION and key_advice and not of_input:
        advice = key_advice
    elif failure.cause is Cause.AUTHENTICATION and not sent_key and not of_input:
        advice = "No key was sent. Pass api_key."
    if failure.cause is Cause.INPUT_REJECTED and truncates:
        advice = _CUT_IT if failure.over_context_length else "Shorten or mend it."
    if failure.retry_after is not None:
        advice = f"The server asks to wait {failure.retry_after:.0f} s. {advice}"
    problem = f"{wording.what}: {status}{failure.text}"
    details: _Details = {"host": host, "attempts": attempts, "status": failure.status}
    if wording.error is SettingsError:
        if unknown_model(failure):
            advice = "Set service_settings.model to the name of a model that the server has."
        where = (
            "service_settings.model" if unknown_model(failure) else "task_settings",
            failure.text,
        )
        return SettingsError(where, problem=problem, advice=advice, **details)
    return wording.error(problem, advice=advice, **details)


def of_the_machine(error: BaseException) -> HFEndpointError | None:
    """The error of a call for which this machine has no memory or thread left; None for others."""
    if isinstance(error, MemoryError):
        what = "this machine has no memory left for the call"
    elif isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        what = "this machine has no thread left for the call"
    else:
        return None
    advice = "Give fewer texts at once (stream_chunks), or lower max_concurrent_requests."
    return HFEndpointError(what, advice=advice)


def begun_before_fork() -> HFEndpointError:
    """The error of a call in the child of a fork: its threads are the parent's."""
    return HFEndpointError(
        "a call that was begun before a fork cannot go on in the child",
        advice="Begin a new one there.",
    )


def rejects_everything(error: HFEndpointError) -> HFEndpointError:
    """The error of the texts that are not sent to a server that rejected all those before."""
    return ServerError(
        f"not sent, since the server rejected every text before. Its words for the first: {error}",
        advice="Check the URL and the settings against the server.",
        status=error.status,
    )


def named(error: HFEndpointError, index: int) -> HFEndpointError:
    """The error of a text that the server rejected, with the text's index."""
    if not isinstance(error, InputError) or error.index is not None:
        return error
    return InputError(
        error.problem,
        index=index,
        advice=error.advice,
        host=error.host,
        attempts=error.attempts,
        status=error.status,
    )


def model_changed(
    expected: ModelFingerprint, found: ModelFingerprint, host: str
) -> ModelChangedError:
    """The error of a server with another model than the one whose vectors are kept."""
    said = f"its vectors of fixed texts have a cosine of {expected.similarity(found):.3f} to those"
    if expected.dimensions != found.dimensions:
        said = f"its vectors have {found.dimensions} dimensions, those {expected.dimensions}"
    return ModelChangedError(
        f"another model answers than the one whose vectors are kept: {said}",
        advice="Nothing of it was used. Bring the former model back, or embed all texts anew, "
        "under another name or into another file.",
        host=host,
    )
