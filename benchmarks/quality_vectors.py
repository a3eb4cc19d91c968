"""Vectors of the local model, kept in a file for the runs to come."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from tokenizers import Tokenizer

from benchmarks.children import SCRATCH
from benchmarks.records import say
from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint
from langchain_hf_endpoint.local import LocalServer
from langchain_hf_endpoint.local.files import packaged_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_WHOLE = {"strategy": "none"}
_AT_ONCE = 500  # texts; so many are lost where a run is ended


class Vectors:
    """The local model's vectors of texts.

    Attributes:
        model: What the model is.
        tokenizer: The model's.
    """

    def __init__(self) -> None:
        SCRATCH.mkdir(exist_ok=True)
        self._file = sqlite3.connect(SCRATCH / "quality.sqlite")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, vector BLOB)")
        self._server = LocalServer()
        self.model = self._server.model
        self.tokenizer = Tokenizer.from_buffer(packaged_files().tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._file.close()

    def endpoint(self, settings: Mapping[str, Any]) -> InferenceEndpoint:
        """The server with settings for chunking."""
        return InferenceEndpoint(url=self._server.url, chunking_settings=settings)

    def of(
        self, texts: Sequence[str], settings: Mapping[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """A vector for each text, whole or the mean of the chunks that the settings make."""
        chosen = _WHOLE if settings is None else settings
        about = f"{self.model}\n{json.dumps(chosen, sort_keys=True)}\n"
        keys = [hashlib.sha256((about + text).encode()).digest() for text in texts]
        rows = {key: row for key in keys if (row := self._kept(key)) is not None}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        embeddings = HFEndpointEmbeddings(endpoint=self.endpoint(chosen))
        for place in range(0, len(new), _AT_ONCE):
            some = dict(list(new.items())[place : place + _AT_ONCE])
            found = embeddings.embed_array(list(some.values()))
            rows |= dict(zip(some, found, strict=True))
            kept = [(key, rows[key].tobytes()) for key in some]
            self._file.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", kept)
            self._file.commit()
            say(f"  embedded {place + len(some):,} of {len(new):,}")
        return np.stack([rows[key] for key in keys])

    def _kept(self, key: bytes) -> NDArray[np.float32] | None:
        row = self._file.execute("SELECT vector FROM kept WHERE key = ?", (key,)).fetchone()
        return np.frombuffer(row[0], np.float32) if row else None
