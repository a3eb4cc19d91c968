"""The right answer to a request: TEI's routes, or those of the servers that say ``embeddings``.

It knows fields, limits and vectors. It must not know connections, nor faults.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import orjson

from langchain_hf_endpoint.testing import tei
from langchain_hf_endpoint.testing.replies import OPENAI_PATHS, Reply
from langchain_hf_endpoint.testing.vectors import base64_row, json_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint.testing.tei import Release

_EMBED_PATHS = ("/", "/embed", "/invocations", "/predict", *OPENAI_PATHS)
_HEALTH_PATHS = ("/", "/health", "/ping")
_PERMITS_ARE_WAITED_FOR_BEFORE = (1, 9)


@dataclass(frozen=True)
class Traits:
    """What kind of server an endpoint is; see `ScriptedEndpoint`."""

    dimensions: int = 384
    version: str = "1.9.3"
    shape: Literal["tei", "embeddings"] = "tei"
    api_key: str | None = None
    max_client_batch_size: int = 32
    max_concurrent_requests: int = 512
    payload_limit: int = 2_000_000
    rejects: str = ""
    seconds_per_request: float = 0.0
    seconds_per_text: float = 0.0

    @cached_property
    def release(self) -> Release:
        """The version as numbers."""
        return tei.release_of(self.version)

    @property
    def waits_for_permits(self) -> bool:
        """Whether a request that finds too few permits waits for them, as up to TEI 1.8."""
        return self.release < _PERMITS_ARE_WAITED_FOR_BEFORE

    def service_seconds(self, texts: int) -> float:
        """How long a request of so many texts takes."""
        return self.seconds_per_request + self.seconds_per_text * texts


@dataclass(frozen=True, slots=True)
class Question:
    """A request's JSON, as far as it could be read.

    Attributes:
        body: The object, None where there is none.
        texts: What it asks to embed.
        problem: Why the body is none, else an empty string.
    """

    body: dict[str, Any] | None
    texts: tuple[str, ...]
    problem: str = ""


def read_question(body: bytes) -> Question:
    """Read a request's body. Whatever it holds, there is a question."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        return Question(None, (), str(error))
    if not isinstance(parsed, dict):
        return Question(None, (), "expected an object")
    inputs = parsed.get("inputs", parsed.get("input", ()))
    if isinstance(inputs, str):
        inputs = [inputs]
    if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
        return Question(parsed, ())
    return Question(parsed, tuple(inputs))


def refusal(path: str, body: bytes, question: Question, traits: Traits) -> Reply | None:
    """Why a POST gets no vectors, or None where it gets them."""
    if path not in _paths(traits):
        return Reply(404)
    if len(body) > traits.payload_limit:
        return tei.body_too_large()
    if question.body is None:
        return tei.not_parsed(question.problem)
    if not question.texts:
        field = "input" if path in OPENAI_PATHS else "inputs"
        return tei.not_deserialized(f"missing field `{field}`, or no list of strings")
    return _refusal_of_texts(path, question.texts, traits) or _refusal_of_options(
        path, question.body, traits
    )


def _refusal_of_texts(path: str, texts: Sequence[str], traits: Traits) -> Reply | None:
    if len(texts) > traits.max_client_batch_size:
        most = traits.max_client_batch_size
        return tei.batch_too_large(traits.release, path, len(texts), most)
    if "" in texts:
        return tei.empty(traits.release, path)
    if traits.rejects and any(traits.rejects in text for text in texts):
        return tei.tokenizer_error(path)
    return None


def _refusal_of_options(path: str, body: dict[str, Any], traits: Traits) -> Reply | None:
    dimensions = body.get("dimensions")
    if dimensions is not None and not 0 < dimensions <= traits.dimensions:
        say = tei.too_many_dimensions if dimensions else tei.no_dimensions
        return say(traits.release, path)
    name = body.get("prompt_name")
    if name is not None and path not in OPENAI_PATHS:
        return tei.unknown_prompt(traits.release, path, name, None)
    return None


def vectors(path: str, question: Question, traits: Traits) -> Reply:
    """The right vectors, in the protocol of the path."""
    body = question.body or {}
    width = body.get("dimensions") or traits.dimensions
    if path in OPENAI_PATHS:
        return Reply(200, _openai_body(question.texts, width, body.get("encoding_format")))
    normalize = body.get("normalize") is not False
    rows = b",".join(json_row(text, width, normalize=normalize) for text in question.texts)
    return Reply(
        200, b'{"embeddings":[%b]}' % rows if traits.shape == "embeddings" else b"[%b]" % rows
    )


def _openai_body(texts: Sequence[str], width: int, encoding: object) -> bytes:
    row = base64_row if encoding == "base64" else json_row
    items = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, row(text, width))
        for index, text in enumerate(texts)
    )
    tokens = sum(len(text.split()) + 2 for text in texts)
    usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)
    return b'{"object":"list","data":[%b],"model":"scripted","usage":%b}' % (items, usage)


def answer_to_get(path: str, traits: Traits) -> Reply:
    """Health and ``/info``."""
    if path in _HEALTH_PATHS:
        return Reply(200)
    if path == "/info" and traits.shape == "tei":
        return Reply(200, orjson.dumps(_info(traits)))
    return Reply(405 if path in _paths(traits) else 404)


def _paths(traits: Traits) -> tuple[str, ...]:
    """Servers that say ``embeddings`` have no ``/embed``."""
    if traits.shape == "tei":
        return _EMBED_PATHS
    return tuple(path for path in _EMBED_PATHS if path != "/embed")


def _info(traits: Traits) -> dict[str, object]:
    return {
        "model_id": "scripted/endpoint",
        "model_sha": None,
        "model_dtype": "float32",
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": traits.max_concurrent_requests,
        "max_input_length": 512,
        "max_batch_tokens": 16384,
        "max_batch_requests": None,
        "max_client_batch_size": traits.max_client_batch_size,
        "auto_truncate": not traits.waits_for_permits,
        "tokenization_workers": 1,
        "version": traits.version,
        "sha": None,
        "docker_label": None,
    }
