"""The registry's tables, and their rows: read and written, one transaction a method.

Keys are written by `add`, read by `with_key` and never otherwise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from langchain_hf_endpoint.endpoint import InferenceEndpoint
from langchain_hf_endpoint.errors import (
    EndpointExistsError,
    ModelChangedError,
    RegistryError,
    UnknownEndpointError,
)
from langchain_hf_endpoint.registry.configs import Entry, Facts, fingerprint_of
from langchain_hf_endpoint.sqlite_files import FileKind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from langchain_hf_endpoint.sqlite_files import Connections

_STEPS: tuple[tuple[str, ...], ...] = (
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
REGISTRY = FileKind(
    name="registry",
    holds="keys",
    if_exposed=" (and replace the keys if others had access)",
    application_id=0x68666570,  # "hfep"
    steps=_STEPS,
    pragmas=(
        "PRAGMA foreign_keys = ON",  # off by default: a key would outlast its endpoint
        "PRAGMA secure_delete = ON",  # a deleted key is overwritten
        "PRAGMA synchronous = FULL",  # what is acknowledged outlasts a power cut
    ),
    error=RegistryError,
)

_COLUMNS = "inference_id, task_type, config, model_id, dimensions, similarity"


class Store:
    """The endpoints in one database."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def ids(self) -> list[str]:
        """All names, in order."""
        with self._connections.reading() as connection:
            rows = connection.execute("SELECT inference_id FROM endpoints ORDER BY inference_id")
            return [name for (name,) in rows]

    def __len__(self) -> int:
        with self._connections.reading() as connection:
            (count,) = connection.execute("SELECT count(*) FROM endpoints").fetchone()
            return int(count)

    def __contains__(self, inference_id: object) -> bool:
        with self._connections.reading() as connection:
            return _exists(connection, inference_id)

    def all(self) -> list[Entry]:
        """All endpoints without their keys, in the order of their names."""
        with self._connections.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM endpoints ORDER BY inference_id")  # noqa: S608 - our own names
            found = rows.fetchall()
        return [_entry(row) for row in found]

    def one(self, inference_id: str) -> Entry:
        """One endpoint without its key."""
        with self._connections.reading() as connection:
            return _find(connection, inference_id)

    def with_key(self, inference_id: str) -> InferenceEndpoint:
        """One endpoint, ready to be used."""
        with self._connections.reading() as connection:
            # One statement, so that the key is that of this endpoint and not of its successor.
            parts = _with_secret(
                connection.execute(
                    "SELECT task_type, config, api_key, fingerprint FROM endpoints "
                    "LEFT JOIN secrets USING (inference_id) "
                    "LEFT JOIN fingerprints USING (inference_id) WHERE inference_id = ?",
                    (_askable(inference_id),),
                ).fetchone()
            )
        if parts is None:
            raise _unknown(inference_id)
        return _built(inference_id, *parts[:3]).expecting(fingerprint_of(parts[3]))

    def refuse_known(self, inference_id: str) -> None:
        """Say that a name is taken, before anything is spent on it."""
        if inference_id in self:
            raise _taken(inference_id)

    def add(self, entry: Entry, *, allow_model_change: bool) -> None:
        """Store a new endpoint."""
        endpoint, facts = entry.endpoint, entry.facts
        key = endpoint.service_settings.api_key  # that of a variable is not looked up
        name = endpoint.inference_id
        with self._connections.writing() as connection:
            # Asked again, now that nobody else can write: another may have put it while this one
            # was tried out.
            if _exists(connection, name):
                raise _taken(name)
            remembered = _remembered(connection, name, facts, allow_model_change)
            _remember_fingerprint(connection, entry, allow_model_change)
            connection.execute(
                f"INSERT INTO endpoints ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    name,
                    endpoint.task_type,
                    json.dumps(entry.stored_config()),
                    facts.model_id,
                    facts.dimensions,
                    facts.similarity,
                ),
            )
            connection.execute(
                "INSERT OR REPLACE INTO last_models VALUES (?, ?, ?)", (name, *remembered)
            )
            if key is not None:
                connection.execute(
                    "INSERT INTO secrets VALUES (?, ?)", (name, key.get_secret_value())
                )

    def keep_fingerprint(self, inference_id: str, fingerprint: bytes) -> None:
        """Keep it, if none is kept."""
        with self._connections.writing() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO fingerprints "
                "SELECT inference_id, ? FROM endpoints WHERE inference_id = ?",
                (fingerprint, _askable(inference_id)),
            )

    def change(self, inference_id: str, changed: Callable[[Entry], Entry]) -> Entry:
        """Replace an endpoint's settings by what `changed` makes of them; its key stays."""
        with self._connections.writing() as connection:
            # Read under the lock for writing, so that of two updates at once none is lost.
            after = changed(_find(connection, inference_id))
            connection.execute(
                "UPDATE endpoints SET config = ? WHERE inference_id = ?",
                (json.dumps(after.stored_config()), inference_id),
            )
        return after

    def replace_key(self, tried: InferenceEndpoint) -> Entry:
        """Store the key of an endpoint that was tried out with it, if it is still at that URL.

        Raises:
            RegistryError: It was deleted and created anew elsewhere: the key is not for that host.
        """
        name, service = tried.inference_id, tried.service_settings
        with self._connections.writing() as connection:
            entry = _find(connection, name)
            if entry.endpoint.service_settings.url != service.url or service.api_key is None:
                raise RegistryError(f"[{name}] was created anew meanwhile; its key stays as it is")
            connection.execute(
                "INSERT OR REPLACE INTO secrets VALUES (?, ?)",
                (name, service.api_key.get_secret_value()),
            )
        return entry

    def remove(self, inference_id: str) -> None:
        """Delete an endpoint and its key; what model it had is remembered."""
        with self._connections.writing() as connection:
            # Its row in `secrets` goes with it.
            gone = connection.execute(
                "DELETE FROM endpoints WHERE inference_id = ?", (_askable(inference_id),)
            )
            if not gone.rowcount:
                raise _unknown(inference_id)


def _askable(inference_id: object) -> str:
    """The id, if it may be one; else what no endpoint is called."""
    # SQLite could not be asked for half a surrogate pair, nor for what is no text.
    return inference_id if isinstance(inference_id, str) and inference_id.isascii() else ""


def _unknown(inference_id: object) -> UnknownEndpointError:
    return UnknownEndpointError(
        f"Inference endpoint not found [{str(inference_id)[:100]}]",
        advice="get() lists those there are.",
    )


def _taken(inference_id: str) -> EndpointExistsError:
    return EndpointExistsError(
        f"Inference endpoint [{inference_id}] already exists",
        advice="Delete it first, update() it, or take another id.",
    )


def _exists(connection: sqlite3.Connection, inference_id: object) -> bool:
    asked = "SELECT 1 FROM endpoints WHERE inference_id = ?"
    return connection.execute(asked, (_askable(inference_id),)).fetchone() is not None


def _find(connection: sqlite3.Connection, inference_id: str) -> Entry:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM endpoints WHERE inference_id = ?",  # noqa: S608 - our own names
        (_askable(inference_id),),
    ).fetchone()
    if row is None:
        raise _unknown(inference_id)
    return _entry(row)


def _entry(row: tuple[Any, ...]) -> Entry:
    inference_id, task_type, config, model_id, dimensions, similarity = row
    facts = Facts(model_id=model_id, dimensions=dimensions, similarity=similarity)
    return Entry(_built(inference_id, task_type, config, None), facts)


def _with_secret(
    row: tuple[str, str, str | None, bytes | None] | None,
) -> tuple[str, str, SecretStr | None, bytes | None] | None:
    """Wrap the key at once: no frame that can fail holds it in clear."""
    return row and (row[0], row[1], None if row[2] is None else SecretStr(row[2]), row[3])


def _built(
    inference_id: str, task_type: str, config: str, key: SecretStr | None
) -> InferenceEndpoint:
    parts = json.loads(config)
    if key is not None:
        parts["service_settings"]["api_key"] = key
    return InferenceEndpoint.from_config(
        task_type=task_type, inference_id=inference_id, inference_config=parts
    )


def _remembered(
    connection: sqlite3.Connection, inference_id: str, new: Facts, allow_model_change: bool
) -> tuple[str | None, int | None]:
    """What model to remember for this name: the new one, if it may be another than before."""
    last = connection.execute(
        "SELECT model_id, dimensions FROM last_models WHERE inference_id = ?", (inference_id,)
    ).fetchone()
    if last is None or allow_model_change:
        return new.model_id, new.dimensions
    if any(
        None not in (before, now) and before != now
        for before, now in zip(last, (new.model_id, new.dimensions), strict=True)
    ):
        now = _named(new.model_id, new.dimensions)
        raise _changed(inference_id, f"{_named(*last)} and comes back with {now}")
    # What is not known of the new one (skip_validation) does not wipe out what is known.
    return new.model_id or last[0], new.dimensions or last[1]


def _remember_fingerprint(
    connection: sqlite3.Connection, new: Entry, allow_model_change: bool
) -> None:
    """As `_remembered`, for what tells models of one name apart."""
    inference_id, shown = new.endpoint.inference_id, new.fingerprint
    asked = "SELECT fingerprint FROM fingerprints WHERE inference_id = ?"
    row = connection.execute(asked, (inference_id,)).fetchone()
    kept = fingerprint_of(row[0]) if row else None
    if allow_model_change:
        connection.execute("DELETE FROM fingerprints WHERE inference_id = ?", (inference_id,))
    elif kept is not None and shown is not None and not kept.matches(shown):
        cosine = f"cosine {kept.similarity(shown):.3f} for a fixed text"
        raise _changed(inference_id, f"a model of the same name and other vectors ({cosine})")
    if shown is not None:
        row = (inference_id, shown.to_bytes())
        connection.execute("INSERT OR REPLACE INTO fingerprints VALUES (?, ?)", row)


def _changed(inference_id: str, how: str) -> ModelChangedError:
    return ModelChangedError(
        f"Inference endpoint [{inference_id}] was deleted with {how}",
        advice="Vectors that are stored under this id do not go with the new ones. "
        "Take another id, or pass allow_model_change=True and embed everything anew.",
    )


def _named(model_id: str | None, dimensions: int | None) -> str:
    return f"model {model_id or 'unknown'} ({dimensions or 'unknown'} dimensions)"
