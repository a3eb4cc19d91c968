"""Spoil a right reply in one of the ways that a client must notice, or put right."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint.testing.messages import Reply

Row: TypeAlias = Any
"""A list of numbers, or a string of base64."""
Rows: TypeAlias = "list[Row]"


def _with_first(row: Row, value: float | None) -> Row:
    """The row with another first value, as numbers or base64 (where null becomes NaN)."""
    if isinstance(row, list):
        return [value, *row[1:]]
    first = struct.pack("<f", float("nan") if value is None else value)
    return base64.b64encode(first + base64.b64decode(row)[4:]).decode()


def _narrow(row: Row) -> Row:
    if isinstance(row, list):
        return row[:-1]
    return base64.b64encode(base64.b64decode(row)[:-4]).decode()


def _interleaved(items: list[Any]) -> list[Any]:
    """Another order: the odd places first, each half backwards."""
    return items[1::2][::-1] + items[::2][::-1]


_ROW_CHANGES: Mapping[str, Callable[[Rows], Rows]] = {
    "null_value": lambda rows: [_with_first(rows[0], None), *rows[1:]],
    "infinite_value": lambda rows: [_with_first(rows[0], float("inf")), *rows[1:]],
    "nan_value": lambda rows: [_with_first(rows[0], float("nan")), *rows[1:]],
    "extra_row": lambda rows: [*rows, rows[0]],
    "missing_row": lambda rows: rows[:-1],
    "no_rows": lambda _rows: [],
    "rows_twice": lambda rows: [row for row in rows for _ in range(2)],
    "narrow_row": lambda rows: [*rows[:-1], _narrow(rows[-1])],
    "narrow_rows": lambda rows: [_narrow(row) for row in rows],
    "empty_row": lambda rows: [*rows[:-1], []],
    "text_value": lambda rows: [["x", *rows[0][1:]], *rows[1:]],
}
_BODY_CHANGES: Mapping[str, Callable[[Any], Any]] = {
    "nested": lambda body: [body],
    "embeddings_key": lambda body: {"embeddings": body},
    "object": lambda body: {"vectors": body},
}
_DATA_CHANGES: Mapping[str, Callable[[list[Any]], list[Any]]] = {
    "reversed_data": lambda items: items[::-1],
    "permuted_data": _interleaved,
    "repeated_index": lambda items: [{**item, "index": items[0]["index"]} for item in items],
}
_BYTE_CHANGES: Mapping[str, Callable[[bytes], bytes]] = {
    "broken_json": lambda body: body[: len(body) // 2],
    "html": lambda _body: b"<html><body>all is well</body></html>",
    "empty_body": lambda _body: b"",
    "gzip": gzip.compress,
}
CHANGES = (*_ROW_CHANGES, *_BODY_CHANGES, *_DATA_CHANGES, *_BYTE_CHANGES)
"""The names that `change` takes."""


def change(reply: Reply, name: str) -> bool:
    """Spoil a right reply in place; a refusal stays what it is, and False says so."""
    if reply.status != 200:  # noqa: PLR2004 - a success
        return False
    if name in _BYTE_CHANGES:
        reply.body = _BYTE_CHANGES[name](reply.body)
    else:
        body = orjson.loads(reply.body)
        if name in _BODY_CHANGES:
            body = _BODY_CHANGES[name](body)
        elif name in _DATA_CHANGES:
            body = _with_data(body, _DATA_CHANGES[name])
        else:
            body = _with_rows(body, _ROW_CHANGES[name])
        # Python's own module writes NaN and Infinity where orjson writes null.
        reply.body = json.dumps(body, separators=(",", ":")).encode()
    return True


def answer_with(reply: Reply, vectors: Callable[[int], Sequence[NDArray[np.float32]]]) -> None:
    """Put other vectors, of as many dimensions, in the place of those of a right reply."""
    if reply.status != 200:  # noqa: PLR2004 - a success
        return

    def others(rows: Rows) -> Rows:
        is_base64 = isinstance(rows[0], str)
        width = len(base64.b64decode(rows[0])) // 4 if is_base64 else len(rows[0])
        return [
            base64.b64encode(row.tobytes()).decode() if is_base64 else row.tolist()
            for row in vectors(width)
        ]

    reply.body = orjson.dumps(_with_rows(orjson.loads(reply.body), others))


def _with_data(body: Any, change_items: Callable[[list[Any]], list[Any]]) -> Any:
    """Only OpenAI's replies have items with an index; in others a swap could not be noticed."""
    if not isinstance(body, dict) or "data" not in body:
        return body
    return {**body, "data": change_items(body["data"])}


def _with_rows(body: Any, change_rows: Callable[[Rows], Rows]) -> Any:
    if isinstance(body, list):
        return change_rows(body)
    if "embeddings" in body:
        return {**body, "embeddings": change_rows(body["embeddings"])}
    rows = change_rows([item["embedding"] for item in body["data"]])
    items = [
        {"object": "embedding", "embedding": row, "index": index} for index, row in enumerate(rows)
    ]
    return {**body, "data": items}
