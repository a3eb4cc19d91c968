"""The rows of an output, in the order of the sources, out of a journal.

A record is in the output whole, or in the list of failures. It knows what makes a row. It must not
know any file format.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from langchain_hf_endpoint._engine.vectors import ARRAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from langchain_hf_endpoint.cli.ingest.journal import Journal

Per = Literal["chunk", "text"]

_FAILED = """
SELECT records.n, records.id, source, row, chunks.first, chunks.stop,
    rejected.kind, coalesce(records.problem, rejected.problem)
FROM records LEFT JOIN chunks ON chunks.record = records.n
LEFT JOIN rejected ON rejected.key = chunks.key
WHERE records.problem IS NOT NULL OR rejected.key IS NOT NULL
ORDER BY records.n, chunks.n
"""
_CHUNKS = """
SELECT chunks.record, records.id, source, number, first, stop, words, vector
FROM chunks JOIN records ON records.n = chunks.record JOIN vectors ON vectors.key = chunks.key
WHERE chunks.record NOT IN (
    SELECT record FROM chunks LEFT JOIN vectors ON vectors.key = chunks.key
    WHERE vectors.key IS NULL
)
ORDER BY chunks.n
"""
_UNSENT = """
SELECT count(DISTINCT chunks.record) FROM chunks LEFT JOIN vectors ON vectors.key = chunks.key
WHERE vectors.key IS NULL AND chunks.record NOT IN (
    SELECT record FROM chunks JOIN rejected ON rejected.key = chunks.key
)
"""
_REPEATED = "SELECT id FROM records GROUP BY id HAVING count(*) > 1"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an output; `chunk`, `start`, `end` are None where it is for a whole text."""

    id: str
    source: str
    chunk: int | None
    start: int | None
    end: int | None
    text: str | None
    embedding: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FailedText:
    """A text that is not in the output, and why."""

    id: str
    source: str
    row: int | None
    start: int | None
    end: int | None
    error: str
    problem: str


def count_rows(journal: Journal, per: Per) -> int:
    """How many rows there will be."""
    counted = "*" if per == "chunk" else "DISTINCT record"
    return journal.count(f"SELECT count({counted}) FROM ({_CHUNKS})")  # noqa: S608


def count_unsent(journal: Journal) -> int:
    """How many texts lack vectors though nothing is said against them: the run ended early."""
    return journal.count(_UNSENT)


def count_repeated_ids(journal: Journal) -> int:
    """How many ids stand for more than one text."""
    return journal.count(f"SELECT count(*) FROM ({_REPEATED})")  # noqa: S608


def rows_per_chunk(journal: Journal) -> Iterator[Row]:
    """A row for every chunk of every text that has all its vectors."""
    for text, chunks in _texts(journal):
        for _, name, source, number, start, end, _, vector in chunks:
            part = None if text is None else text[start:end]
            yield Row(name, source, number, start, end, part, _vector(vector))


def rows_per_text(journal: Journal, *, normalize: bool) -> Iterator[Row]:
    """A row for every text: the mean of its chunks' vectors, as `embed_documents` makes it."""
    for text, chunks in _texts(journal):
        several = list(chunks)
        vectors = [_vector(chunk[-1]) for chunk in several]
        words = [chunk[-2] for chunk in several]
        mean = vectors[0]
        if len(vectors) > 1:
            mean = ARRAYS.mean(vectors, words, normalize=normalize)
        _, name, source, *_ = several[0]
        yield Row(name, source, None, None, None, text, mean)


def _texts(journal: Journal) -> Iterator[tuple[str | None, Iterator[tuple[Any, ...]]]]:
    """Each text, and its chunks."""
    for record, chunks in groupby(journal.rows(_CHUNKS), lambda row: row[0]):
        text: str | None = next(journal.rows("SELECT text FROM records WHERE n = ?", record))[0]
        yield text, chunks


def failed_texts(journal: Journal) -> Iterator[FailedText]:
    """Every text that has no row, once, with the first reason."""
    for _, reasons in groupby(journal.rows(_FAILED), lambda row: row[0]):
        _, name, source, row, start, end, kind, problem = next(reasons)
        yield FailedText(name, source, row, start, end, kind or "Unreadable", problem)


def _vector(content: bytes) -> NDArray[np.float32]:
    return np.frombuffer(content, "<f4")
