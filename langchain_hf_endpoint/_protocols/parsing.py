"""JSON of a server, unless it holds more values than any answer does.

It knows how many. It must not know what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from langchain_hf_endpoint._protocols.vectors import JSON

_MOST = 100_000
_MARKS_OF_A_TEXT = 100
"""Brackets and quotes of the answer for one text; OpenAI's has 12."""


def parsed(body: bytes, count: int = 0) -> JSON:
    """What a body holds.

    To make an object or a text of JSON takes a microsecond and 60 bytes: 60 MB of ``[],`` took 17
    seconds and 2 GB, for vectors of a few texts.

    Args:
        body: JSON.
        count: Of how many texts it is the answer.

    Raises:
        JSONDecodeError: It is no JSON, or holds too much.
    """
    if len(body) > _MOST and is_bloated(body, count):
        raise orjson.JSONDecodeError("more objects, lists and texts than any answer has", "", 0)
    return orjson.loads(body)


def is_bloated(body: bytes, count: int = 0) -> bool:
    """Whether it has more objects, lists and texts than the answer to so many texts."""
    marks = sum(body.count(mark) for mark in (b"[", b"{", b'"'))
    return marks > _MOST + _MARKS_OF_A_TEXT * count
