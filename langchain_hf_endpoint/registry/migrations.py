"""Make the registry's tables, and bring the file of an older version up to date."""

from __future__ import annotations

import sqlite3
import time

from langchain_hf_endpoint.errors import RegistryError

APPLICATION_ID = 0x68666570
"""Stands in the header of each of our files: ``hfep``."""

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE endpoints (
            inference_id TEXT PRIMARY KEY,
            task_type TEXT NOT NULL,
            config TEXT NOT NULL,
            model_id TEXT,
            dimensions INTEGER,
            similarity TEXT NOT NULL
        ) WITHOUT ROWID""",
        # The only place for keys.
        """CREATE TABLE secrets (
            inference_id TEXT PRIMARY KEY REFERENCES endpoints ON DELETE CASCADE,
            api_key TEXT NOT NULL
        ) WITHOUT ROWID""",
        # What each id, living or deleted, embedded with last.
        """CREATE TABLE last_models (
            inference_id TEXT PRIMARY KEY,
            model_id TEXT,
            dimensions INTEGER
        ) WITHOUT ROWID""",
    ),
    (
        # Of the same, by which another model of the same name and dimensions is noticed.
        """CREATE TABLE fingerprints (
            inference_id TEXT PRIMARY KEY,
            fingerprint BLOB NOT NULL
        ) WITHOUT ROWID""",
    ),
)
"""Step n makes version n + 1 of version n. A released step is never changed, only followed."""

_WAL_PATIENCE = 30.0


def bring_up_to_date(connection: sqlite3.Connection, name: str) -> None:
    """Make the tables in an empty file, or take the steps that an older file lacks.

    Args:
        connection: In autocommit mode.
        name: What the file is called in messages.
    """
    connection.execute("BEGIN")
    try:
        version = _version(connection, name)
    finally:
        connection.execute("ROLLBACK")
    if version == len(STEPS):
        return
    # Before the transaction: SQLite changes the journal mode in none.
    _use_wal(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been quicker.
        for step in STEPS[_version(connection, name) :]:
            for statement in step:
                connection.execute(statement)
        # The marks are written with the tables: a process that is killed in between leaves neither.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, name: str) -> int:
    """Which version the file has, 0 for an empty one; within a transaction, for one answer."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION_ID and version > len(STEPS):
        raise RegistryError(
            f"{name} was written by a newer version of this package "
            f"(format {version}; this one knows {len(STEPS)})",
            advice="Upgrade langchain-hf-endpoint.",
        )
    if application != APPLICATION_ID and (application or version or tables):
        raise RegistryError(
            f"{name} is an SQLite file of another program",
            advice="Give the path of a registry, or one where there is no file yet.",
        )
    return int(version)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at once. The file remembers it."""
    until = time.monotonic() + _WAL_PATIENCE
    while True:  # SQLite does not wait for others here as it does elsewhere
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
