"""What an ingest has received, on the disk: an SQLite file beside the output.

A vector is kept under the hash of the text it stands for, so that going on needs no trust in file
names, rows or the order of replies: what is there is not asked for again, wherever it comes up.
The file's write-ahead log is what a journal should be: it is only appended to, each entry has a
check sum, and what a power cut tore off at its end is dropped when it is opened again.

Every reply is written at once, which a killed process cannot undo; to the disk it is forced several
times a second, and never for more than a tenth of the time. It knows SQL. It must not know what is
asked for, nor of whom.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.cli.ingest.records import Unreadable
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.cli.ingest.records import Found

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
        # Alone, SQLite needs no shared memory: it works on network drives, and nobody else gets in.
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
            in_use = "locked" in str(error)
            raise JournalError(
                f"the journal {self._path} is in use by another process"
                if in_use
                else f"the journal {self._path} cannot be used: {error}",
                advice="Wait for that one, or stop it."
                if in_use
                else "Check the disk and the folder; then go on with --resume.",
            ) from None

    def begin(self, about: Mapping[str, object]) -> None:
        """Begin, or go on: vectors stay, what the sources hold is found anew.

        Args:
            about: What the vectors depend on beside their texts.

        Raises:
            SettingsError: The journal was begun with something else.
        """
        with self._errors():
            before = dict(self._sql.execute("SELECT name, value FROM about"))
            wanted = {name: json.dumps(value) for name, value in about.items()}
            problems = [
                (name, f"the journal was begun with {before[name]}, now it is {value}")
                for name, value in wanted.items()
                if before.get(name, value) != value
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
        """Write the vectors of one reply. When this returns, killing the process loses none.

        Raises:
            SettingsError: They are of another width than those before.
        """
        width = len(vectors[0])
        before = self.about("dimensions")
        if before not in (None, width):
            raise SettingsError(
                ("dimensions", f"the vectors have {width}, those in {self._path} have {before}"),
                advice="Another model answers now. Delete the journal to begin anew.",
            )
        with self._errors():
            self._write()
            if before is None:
                self._sql.execute("INSERT INTO about VALUES ('dimensions', ?)", [str(width)])
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
        """Note a text, or the lack of one.

        Returns:
            Its number.
        """
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
            if not (force or now >= self._force_after):
                self._end()
                return
            self._end()
            # The next commit in this mode forces all of the log that came before it too.
            self._sql.execute("PRAGMA synchronous = FULL")
            self._sql.execute("BEGIN IMMEDIATE")
            forced = "INSERT OR REPLACE INTO about VALUES ('forced', ?)"
            self._sql.execute(forced, [json.dumps(time.time())])
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
        for ending in ("-wal", "-shm", "-journal", ""):
            self._path.with_name(self._path.name + ending).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bytes(vector: NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(vector, "<f4").tobytes()
