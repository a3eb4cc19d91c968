"""Embedding in Ray Data: classes for ``Dataset.map_batches``, whose actors share what they hold.

::

    from langchain_hf_endpoint.ray import EmbedChunks

    chunks = dataset.map_batches(EmbedChunks, fn_constructor_args=(embeddings,), concurrency=4)

``pip install "langchain-hf-endpoint[ray]"`` brings Ray. Nothing of it is needed here: a batch is a
mapping of columns, which other engines can give as well.
"""

from __future__ import annotations

import logging
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np

from langchain_hf_endpoint._engine.planner import check_text
from langchain_hf_endpoint.chunking.chunks import Chunk, EmbeddedChunk
from langchain_hf_endpoint.endpoint import preferring_fast
from langchain_hf_endpoint.errors import EmbeddingError, InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint.embeddings import HFEndpointEmbeddings
    from langchain_hf_endpoint.errors import HFEndpointError

__all__ = ["EmbedChunks", "EmbedTexts"]

Columns: TypeAlias = "dict[str, NDArray[Any]]"
OnError: TypeAlias = Literal["raise", "column"]
ResultT = TypeVar("ResultT")

_logger = logging.getLogger("langchain_hf_endpoint")


@dataclass(eq=False, repr=False)
class _EmbedsBatches:
    """Which columns are read and written, and what becomes of failures."""

    embeddings: HFEndpointEmbeddings
    _: KW_ONLY
    text_column: str = "text"
    vector_column: str = "embedding"
    on_error: OnError = "raise"
    error_column: str = "error"

    def __post_init__(self) -> None:
        if self.on_error not in get_args(OnError):
            raise SettingsError(("on_error", f"must be raise or column, not {self.on_error!r}"))
        self._embeddings = _preferring_fast(self.embeddings)
        self._failures = _Failures() if self.on_error == "column" else None


@dataclass(eq=False, repr=False)
class EmbedTexts(_EmbedsBatches):
    """One vector for each row: a text of several chunks gets their mean, as in `embed_documents`.

    An actor is one process, and has one limiter, window and pool; give the embeddings a
    `RedisRequestsPerMinuteLimiter`, so that all actors keep to one limit.

    Args:
        embeddings: It is pickled to every actor: name its key by ``api_key_env``.
        text_column: Where the texts are.
        vector_column: Where the vectors go: float32, shape ``(rows, dimensions)``.
        on_error: ``raise`` what failed; or ``column``: the vector of a text that failed is null,
            and the others, which are then lists, come out. How many failed is logged.
        error_column: With ``column``, where it says what failed; empty where nothing did.

    Raises:
        SettingsError: `on_error` is neither.
    """

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> Columns:
        """Embed a batch of rows.

        Args:
            batch: Columns of one length, Ray's ``batch_format="numpy"``.

        Returns:
            The same columns, and the vectors.

        Raises:
            SettingsError: There is no such column.
            InputError: A text is blank or no string, and `on_error` is ``raise``.
            EmbeddingError: Some texts failed, with ``raise``; the vectors of the others are in it.
        """
        texts = _texts(batch, self.text_column)
        if self._failures is None:
            return {**batch, self.vector_column: self._embeddings.embed_array(texts)}
        vectors, errors = self._failures.apart(self._embeddings.embed_array, texts)
        return {
            **batch,
            self.vector_column: _nullable(map(vectors.get, range(len(texts)))),
            self.error_column: _objects(errors.get(row, "") for row in range(len(texts))),
        }


@dataclass(eq=False, repr=False, kw_only=True)
class EmbedChunks(_EmbedsBatches):
    """One row for each chunk, with the other columns of the text that it was cut from.

    Args:
        embeddings: As in `EmbedTexts`.
        text_column: Where the texts are; afterwards, where the chunks' texts are.
        vector_column: Where the vectors go: float32, shape ``(chunks, dimensions)``.
        start_column: Where the first character of each chunk goes, counted in its text.
        end_column: Where the character behind its last goes.
        on_error: As in `EmbedTexts`; with ``column`` a text that failed is one row, whole.
        error_column: As in `EmbedTexts`.

    Raises:
        SettingsError: `on_error` is neither.
    """

    start_column: str = "start"
    end_column: str = "end"

    def __call__(self, batch: Mapping[str, NDArray[Any]]) -> Columns:
        """Embed a batch of rows; otherwise as `EmbedTexts.__call__`, but for the rows returned."""
        texts = _texts(batch, self.text_column)
        of_text: Mapping[int, Sequence[Chunk]]
        errors: Mapping[int, str] = {}
        if self._failures is None:
            of_text = dict(enumerate(self._embeddings.embed_chunks(texts)))
        else:
            of_text, errors = self._failures.apart(self._embeddings.embed_chunks, texts)
        parts = [
            (row, part)
            for row, text in enumerate(texts)
            for part in of_text.get(row) or [_whole(text)]
        ]
        rows = [row for row, _ in parts]
        vectors = [part.embedding if isinstance(part, EmbeddedChunk) else None for _, part in parts]
        columns = {name: np.asarray(column)[rows] for name, column in batch.items()}
        columns[self.text_column] = _objects(part.text for _, part in parts)
        columns[self.start_column] = np.array([part.start for _, part in parts], dtype=np.int64)
        columns[self.end_column] = np.array([part.end for _, part in parts], dtype=np.int64)
        if self._failures is not None:
            columns[self.vector_column] = _nullable(vectors)
            columns[self.error_column] = _objects(errors.get(row, "") for row in rows)
        elif parts:
            columns[self.vector_column] = np.array(vectors)
        else:  # there is nothing to stack, but the dimensions may be known
            columns[self.vector_column] = self._embeddings.embed_array([])
        return columns


class _Failures:
    """Takes the texts that fail out of an actor's batches, and counts them."""

    def __init__(self) -> None:
        self._failed = self._seen = 0

    def apart(
        self, embed: Callable[[list[str]], Iterable[ResultT]], texts: Sequence[Any]
    ) -> tuple[Mapping[int, ResultT], Mapping[int, str]]:
        """The results of the texts that came out, and what the others failed with, by row."""
        unfit: dict[int, HFEndpointError] = {}
        for row, text in enumerate(texts):
            try:
                check_text(text, row)
            except InputError as error:
                unfit[row] = error
        good = [row for row in range(len(texts)) if row not in unfit]
        errors = _worded(unfit, texts)
        completed: Mapping[int, ResultT]
        try:
            completed = dict(enumerate(embed([texts[row] for row in good])))
        except EmbeddingError as error:
            completed = error.completed
            failures = {good[index]: cause for index, cause in error.failures.items()}
            errors |= _worded(failures, texts)
        self._failed += len(errors)
        self._seen += len(texts)
        if errors:
            _logger.warning(
                "%d of the %d texts of a batch could not be embedded, %d of %d so far in this "
                "process; the first: %s",
                len(errors),
                len(texts),
                self._failed,
                self._seen,
                errors[min(errors)],
            )
        return {good[index]: result for index, result in completed.items()}, errors


def _worded(failures: Mapping[int, HFEndpointError], texts: Sequence[Any]) -> dict[int, str]:
    """What each text failed with; a server's words without what they repeat of the texts."""
    errors = {}
    first = min(failures, default=0)
    for row, error in failures.items():
        # The place in what was sent says nothing once the rows are elsewhere.
        words = error.problem.removeprefix(f"text {getattr(error, 'index', None)}: ")
        # An error of many texts has the server's words for the first of them.
        for text in (texts[row], texts[first]):
            words = _without(words, text) if isinstance(text, str) else words
        errors[row] = f"{type(error).__name__}: {words}"
    return errors


_SHORTEST_QUOTE = 12


def _without(words: str, text: str) -> str:
    """The words without any longer run of characters that the text has too."""
    # A server quotes a long text in part; what is shorter may be an ordinary word.
    shortest = max(_SHORTEST_QUOTE // 2, min(_SHORTEST_QUOTE, len(text.strip())))
    kept, at = "", 0
    while at < len(words):
        end = at + shortest
        if end > len(words) or words[at:end] not in text:
            kept, at = kept + words[at], at + 1
            continue
        while end < len(words) and words[at : end + 1] in text:
            end += 1
        kept, at = f"{kept}…", end
    return kept


def _nullable(vectors: Iterable[NDArray[np.float32] | None]) -> NDArray[Any]:
    """A column of vectors of which some may be null: of one type with and without them."""
    # Ray makes tensors of a column that holds nothing but arrays, and lists of any other.
    return _objects(None if vector is None else list(vector) for vector in vectors)


def _objects(values: Iterable[object]) -> NDArray[Any]:
    return np.fromiter(values, dtype=object)


def _whole(text: Any) -> Chunk:
    """A text that failed, as the only one of its chunks; it may be null."""
    return Chunk(text, 0, len(text) if isinstance(text, str) else 0)


def _preferring_fast(embeddings: HFEndpointEmbeddings) -> HFEndpointEmbeddings:
    """The same, or a copy of it over the fastest transport, if it has no client of the user's."""
    endpoint = preferring_fast(embeddings.endpoint)
    is_the_same = endpoint is embeddings.endpoint or embeddings.http_async_client is not None
    return embeddings if is_the_same else embeddings.model_copy(update={"endpoint": endpoint})


def _texts(batch: Mapping[str, NDArray[Any]], column: str) -> list[Any]:
    if column not in batch:
        there = ", ".join(batch)
        raise SettingsError(("text_column", f"there is no column {column!r}; these are: {there}"))
    texts: list[Any] = np.asarray(batch[column]).tolist()
    return texts
