"""TEI's requests and refusals as plain values, as version 1.9.3 words them.

It knows the protocol. It must not know the model, nor the web framework.
Source: https://github.com/huggingface/text-embeddings-inference, router/src/http
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from langchain_hf_endpoint.local.info import ModelInfo

VERSION = "1.9.3"
"""The version of TEI whose behaviour is spoken; clients derive limits and defaults from it."""
MAX_BATCH_SIZE = 32
MAX_CONCURRENT_INPUTS = 512
MAX_BODY_BYTES = 2_000_000
MAX_TOKENIZED_CHARACTERS = 200_000
OPENAI_PATHS = ("/v1/embeddings", "/embeddings")

Input: TypeAlias = "str | list[int]"


class RefusedError(Exception):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        kind: TEI's `error_type`; empty: the answer is plain text, from before TEI's own code.
        message: TEI's words.
    """

    def __init__(self, status: int, kind: str, message: str) -> None:
        self.status = status
        self.kind = kind
        self.message = message
        super().__init__(message)

    def body(self, path: str) -> bytes:
        """The answer's body: flat on the OpenAI routes, TEI's own shape elsewhere."""
        if not self.kind:
            return self.message.encode()
        if path in OPENAI_PATHS:
            flat = {"message": self.message, "code": self.status, "type": self.kind}
            return orjson.dumps(flat)
        return orjson.dumps({"error": self.message, "error_type": self.kind})


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """What a client wants embedded, and how."""

    inputs: list[Input]
    truncate: bool = True
    keep_end: bool = False
    normalize: bool = True
    dimensions: int | None = None
    base64: bool = False


def embed_request(body: bytes, path: str, info: ModelInfo) -> EmbedRequest:
    """Read the body of a request for vectors.

    Raises:
        RefusedError: In TEI's words.
    """
    content = json_object(body)
    openai = path in OPENAI_PATHS
    inputs = inputs_of(content, "input" if openai else "inputs")
    dimensions = _dimensions(content, info)
    if openai:
        wanted = _field(content, "encoding_format", str)
        if wanted not in (None, "float", "base64"):
            raise _not_read(f"unknown variant `{wanted}`, expected `float` or `base64`")
        return EmbedRequest(inputs, dimensions=dimensions, base64=wanted == "base64")
    _no_prompts(content)
    return EmbedRequest(
        inputs,
        truncate=_field(content, "truncate", bool) is not False,
        keep_end=_keeps_end(content),
        normalize=_field(content, "normalize", bool) is not False,
        dimensions=dimensions,
    )


def inputs_of(content: dict[str, Any], name: str) -> list[Input]:
    """The inputs of a request: a text, texts, token ids, or lists of those.

    Raises:
        RefusedError: There are too many, one is empty, or they are something else.
    """
    if name not in content:
        raise _not_read(f"missing field `{name}`")
    given = content[name]
    one = isinstance(given, str) or not given or (type(given) is list and type(given[0]) is int)
    inputs = [given] if one else given
    if not isinstance(inputs, list) or not all(map(_is_input, inputs)):
        raise _not_read(f"{name}: data did not match any variant of untagged enum Input")
    if len(inputs) > MAX_BATCH_SIZE:
        message = f"batch size {len(inputs)} > maximum allowed batch size {MAX_BATCH_SIZE}"
        raise RefusedError(422, "Validation", message)
    if not all(inputs):
        raise RefusedError(400, "Empty", "Input validation error: `inputs` cannot be empty")
    return inputs


def check_characters(inputs: list[Input]) -> None:
    """Refuse to tokenize more of a request than its answer could hold: thirty bytes a character.

    Raises:
        RefusedError: It says how many characters, or token ids, there may be.
    """
    given = sum(map(len, inputs))
    if given > MAX_TOKENIZED_CHARACTERS:
        most = MAX_TOKENIZED_CHARACTERS
        raise RefusedError(413, "Validation", f"inputs have {given} characters > maximum {most}")


def _is_input(given: object) -> bool:
    if isinstance(given, list):
        return all(type(each) is int and 0 <= each < 1 << 32 for each in given)
    return isinstance(given, str)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        RefusedError: There is none.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, "", f"Failed to parse the request body as JSON: {error}") from error
    if not isinstance(content, dict):
        raise _not_read("invalid type: expected an object")
    return content


def add_special_tokens(content: dict[str, Any]) -> bool:
    """The one option of ``/tokenize``."""
    return _field(content, "add_special_tokens", bool) is not False


def too_long(limit: int, count: int, unit: str = "tokens") -> RefusedError:
    """An input over the limit that was not to be cut."""
    return _invalid(f"`inputs` must have less than {limit} {unit}. Given: {count}")


def overloaded() -> RefusedError:
    """More inputs at once than there are permits. Says nothing of when to come back."""
    return RefusedError(429, "Overloaded", "Model is overloaded")


def server_info(info: ModelInfo, threads: int) -> dict[str, object]:
    """The answer to ``GET /info``. `docker_label` says that this is not TEI itself."""
    return {
        "model_id": info.model_id,
        "model_sha": None,
        "model_dtype": "int8" if "int8" in info.weights else "float32",
        "served_model_name": info.model_id,
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_concurrent_requests": MAX_CONCURRENT_INPUTS,
        "max_input_length": info.max_input_tokens,
        "max_batch_tokens": MAX_BATCH_SIZE * info.max_input_tokens,
        "max_batch_requests": threads,
        "max_client_batch_size": MAX_BATCH_SIZE,
        "auto_truncate": True,
        "tokenization_workers": threads,
        "version": VERSION,
        "sha": None,
        "docker_label": "langchain-hf-endpoint local server",
    }


def _field(content: dict[str, Any], name: str, kind: type) -> Any:
    value = content.get(name)
    if value is None or type(value) is kind:
        return value
    raise _not_read(f"{name}: invalid type: expected {kind.__name__}")


def _keeps_end(content: dict[str, Any]) -> bool:
    direction = _field(content, "truncation_direction", str) or "Right"
    if direction.capitalize() not in ("Left", "Right"):
        reason = f"unknown variant `{direction}`, expected `Left` or `Right`"
        raise _not_read(f"truncation_direction: {reason}")
    return bool(direction.capitalize() == "Left")


def _no_prompts(content: dict[str, Any]) -> None:
    name = _field(content, "prompt_name", str)
    if name is not None:
        why = "no prompts were found in the Sentence Transformers configuration"
        raise _invalid(f"`default-prompt-name` is set to `{name}` but {why}")


def _dimensions(content: dict[str, Any], info: ModelInfo) -> int | None:
    given: int | None = _field(content, "dimensions", int)
    if given is None:
        return None
    if given < 0:
        raise _not_read(f"dimensions: invalid value: integer `{given}`, expected usize")
    if not given:
        raise _invalid("`dimensions` should be positive")
    if given > info.dimensions:
        raise _invalid("`dimensions` should be smaller than the maximum embedding dimension.")
    return given


def _invalid(message: str) -> RefusedError:
    return RefusedError(422, "Validation", f"Input validation error: {message}")


def _not_read(reason: str) -> RefusedError:
    message = f"Failed to deserialize the JSON body into the target type: {reason}"
    return RefusedError(422, "", message)
