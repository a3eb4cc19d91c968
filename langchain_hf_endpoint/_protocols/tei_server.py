"""What a server of text-embeddings-inference (TEI) reads and answers, as plain values.

Statuses changed over TEI's versions while the words stayed: what 1.8.3 and older answer with 413
is a 422 from 1.9.0 on. Source: https://github.com/huggingface/text-embeddings-inference
(router/src/http/server.rs, router/src/lib.rs, core/src/infer.rs).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HEALTH_PATHS = ("/", "/health", "/ping")
OPENAI_PATHS = ("/v1/embeddings", "/embeddings")
EMBED_PATHS = ("/embed", "/", "/invocations", *OPENAI_PATHS)
RERANKER = {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
"""What ``/info`` says of the type of a model that reranks."""
_CHARACTERS_PER_TOKEN = 250
"""TEI's bound on the work for one input: of longer ones it does not even count the tokens."""

Release: TypeAlias = "tuple[int, ...]"
"""A version as numbers: (1, 9, 3)."""
Input: TypeAlias = "str | list[int]"
"""A text, or the ids of its tokens."""

_READS_ENCODINGS_AND_PROMPTS = (1, 3)
_READS_DIMENSIONS = (1, 8)
_EMPTY_IS_400 = (1, 8, 3)
_VALIDATION_IS_422 = _TRUNCATES = _READS_LOWER_CASE = (1, 9)


class RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        self.status = status
        self.kind = kind  # TEI's `error_type`; empty: plain text, from TEI's web framework
        self.message = message
        super().__init__(message)

    @property
    def content_type(self) -> str:
        """The answer's media type."""
        return JSON if self.kind else TEXT

    def body(self, path: str) -> bytes:
        """The answer's body: flat on the OpenAI routes, TEI's own shape elsewhere."""
        if not self.kind:
            return self.message.encode()
        if path in OPENAI_PATHS:
            flat = {"message": self.message, "code": self.status, "type": self.kind}
            return orjson.dumps(flat)
        return orjson.dumps({"error": self.message, "error_type": self.kind})


def body_too_large() -> RefusedError:
    """More bytes than `payload_limit`."""
    return RefusedError(413, "", "Failed to buffer the request body: length limit exceeded")


def not_parsed(reason: object) -> RefusedError:
    """A body that is not JSON."""
    return RefusedError(400, "", f"Failed to parse the request body as JSON: {reason}")


def not_deserialized(reason: str) -> RefusedError:
    """A field that is missing or of the wrong type."""
    message = f"Failed to deserialize the JSON body into the target type: {reason}"
    return RefusedError(422, "", message)


def tokenizer_error() -> RefusedError:
    """A text that the tokenizer cannot read, for the whole batch."""
    return RefusedError(422, "Tokenizer", "tokenizer error")


def overloaded() -> RefusedError:
    """More inputs in flight than there are permits. Says nothing of when to come back."""
    return RefusedError(429, "Overloaded", "Model is overloaded")


def batch_too_large(release: Release, given: int, most: int) -> RefusedError:
    """More inputs than `max_client_batch_size`. No prefix, unlike the other refusals."""
    message = f"batch size {given} > maximum allowed batch size {most}"
    return RefusedError(_validation_status(release), "Validation", message)


def empty(release: Release) -> RefusedError:
    """An input of nothing, or no input."""
    message = "Input validation error: `inputs` cannot be empty"
    if release >= _EMPTY_IS_400:
        return RefusedError(400, "Empty", message)
    return RefusedError(_validation_status(release), "Validation", message)


def too_long(release: Release, given: int, most: int, unit: str = "tokens") -> RefusedError:
    """More tokens or characters than the model takes, and they are not to be cut."""
    return _invalid(release, f"`inputs` must have less than {most} {unit}. Given: {given}")


def _invalid(release: Release, reason: str) -> RefusedError:
    message = f"Input validation error: {reason}"
    return RefusedError(_validation_status(release), "Validation", message)


def _validation_status(release: Release) -> int:
    return 422 if release >= _VALIDATION_IS_422 else 413


@dataclass(frozen=True, kw_only=True)
class TeiServer:
    """The model and the options of a server, as far as its clients notice them."""

    model_id: str  # the model's name
    dimensions: int  # values in a vector
    version: str = "1.9.3"  # which TEI's statuses and words are spoken
    max_input_length: int = 512  # tokens of an input, special ones included
    max_client_batch_size: int = 32  # inputs of a request
    max_concurrent_requests: int = 512  # inputs in flight, whatever the name says
    payload_limit: int = 2_000_000  # bytes of a request's body
    prompts: Mapping[str, str] | None = None  # the model's prompts by name; None: it has none

    @cached_property
    def release(self) -> Release:
        """The version as numbers."""
        return tuple(int(part) for part in self.version.split("."))

    @property
    def truncates(self) -> bool:
        """Whether inputs that are too long are cut where the request does not say."""
        return self.release >= _TRUNCATES

    @property
    def max_input_characters(self) -> int:
        """What is over it is not even tokenised."""
        return _CHARACTERS_PER_TOKEN * self.max_input_length

    def info(self, **other_fields: object) -> dict[str, object]:
        """The answer to ``GET /info``."""
        return {
            "model_id": self.model_id,
            "model_sha": None,
            "model_dtype": "float32",
            "served_model_name": self.model_id,
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_concurrent_requests": self.max_concurrent_requests,
            "max_input_length": self.max_input_length,
            "max_batch_tokens": self.max_client_batch_size * self.max_input_length,
            "max_batch_requests": None,
            "max_client_batch_size": self.max_client_batch_size,
            "auto_truncate": self.truncates,
            "tokenization_workers": 1,
            "version": self.version,
            "sha": None,
            "docker_label": None,
            **other_fields,
        }


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What a client wants embedded, and how."""

    inputs: list[Input]
    prompt: str = ""
    truncate: bool = True
    keep_end: bool = False
    normalize: bool = True
    dimensions: int | None = None
    base64: bool = False


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        RefusedError: There is none.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise not_parsed(error) from error
    if not isinstance(content, dict):
        raise not_deserialized("invalid type: expected an object")
    return content


def embed_request(content: dict[str, Any], path: str, server: TeiServer) -> EmbedRequest:
    """Read a request for vectors.

    Raises:
        RefusedError: In TEI's words.
    """
    if path not in OPENAI_PATHS:
        truncate = _field(content, "truncate", bool)
        return EmbedRequest(
            inputs_of(content, "inputs", server),
            dimensions=_dimensions(content, server),
            prompt=_prompt(content, server),
            truncate=server.truncates if truncate is None else truncate,
            keep_end=_keeps_end(content, server),
            normalize=_field(content, "normalize", bool) is not False,
        )
    inputs = inputs_of(content, "input", server)
    dimensions = _dimensions(content, server)
    knows = server.release >= _READS_ENCODINGS_AND_PROMPTS
    encoding = _field(content, "encoding_format", str) if knows else None
    if encoding not in (None, "float", "base64"):
        raise not_deserialized(f"unknown variant `{encoding}`, expected `float` or `base64`")
    return EmbedRequest(
        inputs, dimensions=dimensions, truncate=server.truncates, base64=encoding == "base64"
    )


def inputs_of(content: dict[str, Any], name: str, server: TeiServer) -> list[Input]:
    """The inputs of a request: a text, texts, token ids, or lists of those.

    Raises:
        RefusedError: There are too many, one is empty, or they are something else.
    """
    if name not in content:
        raise not_deserialized(f"missing field `{name}`")
    given = content[name]
    one = isinstance(given, str) or not given or (type(given) is list and type(given[0]) is int)
    inputs = [given] if one else given
    if not isinstance(inputs, list) or not all(map(_is_input, inputs)):
        raise not_deserialized(f"{name}: data did not match any variant of untagged enum Input")
    if len(inputs) > server.max_client_batch_size:
        raise batch_too_large(server.release, len(inputs), server.max_client_batch_size)
    if not all(inputs):
        raise empty(server.release)
    return inputs


def adds_special_tokens(content: dict[str, Any]) -> bool:
    """The one option of ``/tokenize``."""
    return _field(content, "add_special_tokens", bool) is not False


def _is_input(given: object) -> bool:
    if isinstance(given, list):
        return all(type(each) is int and 0 <= each < 1 << 32 for each in given)
    return isinstance(given, str)


def _field(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if value is None or type(value) is kind:
        return value
    raise not_deserialized(f"{name}: invalid type: expected {kind.__name__}")


def _prompt(content: dict[str, Any], server: TeiServer) -> str:
    name = _field(content, "prompt_name", str)
    if name is None or server.release < _READS_ENCODINGS_AND_PROMPTS:
        return ""
    if server.prompts is None:
        why = "no prompts were found in the Sentence Transformers configuration"
    elif name in server.prompts:
        return server.prompts[name]
    else:
        names = ", ".join(f'"{each}"' for each in server.prompts)
        why = f"it was not found in the Sentence Transformers prompts. Available prompts: [{names}]"
    raise _invalid(server.release, f"`default-prompt-name` is set to `{name}` but {why}")


def _keeps_end(content: dict[str, Any], server: TeiServer) -> bool:
    direction: str = _field(content, "truncation_direction", str) or "Right"
    # huggingface_hub sends it in lower case.
    known = direction.capitalize() if server.release >= _READS_LOWER_CASE else direction
    if known not in ("Left", "Right"):
        reason = f"unknown variant `{direction}`, expected `Left` or `Right`"
        raise not_deserialized(f"truncation_direction: {reason}")
    return known == "Left"


def _dimensions(content: dict[str, Any], server: TeiServer) -> int | None:
    if server.release < _READS_DIMENSIONS:
        return None
    given: int | None = _field(content, "dimensions", int)
    if given is None:
        return None
    if given < 0:
        raise not_deserialized(f"dimensions: invalid value: integer `{given}`, expected usize")
    if not given:
        raise _invalid(server.release, "`dimensions` should be positive")
    if given > server.dimensions:
        words = "`dimensions` should be smaller than the maximum embedding dimension."
        raise _invalid(server.release, words)
    return given


def openai_answer(rows: Iterable[bytes], model_id: str, tokens: int) -> bytes:
    """The body of an answer in OpenAI's protocol.

    Args:
        rows: The JSON of each vector, an array or a string of base64.
        model_id: The model's name.
        tokens: Tokens that were embedded.
    """
    items = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % (index, row)
        for index, row in enumerate(rows)
    )
    usage = b'{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens)
    model = orjson.dumps(model_id)
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (items, model, usage)


def figures(seconds: float, characters: int, tokens: int) -> dict[str, str]:
    """The headers of an answer with vectors; the time in whole milliseconds."""
    milliseconds = str(round(seconds * 1000))
    return {
        "x-compute-type": "cpu",
        "x-compute-time": milliseconds,
        "x-compute-characters": str(characters),
        "x-compute-tokens": str(tokens),
        "x-total-time": milliseconds,
    }
