"""Requests, and the refusal of one, as plain values. Nothing here waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from langchain_hf_endpoint.testing import tei
from langchain_hf_endpoint.testing.replies import JSON, TEXT, Reply


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


def parsed(request: Request) -> dict[str, Any]:
    """The JSON object of a request, or axum's words on why there is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON and not (kind.startswith("application/") and kind.endswith("+json")):
        words = "Expected request with `Content-Type: application/json`"
        raise Refusal(Reply(415, words.encode(), TEXT))
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refusal(tei.not_parsed(error)) from error
    if not isinstance(body, dict):
        raise not_deserialized("invalid type: expected struct EmbedRequest")
    return body


def not_deserialized(reason: str) -> Refusal:
    """A field of the wrong type, in axum's words."""
    return Refusal(tei.not_deserialized(reason))


def option(body: dict[str, Any], name: str, kind: type) -> Any:
    """A field of the body, None where it is absent or null, refused when of another type."""
    value = body.get(name)
    wrong = value is not None and (
        not isinstance(value, kind) or (kind is int and isinstance(value, bool))
    )
    if wrong:
        raise not_deserialized(f"{name}: invalid type: expected {kind.__name__}")
    return value
