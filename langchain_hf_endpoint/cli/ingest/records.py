"""A text of a source, or why there is none.

It knows what every format comes down to. It must not read anything.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {
    "NoneType": "null",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "str": "a string",
    "bytes": "bytes",
    "list": "an array",
    "dict": "an object",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One text.

    Attributes:
        id: As the source names it, else the file and the row.
        text: Not blank.
        source: The file it is from, as it was named.
        row: Which one in its file, from 1; None where the file is one text.
    """

    id: str
    text: str
    source: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place where a text should be, and why it cannot be had."""

    id: str
    problem: str
    source: str
    row: int | None = None


Found: TypeAlias = "Record | Unreadable"


def found(text: object, given_id: object, source: str, row: int | None) -> Found:
    """A record of what stands in the columns of a row; unreadable where that is no text.

    Args:
        text: What stands where the text should.
        given_id: What names it; None where nothing does.
        source: The file.
        row: Which row of it.
    """
    named = _name(given_id) if given_id is not None else place(source, row)
    if text is None:
        return Unreadable(named, "has no text", source, row)
    if not isinstance(text, str):
        return Unreadable(named, f"the text is {kind_of(text)}", source, row)
    if not text or text.isspace():
        return Unreadable(named, "the text is empty or blank", source, row)
    if half := _SURROGATE.search(text):
        problem = f"character {half.start()} is half a pair, which no UTF-8 can carry"
        return Unreadable(named, problem, source, row)
    return Record(named, text, source, row)


def place(source: str, row: int | None) -> str:
    """How a text without an id of its own is named."""
    return source if row is None else f"{source}:{row}"


def writable(name: str) -> str:
    """A name in letters that every output can hold: bytes that are no UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def kind_of(value: object) -> str:
    """What a value is, in the words of JSON."""
    name = type(value).__name__
    return _KINDS.get(name, f"of type {name}")


def _name(given: object) -> str:
    """An id as it was given, which need not be a string."""
    if isinstance(given, bytes):
        return given.decode("utf-8", "backslashreplace")
    if isinstance(given, float) and given.is_integer():
        return str(int(given))  # a table's integers among which some are missing
    if isinstance(given, (bool, list, dict)):
        return writable(json.dumps(given, ensure_ascii=False, default=str))
    return writable(str(given))
