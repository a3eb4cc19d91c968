"""Ways to spoil a genuine reply: what a client must notice."""

from __future__ import annotations

import base64
import json
import struct
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from .wire import Reply

Rows = list[Any]


def _null_value(rows: Rows) -> Rows:
    return [_with_first(rows[0], None), *rows[1:]]


def _infinite(rows: Rows) -> Rows:
    return [_with_first(rows[0], float("inf")), *rows[1:]]


def _not_a_number(rows: Rows) -> Rows:
    return [_with_first(rows[0], float("nan")), *rows[1:]]


def _with_first(row: Any, value: float | None) -> Any:
    """The row with another first value, as numbers or base64 (where null becomes NaN)."""
    if isinstance(row, list):
        return [value, *row[1:]]
    first = struct.pack("<f", float("nan") if value is None else value)
    return base64.b64encode(first + base64.b64decode(row)[4:]).decode()


def _narrow(row: Any) -> Any:
    return (
        row[:-1] if isinstance(row, list) else base64.b64encode(base64.b64decode(row)[:-4]).decode()
    )


_ROW_CHANGES: dict[str, Callable[[Rows], Rows]] = {
    "null_value": _null_value,
    "infinite_value": _infinite,
    "nan_value": _not_a_number,
    "extra_row": lambda rows: [*rows, rows[0]],
    "missing_row": lambda rows: rows[:-1],
    "no_rows": lambda rows: [],
    "narrow_row": lambda rows: [*rows[:-1], _narrow(rows[-1])],
    "narrow_rows": lambda rows: [_narrow(row) for row in rows],
    "empty_row": lambda rows: [*rows[:-1], []],
    "text_value": lambda rows: [["x", *rows[0][1:]], *rows[1:]],
}
_BODY_CHANGES: dict[str, Callable[[Any], Any]] = {
    "nested": lambda body: [body],
    "embeddings_key": lambda body: {"embeddings": body},
    "object": lambda body: {"vectors": body},
    "reversed_data": lambda body: {**body, "data": body["data"][::-1]},
    "repeated_index": lambda body: {**body, "data": [body["data"][0]] * len(body["data"])},
}
_BYTE_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "broken_json": lambda body: body[: len(body) // 2],
    "html": lambda _body: b"<html><body>all is well</body></html>",
    "empty_body": lambda _body: b"",
}
CHANGES = (*_ROW_CHANGES, *_BODY_CHANGES, *_BYTE_CHANGES)
"""The names that `Scripted.change` takes."""


def change(reply: Reply, name: str) -> None:
    """Spoil the reply in place; a refusal stays what it is."""
    if reply.status != 200:
        return
    if name in _BYTE_CHANGES:
        reply.body = _BYTE_CHANGES[name](reply.body)
        return
    body = orjson.loads(reply.body)
    if name in _BODY_CHANGES:
        reply.body = _dumped(_BODY_CHANGES[name](body))
        return
    change_rows = _ROW_CHANGES[name]
    if isinstance(body, list):
        reply.body = _dumped(change_rows(body))
        return
    rows = change_rows([item["embedding"] for item in body["data"]])
    body["data"] = [
        {"object": "embedding", "embedding": row, "index": index} for index, row in enumerate(rows)
    ]
    reply.body = _dumped(body)


def _dumped(body: Any) -> bytes:
    """JSON as Python's own module writes it: with NaN and Infinity, where orjson writes null."""
    return json.dumps(body, separators=(",", ":")).encode()
