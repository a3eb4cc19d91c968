"""Keep what an ingest has received on the disk: an SQLite file beside the output.

A vector is kept under the hash of its text, so that going on needs no trust in file names, rows or
the order of replies. Every reply is written at once, which a killed process cannot undo; to the
disk it is forced several times a second, and never for more than a tenth of the time. What a power
cut tears off at the end of SQLite's log is dropped when it is opened again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.cli.ingest.readers import Unreadable
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.cli.ingest.readers import Found

_APPLICATION = 0x68666A31  # "hfj1": marks the file as ours, and its version
_ENTRIES_AT_ONCE = 2000  # of the plan, which is made anew in any case
_FORCED_EVERY = 0.25  # seconds
_FORCED_SHARE = 10  # a force that took long is not repeated before so many times as long

_TABLES = f"""
PRAGMA application_id = {_APPLICATION};
BEGIN IMMEDIATE;
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE vectors (n INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL);
CREATE TABLE records (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL, source TEXT NOT NULL, row INTEGER,
    text TEXT, problem TEXT
);
CREATE TABLE chunks (
    n INTEGER PRIMARY KEY, record INTEGER NOT NULL, number INTEGER NOT NULL,
    first INTEGER NOT NULL, stop INTEGER NOT NULL, words INTEGER NOT NULL, key BLOB NOT NULL
);
CREATE TABLE rejected (key BLOB PRIMARY KEY, kind TEXT NOT NULL, problem TEXT NOT NULL)
WITHOUT ROWID;
COMMIT;
"""


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
TEXTS_UNSENT = """
SELECT count(DISTINCT chunks.record) FROM chunks LEFT JOIN vectors ON vectors.key = chunks.key
WHERE vectors.key IS NULL AND chunks.record NOT IN (
    SELECT record FROM chunks JOIN rejected ON rejected.key = chunks.key
)
"""
"""How many texts lack vectors though nothing is said against them: the run ended early."""
IDS_REPEATED = "SELECT count(*) FROM (SELECT id FROM records GROUP BY id HAVING count(*) > 1)"
"""How many ids stand for more than one text."""


def key_of(text: str) -> bytes:
    """What a vector is kept under."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class JournalError(HFEndpointError):
    """The journal cannot be opened or written."""


class Journal:
    """An open journal. One process may have it at a time; one thread uses it.

    Args:
        path: It is made where there is none.

    Raises:
        JournalError: It cannot be made, is of another program, or in use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = 0
        self._force_after = 0.0
        with self._errors():
            # isolation_level None: transactions begin and end where we say.
            self._sql = sqlite3.connect(path, timeout=0.5, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._sql.close()
                raise

    def _open(self) -> None:
        sql = self._sql
        # Set before WAL is used: alone, SQLite needs no shared memory, so it works on network
        # drives, and nobody else gets in.
        sql.execute("PRAGMA locking_mode = EXCLUSIVE")
        sql.execute("PRAGMA page_size = 16384")
        is_new = not sql.execute("PRAGMA schema_version").fetchone()[0]
        if not is_new and sql.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
            raise JournalError(
                f"{self._path} is no journal of this version of hf-endpoint",
                advice="Move it away, or finish with the version that began it.",
            )
        sql.execute("PRAGMA journal_mode = WAL")
        if is_new:
            sql.executescript(_TABLES)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            problem, advice = (
                f"cannot be used: {error}",
                "Check the disk and the folder; then go on with --resume.",
            )
            if "locked" in str(error):
                problem, advice = "is in use by another process", "Wait for that one, or stop it."
            raise JournalError(f"the journal {self._path} {problem}", advice=advice) from None

    def begin(self, about: Mapping[str, object]) -> None:
        """Begin, or go on: vectors stay, what the sources hold is found anew.

        Args:
            about: What the vectors depend on beside their texts.
        """
        with self._errors():
            before = dict(self._sql.execute("SELECT name, value FROM about"))
            wanted = {name: json.dumps(value) for name, value in about.items()}

            def is_proven(name: str, value: str) -> bool:
                """Whether the fingerprint tells more: where it is served, or what was not known."""
                was_unknown = name in ("path", "model") and "null" in (value, before[name])
                return "fingerprint" in before and (name == "host" or was_unknown)

            problems = [
                (name, f"the journal was begun with {before[name]}, now it is {value}")
                for name, value in wanted.items()
                if before.get(name, value) != value and not is_proven(name, value)
            ]
            if problems:
                advice = f"Go on with the settings of before, or delete {self._path} to begin anew."
                raise SettingsError(*problems, advice=advice)
            self._write()
            for table in ("records", "chunks", "rejected"):
                self._sql.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
            self._sql.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", wanted.items())
            self.commit()

    def about(self, name: str) -> object:
        """What was noted under a name; None where nothing was."""
        with self._errors():
            row = self._sql.execute("SELECT value FROM about WHERE name = ?", [name]).fetchone()
        return json.loads(row[0]) if row else None

    def note(self, name: str, value: object) -> None:
        """Note something under a name."""
        with self._errors():
            self._write()
            row = (name, json.dumps(value))
            self._sql.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", row)
            self.commit()

    def has(self, key: bytes) -> bool:
        """Whether there is a vector, or in this run a refusal, for a text."""
        with self._errors():
            return any(
                self._sql.execute(f"SELECT 1 FROM {table} WHERE key = ?", [key]).fetchone()  # noqa: S608
                for table in ("vectors", "rejected")
            )

    @property
    def holds_vectors(self) -> bool:
        """Whether anything is kept that was paid for."""
        with self._errors():
            return self._sql.execute("SELECT 1 FROM vectors LIMIT 1").fetchone() is not None

    def keep(self, keys: Sequence[bytes], vectors: Sequence[NDArray[np.float32]]) -> None:
        """Write the vectors of one reply. When this returns, killing the process loses none."""
        dimensions = len(vectors[0])
        before = self.about("dimensions")
        if before not in (None, dimensions):
            problem = f"the vectors have {dimensions}, those in {self._path} have {before}"
            advice = "Another model answers now. Delete the journal to begin anew."
            raise SettingsError(("dimensions", problem), advice=advice)
        if before is None:
            self.note("dimensions", dimensions)
        with self._errors():
            self._write()
            self._sql.executemany(
                "INSERT OR IGNORE INTO vectors (key, vector) VALUES (?, ?)",
                ((key, _bytes(one)) for key, one in zip(keys, vectors, strict=True)),
            )
            self.commit()

    def reject(self, key: bytes, error: HFEndpointError) -> None:
        """Note that the server refuses a text."""
        with self._errors():
            self._write()
            row = (key, type(error).__name__, str(error))
            self._sql.execute("INSERT OR IGNORE INTO rejected VALUES (?, ?, ?)", row)

    def add_record(self, record: Found, *, with_text: bool) -> int:
        """Note a text, or the lack of one; returns its number."""
        problem = record.problem if isinstance(record, Unreadable) else None
        text = None if isinstance(record, Unreadable) or not with_text else record.text
        row = (record.id, record.source, record.row, text, problem)
        with self._errors():
            self._write()
            added = self._sql.execute(
                "INSERT INTO records (id, source, row, text, problem) VALUES (?, ?, ?, ?, ?)", row
            )
        return added.lastrowid or 0

    def add_chunk(self, record: int, number: int, piece: Chunk, key: bytes) -> None:
        """Note a chunk of a text."""
        row = (record, number, piece.start, piece.end, count_words(piece.text), key)
        with self._errors():
            self._write()
            self._sql.execute(
                "INSERT INTO chunks (record, number, first, stop, words, key) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )

    def _write(self) -> None:
        """Be in a transaction, which is ended now and then."""
        self._entries += 1
        if self._entries > _ENTRIES_AT_ONCE:
            self.commit()
        if not self._sql.in_transaction:
            self._sql.execute("BEGIN IMMEDIATE")

    def commit(self, *, force: bool = False) -> None:
        """Write what is open; to the disk itself if that is due or `force` is set."""
        self._entries = 0
        with self._errors():
            now = time.monotonic()
            self._end()
            if not (force or now >= self._force_after):
                return
            # The next commit in this mode forces all of the log that came before it too.
            self._sql.execute("PRAGMA synchronous = FULL")
            self._sql.execute("BEGIN IMMEDIATE")
            forced = "INSERT OR REPLACE INTO about VALUES ('forced', ?)"
            self._sql.execute(forced, [str(time.time())])
            self._end()
            self._sql.execute("PRAGMA synchronous = NORMAL")
            took = time.monotonic() - now
            self._force_after = now + max(_FORCED_EVERY, _FORCED_SHARE * took)

    def _end(self) -> None:
        if self._sql.in_transaction:
            self._sql.execute("COMMIT")

    def rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """The answer to a question in SQL, row by row."""
        with self._errors():
            yield from self._sql.execute(query, values)

    def count(self, query: str) -> int:
        """The answer to a question in SQL that is one number."""
        number = next(self.rows(query))[0]
        assert isinstance(number, int)  # noqa: S101 - a count is one
        return number

    def close(self) -> None:
        """Write all and close; it may be gone on with."""
        with self._errors():
            try:
                self.commit(force=True)
            finally:
                self._sql.close()

    def delete(self) -> None:
        """Close it and take it away: all of it is in the output."""
        with self._errors():
            self._sql.close()
        # The file itself last: a log that outlasts it would be taken for that of the next file of
        # its name.
        for ending in ("-wal", "-shm", "-journal", ""):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bytes(vector: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(vector, "<f4").tobytes()


# What an output is made of, in the order of the sources. A record is in it whole, or among the
# failures.


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an output; without `chunk`, `start` and `end` it is for a whole text."""

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


def rows_per_chunk(journal: Journal) -> Iterator[Row]:
    """A row for every chunk of every text that has all its vectors."""
    for text, chunks in _texts(journal):
        for _, name, source, number, start, end, _, vector in chunks:
            part = None if text is None else text[start:end]
            yield Row(name, source, number, start, end, part, _vector(vector))


def rows_per_text(journal: Journal, *, normalize: bool) -> Iterator[Row]:
    """A row for every text: the mean of its chunks' vectors, as `embed_documents` makes it."""
    for text, chunks in _texts(journal):
        ((_, name, source, *_), *_) = several = list(chunks)
        vectors = [_vector(chunk[-1]) for chunk in several]
        mean = vectors[0]
        if len(vectors) > 1:
            words = [chunk[-2] for chunk in several]
            mean = ARRAYS.mean(vectors, words, normalize=normalize)
        yield Row(name, source, None, None, None, text, mean)


def _texts(journal: Journal) -> Iterator[tuple[str | None, Iterator[tuple[Any, ...]]]]:
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
