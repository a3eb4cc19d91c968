"""Embedding in Ray Data: classes for ``Dataset.map_batches``, whose actors share what they hold.

::

    from langchain_hf_endpoint.ray import EmbedChunks

    chunks = dataset.map_batches(EmbedChunks, fn_constructor_args=(embeddings,), concurrency=4)

``pip install "langchain-hf-endpoint[ray]"`` brings Ray. Nothing of it is needed here: a batch is a
mapping of columns, which other engines can give as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from langchain_hf_endpoint.endpoint import preferring_fast
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from langchain_hf_endpoint.embeddings import HFEndpointEmbeddings

__all__ = ["EmbedChunks", "EmbedTexts"]

Columns: TypeAlias = "dict[str, NDArray[Any]]"


class EmbedTexts:
    """One vector for each row: a text of several chunks gets their mean, as in `embed_documents`.

    An actor is one process, and has one limiter, window and pool; give the embeddings a
    `RedisRequestsPerMinuteLimiter`, so that all actors keep to one limit.

    Args:
        embeddings: It is pickled to every actor: name its key by ``api_key_env``.
        text_column: Where the texts are.
        vector_column: Where the vectors go: float32, shape ``(rows, dimensions)``.
    """

    def __init__(
        self,
        embeddings: HFEndpointEmbeddings,
        *,
        text_column: str = "text",
        vector_column: str = "embedding",
    ) -> None:
        self._embeddings = _preferring_fast(embeddings)
        self._text_column = text_column
        self._vector_column = vector_column

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> Columns:
        """Embed a batch of rows.

        Args:
            batch: Columns of one length, Ray's ``batch_format="numpy"``.

        Returns:
            The same columns, and the vectors.

        Raises:
            SettingsError: There is no such column.
            EmbeddingError: Some texts failed; the vectors of the others are in it.
        """
        texts = _texts(batch, self._text_column)
        return {**batch, self._vector_column: self._embeddings.embed_array(texts)}


class EmbedChunks:
    """One row for each chunk, with the other columns of the text that it was cut from.

    Args:
        embeddings: As in `EmbedTexts`.
        text_column: Where the texts are; afterwards, where the chunks' texts are.
        vector_column: Where the vectors go: float32, shape ``(chunks, dimensions)``.
        start_column: Where the first character of each chunk goes, counted in its text.
        end_column: Where the character behind its last goes.
    """

    def __init__(
        self,
        embeddings: HFEndpointEmbeddings,
        *,
        text_column: str = "text",
        vector_column: str = "embedding",
        start_column: str = "start",
        end_column: str = "end",
    ) -> None:
        self._embeddings = _preferring_fast(embeddings)
        self._text_column = text_column
        self._vector_column = vector_column
        self._start_column = start_column
        self._end_column = end_column

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> Columns:
        """Embed a batch of rows; otherwise as `EmbedTexts.__call__`, but for the rows returned."""
        texts = _texts(batch, self._text_column)
        chunks = [chunk for several in self._embeddings.embed_chunks(texts) for chunk in several]
        rows = [chunk.text_index for chunk in chunks]
        columns = {name: np.asarray(column)[rows] for name, column in batch.items()}
        columns[self._text_column] = np.array([chunk.text for chunk in chunks], dtype=object)
        columns[self._start_column] = np.array([chunk.start for chunk in chunks], dtype=np.int64)
        columns[self._end_column] = np.array([chunk.end for chunk in chunks], dtype=np.int64)
        # Without rows there is nothing to stack, but the dimensions may be known.
        columns[self._vector_column] = (
            np.stack([chunk.embedding for chunk in chunks])
            if chunks
            else self._embeddings.embed_array([])
        )
        return columns


def _preferring_fast(embeddings: HFEndpointEmbeddings) -> HFEndpointEmbeddings:
    """The same, or a copy of it over the fastest transport, if it has no client of the user's."""
    endpoint = preferring_fast(embeddings.endpoint)
    is_the_same = endpoint is embeddings.endpoint or embeddings.http_async_client is not None
    return embeddings if is_the_same else embeddings.model_copy(update={"endpoint": endpoint})


def _texts(batch: Mapping[str, NDArray[Any]], column: str) -> list[str]:
    if column not in batch:
        there = ", ".join(batch)
        raise SettingsError(("text_column", f"there is no column {column!r}; these are: {there}"))
    texts: list[str] = np.asarray(batch[column]).tolist()
    return texts
