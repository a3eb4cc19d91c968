"""A text of a source, or why there is none.

It knows what every format comes down to. It must not read anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


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
    named = str(given_id) if given_id is not None else place(source, row)
    if text is None:
        return Unreadable(named, "has no text", source, row)
    if not isinstance(text, str):
        return Unreadable(named, f"the text is of type {type(text).__name__}", source, row)
    if not text or text.isspace():
        return Unreadable(named, "the text is empty or blank", source, row)
    return Record(named, text, source, row)


def place(source: str, row: int | None) -> str:
    """How a text without an id of its own is named."""
    return source if row is None else f"{source}:{row}"
