"""Requests, replies and TEI's ways to refuse, as plain values. Nothing here waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from .settings import Settings

OPENAI_PATHS = ("/v1/embeddings", "/embeddings")
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(slots=True)
class Reply:
    """A complete answer."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Request:
    """A complete request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """The bearer token, or an empty string."""
        scheme, _, key = self.headers.get("authorization", "").partition(" ")
        return key if scheme.lower() == "bearer" else ""


class Refusal(Exception):  # noqa: N818 - what TEI does; it is no error of ours
    """The request is answered with this reply instead of vectors."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(reply.status)


def tei_error(path: str, status: int, kind: str, message: str) -> Reply:
    """TEI's error body: flat on the OpenAI routes, `error`/`error_type` on its own."""
    if path in OPENAI_PATHS:
        body: dict[str, object] = {"message": message, "code": status, "type": kind}
    else:
        body = {"error": message, "error_type": kind}
    return Reply(status, orjson.dumps(body))


def validation(settings: Settings, path: str, message: str) -> Refusal:
    """413 up to 1.8, 422 from 1.9."""
    status = 422 if settings.release >= (1, 9) else 413
    return Refusal(tei_error(path, status, "Validation", message))


def empty(settings: Settings, path: str) -> Refusal:
    """400 Empty from 1.8.3; before, a validation error with the same words."""
    message = "Input validation error: `inputs` cannot be empty"
    if settings.release >= (1, 8, 3):
        return Refusal(tei_error(path, 400, "Empty", message))
    return validation(settings, path, message)


def overloaded(path: str) -> Refusal:
    """429, without a Retry-After."""
    return Refusal(tei_error(path, 429, "Overloaded", "Model is overloaded"))


def parsed(request: Request) -> dict[str, Any]:
    """The JSON object of a request, or axum's words on why there is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        words = "Expected request with `Content-Type: application/json`"
        raise Refusal(Reply(415, words.encode(), TEXT))
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        words = f"Failed to parse the request body as JSON: {error}"
        raise Refusal(Reply(400, words.encode(), TEXT)) from error
    if not isinstance(body, dict):
        raise not_deserialized("invalid type: expected struct EmbedRequest")
    return body


def not_deserialized(reason: str) -> Refusal:
    """A field of the wrong type, in axum's words."""
    words = f"Failed to deserialize the JSON body into the target type: {reason}"
    return Refusal(Reply(422, words.encode(), TEXT))


def option(body: dict[str, Any], name: str, kind: type) -> Any:
    """A field of the body, None where it is absent or null, refused when of another type."""
    value = body.get(name)
    wrong = value is not None and (
        not isinstance(value, kind) or (kind is int and isinstance(value, bool))
    )
    if wrong:
        raise not_deserialized(f"{name}: invalid type: expected {kind.__name__}")
    return value
