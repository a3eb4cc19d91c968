"""Find the vectors in a response, in every shape that is known.

Shapes: ``[[…]]`` (TEI), ``{"embeddings": [[…]]}`` (hf-serve, the inference toolkit),
``{"data": [{"index", "embedding"}]}`` (OpenAI's), and for a single input also a bare vector in the
place of a list of one. All are read whichever dialect was spoken: a server is asked in one way and
may answer in another, and the vectors are right all the same.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols.base import JSON, is_bloated, parsed
from langchain_hf_endpoint._protocols.errors import NO_WORDS, explain, html_title, said, shortened
from langchain_hf_endpoint._protocols.vectors import to_vectors

if TYPE_CHECKING:
    from langchain_hf_endpoint._messages import Form, Response, Vectors

SUCCESSES = range(200, 300)
_USAGE = re.compile(rb'"usage"\s*:\s*\{[^{}]*?"(?:prompt|total)_tokens"\s*:\s*(\d{1,12})\b')
_NEAR_AN_END = 1000  # bytes of a body in which a server says what it counted


def read(response: Response, count: int, form: Form = "lists") -> Vectors | Failure:
    """Return the vectors of a response to ``count`` inputs, in order, or why there are none."""
    if response.status not in SUCCESSES:
        return explain(response)
    try:
        vectors = _vectors_of(parsed(response.body, count), count, response.body, form)
    except orjson.JSONDecodeError as error:
        vectors = _no_json(response.body, count, error)
    if isinstance(vectors, str):
        return Failure(Cause.PROTOCOL, vectors, response.status)
    return vectors


def tokens_reported(response: Response) -> int | None:
    """The tokens that a server has counted for a reply, in TEI's header or OpenAI's `usage`.

    0 for a reply that is no answer: a web page, say. None where an answer does not tell.
    """
    counted = response.headers.get("x-compute-tokens", "")
    if counted.isdecimal():
        return int(counted)
    body = response.body
    if body[:64].lstrip()[:1] not in (b"[", b"{"):
        return 0
    found = _USAGE.search(body[-_NEAR_AN_END:]) or _USAGE.search(body[:_NEAR_AN_END])
    return int(found[1]) if found else None


def answers(response: Response) -> str | None:
    """Name the shape of what may be vectors in a response: ``list`` or ``object``; else None.

    Vectors that are wrong are vectors still: what sent them is a server of embeddings.
    """
    if response.status not in SUCCESSES:
        return None
    try:
        answer = parsed(response.body)
    except orjson.JSONDecodeError:
        # Broken off, or with NaN in it.
        start = b"".join(response.body[:64].split())
        if start.startswith((b"[[", b"[0", b"[-")):
            return "list"
        return "object" if start.startswith((b'{"embeddings":[', b'{"object":"list"')) else None
    if isinstance(answer, list):
        return "list" if answer and type(answer[0]) in (list, float, int) else None
    if isinstance(answer, dict) and not answer.get("error") and answer.get("object") != "error":
        named = (answer.get("embeddings"), answer.get("data"))
        return "object" if any(isinstance(rows, list) for rows in named) else None
    return None


def _vectors_of(
    answer: JSON, count: int, source: bytes | None, form: Form = "lists"
) -> Vectors | str:
    """Find the rows in what was parsed and check them; a text says what is wrong."""
    if isinstance(answer, list):
        return _of_list(answer, count, source, form)
    if not isinstance(answer, dict):
        return f"{_kind(answer)} instead of vectors"
    if answer.get("error") or answer.get("object") == "error":
        return f"an error with a status of success: {shortened(said(answer)) or NO_WORDS}"
    for name in ("embeddings", "data"):
        rows = answer.get(name)
        if isinstance(rows, list):
            if name == "data":
                return _of_data(rows, count)
            return _of_list(rows, count, source, form)
    text = f"an object without embeddings ({_fields(answer)})"
    return f"{text}: {words}" if (words := shortened(said(answer))) else text


def _of_list(rows: list[JSON], count: int, source: bytes | None, form: Form) -> Vectors | str:
    first = rows[0] if rows else None
    if type(first) in (float, int):
        # api-inference-community and the inference toolkit answer so to a single text.
        if count == 1:
            return to_vectors([rows], count)
        return f"a flat list of {len(rows)} numbers for {count} inputs: one vector, or scores"
    if isinstance(first, dict):
        return f"a list of objects ({_fields(first)}) instead of vectors"
    if isinstance(first, str):
        return "a list of strings instead of vectors"
    return to_vectors(rows, count, source, form)


def _fields(answer: dict[str, JSON]) -> str:
    return f"fields: {shortened(', '.join(list(answer)[:5]), 120) or 'none'}"


def _of_data(items: list[JSON], count: int) -> Vectors | str:
    """Take OpenAI's items and bring them into the order that their indexes say."""
    try:
        rows = [item["embedding"] for item in items]
        indexes = [item.get("index") for item in items]
    except (TypeError, KeyError):
        good = [isinstance(item, dict) and "embedding" in item for item in items]
        return f"item {good.index(False)} of data has no embedding"
    if len(rows) != count:
        return to_vectors(rows, count)
    order = list(range(count))
    if indexes != order or set(map(type, indexes)) != {int}:
        if wrong := _wrong_index(indexes, count):
            return wrong
        order.sort(key=indexes.__getitem__)
        rows = [rows[position] for position in order]
    return to_vectors(rows, count)


def _wrong_index(indexes: list[JSON], count: int) -> str:
    """Say which index cannot be right. Some servers give every item the index 0."""
    seen = set()
    for position, index in enumerate(indexes):
        if type(index) is not int:
            return f"item {position} of data has no index"
        if not 0 <= index < count:
            return f"item {position} of data has the index {index}, with {count} inputs"
        if index in seen:
            return f"two items of data have the index {index}"
        seen.add(index)
    return ""


def _kind(value: JSON) -> str:
    kinds = {type(None): "null", bool: "true or false", str: "a string"}
    return kinds.get(type(value), "a number")


def _no_json(body: bytes, count: int, error: orjson.JSONDecodeError) -> str:
    """Say what a body is that is not JSON."""
    if not body.strip():
        return "an empty body"
    if body.lstrip()[:1] == b"<":
        return ": ".join(filter(None, ("a web page instead of vectors", html_title(body))))
    if body[:2] == b"\x1f\x8b":
        return "a body compressed with gzip, which was not asked for"
    if not is_bloated(body, count) and (fault := _non_standard(body, count)) is not None:
        return fault
    if error.pos >= len(body.decode(errors="replace")) or "unexpected end" in error.msg:
        return f"JSON that breaks off after {len(body)} bytes"
    return f"not JSON ({shortened(str(error), 120)})"


def _non_standard(body: bytes, count: int) -> str | None:
    """Say what is wrong with the vectors in JSON that holds NaN, Infinity or 1e999.

    Python servers write those; the standard, and orjson, do not know them.
    """
    try:
        vectors = _vectors_of(json.loads(body), count, None)
    except (ValueError, RecursionError):
        return None
    return vectors if isinstance(vectors, str) else None
