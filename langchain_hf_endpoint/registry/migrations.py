"""The registry's tables, and the steps from those of older versions to them."""

from __future__ import annotations

from langchain_hf_endpoint.errors import RegistryError
from langchain_hf_endpoint.sqlite_files import FileKind

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

REGISTRY = FileKind(
    name="registry",
    holds="keys",
    if_exposed=" (and replace the keys if others had access)",
    application_id=APPLICATION_ID,
    steps=STEPS,
    pragmas=(
        "PRAGMA foreign_keys = ON",  # off by default: a key would outlast its endpoint
        "PRAGMA secure_delete = ON",  # a deleted key is overwritten
        "PRAGMA synchronous = FULL",  # what is acknowledged outlasts a power cut
    ),
    error=RegistryError,
)
