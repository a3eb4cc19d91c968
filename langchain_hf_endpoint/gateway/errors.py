"""Turn errors into refusals: a status, a type and a reason, in the JSON of each API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint._protocols.tei_server import RefusedError
from langchain_hf_endpoint.errors import (
    EmbeddingError,
    EndpointExistsError,
    EndpointNotReadyError,
    EndpointValidationError,
    HFEndpointError,
    InputError,
    ProtocolError,
    RateLimitedError,
    SettingsError,
    UnknownEndpointError,
)
from langchain_hf_endpoint.gateway.pending import QueueFullError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_FAILURES = 100
_LONGEST_REASON = 30_000
# Tokens of Hugging Face and of its organisations, wherever a caller may have typed one.
_TOKEN = re.compile(r"(?:hf|api_org)_[A-Za-z0-9]{30,}")
_SERVER_SIDE = 500
_CREATION_FAILED = (
    "Could not complete inference endpoint creation as validation call to service threw an "
    "exception."
)

_ANSWERS: tuple[tuple[type[HFEndpointError], int, str, str | None], ...] = (
    (SettingsError, 400, "validation_exception", None),
    (InputError, 400, "action_request_validation_exception", None),
    (EndpointExistsError, 400, "resource_already_exists_exception", None),
    (UnknownEndpointError, 404, "resource_not_found_exception", "model_not_found"),
)
_ADVICE: Mapping[type[HFEndpointError], str] = {
    EndpointExistsError: "Delete it first, update it with PUT /_inference/<id>/_update, or take "
    "another id.",
    UnknownEndpointError: "GET /_inference/_all lists those there are.",
}
"""What to do over HTTP, where the error names a method of Python."""

TEI_KINDS = ("Validation", "Empty")
"""Kinds of refusals that are in TEI's words already."""
_TEI_STATUSES = {400: 422, 502: 424}
_TEI_KINDS_OF = {424: "Backend", 429: "Overloaded", 500: "Backend", 503: "Unhealthy"}


class Refusal(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """A request is answered with an error.

    Args:
        status: The HTTP status; OpenAI's API may have another, `openai_status`.
        kind: Elastic's type, such as ``validation_exception``.
        reason: What happened and what to do; never a text or a key.
        headers: To be sent along.
        cause: What it came from, where that is another error.
        failures: Index of an input -> what befell it, where inputs failed one by one.
        openai_status: Where it differs.
        code: OpenAI's code. Default: `kind`.
    """

    def __init__(  # noqa: PLR0913 - the parts of an answer
        self,
        status: int,
        kind: str,
        reason: str,
        *,
        headers: Mapping[str, str] | None = None,
        cause: Refusal | None = None,
        failures: Mapping[int, str] | None = None,
        openai_status: int | None = None,
        code: str | None = None,
    ) -> None:
        self.reason = _TOKEN.sub("***", reason[:_LONGEST_REASON])
        super().__init__(self.reason)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})
        self.cause = cause
        self.failures = {index: _TOKEN.sub("***", why) for index, why in (failures or {}).items()}
        self.openai_status = openai_status or status
        self.code = code


def invalid(*problems: str) -> Refusal:
    """A request that is wrong in itself, with all that is wrong, numbered as Elastic does."""
    numbered = "".join(f"{number}: {text};" for number, text in enumerate(problems, 1))
    return Refusal(400, "action_request_validation_exception", f"Validation Failed: {numbered}")


def illegal(reason: str) -> Refusal:
    """A parameter or a path that means nothing."""
    return Refusal(400, "illegal_argument_exception", reason)


def not_parsed(reason: str) -> Refusal:
    """A body that is not what it should be."""
    return Refusal(400, "x_content_parse_exception", reason)


def unknown_endpoint(inference_id: str) -> Refusal:
    """No endpoint of that name."""
    return Refusal(
        404,
        "resource_not_found_exception",
        f"Inference endpoint not found [{inference_id}]",
        code="model_not_found",
    )


def refusal_of(error: HFEndpointError, *, manages: bool = False) -> Refusal:
    """The answer to a request that met this error.

    What is wrong with an endpoint's settings is the fault of a caller who `manages` them alone. As
    with Elastic, a server's own status is passed on below 500, and is 400 otherwise: its clients
    would repeat a 502 or 503, which the engine has done for `max_wait` seconds already.
    """
    if isinstance(error, EmbeddingError):
        return _of_inputs(error)
    if isinstance(error, SettingsError) and not manages:
        of_endpoint = ("service_settings.", "chunking_settings.")
        if error.problems and all(field.startswith(of_endpoint) for field, _ in error.problems):
            return _of_server(error)
    if isinstance(error, QueueFullError):
        headers = {"Retry-After": f"{error.retry_after:.0f}"}
        return Refusal(429, "es_rejected_execution_exception", str(error), headers=headers)
    for kind_of_error, status, kind, code in _ANSWERS:
        if isinstance(error, kind_of_error):
            advice = _ADVICE.get(kind_of_error)
            reason = f"{error.problem}. {advice}" if advice else str(error)
            return Refusal(status, kind, reason, code=code)
    if isinstance(error, EndpointValidationError):
        cause = error.__cause__
        known = cause if isinstance(cause, HFEndpointError) else error
        return Refusal(
            400, "status_exception", _CREATION_FAILED, cause=Refusal(400, _kind(known), str(known))
        )
    return _of_server(error)


def _of_server(error: HFEndpointError) -> Refusal:
    """What the endpoint's own server said, or did not."""
    status = error.status or 0
    passed_on = status if 400 <= status < _SERVER_SIDE else 400  # noqa: PLR2004 - HTTP
    openai_status, headers = 502, {}  # not 401, which would send a client after the gateway's key
    if isinstance(error, RateLimitedError):
        passed_on, openai_status, headers = 429, 429, {"Retry-After": "1"}
    elif isinstance(error, EndpointNotReadyError):
        openai_status, headers = 503, {"Retry-After": "5"}
    return Refusal(
        passed_on,
        "status_exception",
        str(error),
        headers=headers,
        openai_status=openai_status,
        code=_kind(error),
    )


def _of_inputs(error: EmbeddingError) -> Refusal:
    """Of the first cause's kind and status; each input that failed is named."""
    first = refusal_of(error.failures[min(error.failures)])
    is_alone = len(error.completed) + len(error.failures) == 1
    failures = sorted(error.failures.items())[:_MOST_FAILURES]
    return Refusal(
        first.status,
        first.kind,
        first.reason if is_alone else str(error),
        headers=first.headers,
        failures={index: str(cause) for index, cause in failures},
        openai_status=first.openai_status,
        code=first.code,
    )


def _kind(error: HFEndpointError) -> str:
    """``EndpointPausedError`` -> ``endpoint_paused_error``."""
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


def elastic_body(refusal: Refusal) -> dict[str, Any]:
    """Elastic's JSON of an error."""
    own: dict[str, Any] = {"type": refusal.kind, "reason": refusal.reason}
    error: dict[str, Any] = {"root_cause": [own], **own}
    if refusal.cause is not None:
        error["caused_by"] = {"type": refusal.cause.kind, "reason": refusal.cause.reason}
    if refusal.failures:
        error["failures"] = [
            {"index": index, "reason": reason} for index, reason in refusal.failures.items()
        ]
    return {"error": error, "status": refusal.status}


def openai_body(refusal: Refusal) -> dict[str, Any]:
    """OpenAI's JSON of an error."""
    kinds = {401: "authentication_error", 429: "rate_limit_error"}
    is_ours = refusal.openai_status >= _SERVER_SIDE
    kind = kinds.get(refusal.openai_status, "server_error" if is_ours else "invalid_request_error")
    error = {
        "message": refusal.reason,
        "type": kind,
        "param": "model" if refusal.code == "model_not_found" else None,
        "code": refusal.code or refusal.kind,
    }
    return {"error": error}


def incompatible(asked: str | None, own: str) -> Refusal:
    """An endpoint is to do what is not its task."""
    return Refusal(
        400,
        "status_exception",
        f"Incompatible task_type, the requested type [{(asked or '')[:40]}] does not match the "
        f"model type [{own}]",
    )


def tei_error(refusal: Refusal) -> RefusedError:
    """What TEI would answer: 424 where the backend failed, 422 to a request that is wrong."""
    if refusal.kind in TEI_KINDS:
        return RefusedError(refusal.status, refusal.kind, refusal.reason)
    status = _TEI_STATUSES.get(refusal.openai_status, refusal.openai_status)
    return RefusedError(status, _TEI_KINDS_OF.get(status, "Validation"), refusal.reason)


def check_dimensions(error: EmbeddingError, asked: int) -> None:
    """Say of a model that does not shorten its vectors that `dimensions` are wrong."""
    first = error.failures[min(error.failures)]
    if isinstance(first, ProtocolError) and f"{asked} dimensions were asked for" in first.problem:
        raise SettingsError(
            ("dimensions", f"{asked} cannot be had: {first.problem}"), status=first.status
        ) from error
