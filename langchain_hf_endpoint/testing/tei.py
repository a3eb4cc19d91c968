"""How TEI and Hugging Face's proxy refuse, word for word and version by version.

The statuses changed over the versions while the words stayed: what 1.8.3 and older answer with 413
is a 422 from 1.9.0 on. Sources: https://github.com/huggingface/text-embeddings-inference
(router/src/http/server.rs, core/src/infer.rs) and https://huggingface.co/docs/inference-endpoints.

It knows statuses and words. It must not know when a server refuses.
"""

from __future__ import annotations

from typing import TypeAlias

import orjson

from langchain_hf_endpoint.testing.replies import HTML, OPENAI_PATHS, TEXT, Reply

Release: TypeAlias = "tuple[int, ...]"
"""A version as numbers: (1, 9, 3)."""

_VALIDATION_IS_422 = (1, 9)
_EMPTY_IS_400 = (1, 8, 3)


def release_of(version: str) -> Release:
    """1.8.3 -> (1, 8, 3)."""
    return tuple(int(part) for part in version.split("."))


def tei_error(path: str, status: int, kind: str, message: str) -> Reply:
    """TEI's error body: flat on the OpenAI routes, `error`/`error_type` on its own."""
    if path in OPENAI_PATHS:
        body: dict[str, object] = {"message": message, "code": status, "type": kind}
    else:
        body = {"error": message, "error_type": kind}
    return Reply(status, orjson.dumps(body))


def validation(release: Release, path: str, message: str) -> Reply:
    """413 up to 1.8, 422 from 1.9."""
    status = 422 if release >= _VALIDATION_IS_422 else 413
    return tei_error(path, status, "Validation", message)


def batch_too_large(release: Release, path: str, given: int, most: int) -> Reply:
    """More inputs than `max_client_batch_size`. No prefix, unlike other refusals."""
    return validation(release, path, f"batch size {given} > maximum allowed batch size {most}")


def too_long(release: Release, path: str, given: int, most: int, unit: str = "tokens") -> Reply:
    """More tokens or characters than the model takes, with `truncate: false`."""
    words = f"`inputs` must have less than {most} {unit}. Given: {given}"
    return validation(release, path, f"Input validation error: {words}")


def empty(release: Release, path: str) -> Reply:
    """400 Empty from 1.8.3; before, a validation error with the same words."""
    message = "Input validation error: `inputs` cannot be empty"
    if release >= _EMPTY_IS_400:
        return tei_error(path, 400, "Empty", message)
    return validation(release, path, message)


def unknown_prompt(release: Release, path: str, name: str, prompts: dict[str, str] | None) -> Reply:
    """A `prompt_name` that the model does not know."""
    if prompts is None:
        why = "no prompts were found in the Sentence Transformers configuration"
    else:
        names = ", ".join(f'"{each}"' for each in prompts)
        why = f"it was not found in the Sentence Transformers prompts. Available prompts: [{names}]"
    words = f"`default-prompt-name` is set to `{name}` but {why}"
    return validation(release, path, f"Input validation error: {words}")


def too_many_dimensions(release: Release, path: str) -> Reply:
    """More `dimensions` than the model has."""
    words = "`dimensions` should be smaller than the maximum embedding dimension."
    return validation(release, path, f"Input validation error: {words}")


def no_dimensions(release: Release, path: str) -> Reply:
    """Zero `dimensions`."""
    words = "`dimensions` should be positive"
    return validation(release, path, f"Input validation error: {words}")


def tokenizer_error(path: str) -> Reply:
    """A text that the tokenizer cannot read: 422 in every version, for the whole batch."""
    return tei_error(path, 422, "Tokenizer", "tokenizer error")


def overloaded(path: str) -> Reply:
    """No permits left: 429, without a Retry-After."""
    return tei_error(path, 429, "Overloaded", "Model is overloaded")


def body_too_large() -> Reply:
    """More bytes than `payload_limit`: axum's words, as plain text."""
    return Reply(413, b"Failed to buffer the request body: length limit exceeded", TEXT)


def not_deserialized(reason: str) -> Reply:
    """A field that is missing or of the wrong type, in axum's words."""
    words = f"Failed to deserialize the JSON body into the target type: {reason}"
    return Reply(422, words.encode(), TEXT)


def not_parsed(reason: object) -> Reply:
    """A body that is not JSON, in axum's words."""
    return Reply(400, f"Failed to parse the request body as JSON: {reason}".encode(), TEXT)


def proxy_says(status: int, error: str, code: str) -> Reply:
    """An error of Hugging Face's proxy, which stands before every inference endpoint."""
    return Reply(status, orjson.dumps({"error": error, "code": code}))


def asleep() -> Reply:
    """Scaled to zero, or starting: 503, without a Retry-After."""
    return proxy_says(503, "503 Service Unavailable", "SERVICE_UNAVAILABLE")


def paused() -> Reply:
    """Paused by its owner: 400, of all statuses."""
    words = "Bad Request: The endpoint is paused, ask a maintainer to restart it"
    return proxy_says(400, words, "BAD_REQUEST")


def unauthorized() -> Reply:
    """No key, or a wrong one."""
    return proxy_says(401, "401 Unauthorized", "UNAUTHORIZED")


def web_page(status: int, title: str) -> Reply:
    """A proxy's page in the place of an answer."""
    page = f"<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n"
    return Reply(status, page.encode(), HTML)
