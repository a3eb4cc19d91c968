"""What a call returns, made of finished texts: vectors, a matrix, chunks, a stream of chunks.

It knows the promises of each method of the embeddings, for every face. It must not know how texts
become finished.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from langchain_hf_endpoint._engine.calls import document_job, query_job
from langchain_hf_endpoint._engine.gathering import Failures, agather, gather, reported
from langchain_hf_endpoint._engine.planner import check_text, check_texts
from langchain_hf_endpoint._engine.progress import followers
from langchain_hf_endpoint._engine.run import afinished_texts, finished_texts
from langchain_hf_endpoint._engine.vectors import ARRAYS, LISTS
from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint._session.session import session_for
from langchain_hf_endpoint.chunking.chunks import EmbeddedChunk
from langchain_hf_endpoint.chunking.counting import counts_of_words
from langchain_hf_endpoint.errors import HFEndpointError, InputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from langchain_core.rate_limiters import BaseRateLimiter
    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.calls import Settings
    from langchain_hf_endpoint._engine.planner import PlannedText
    from langchain_hf_endpoint._engine.run import Job
    from langchain_hf_endpoint._engine.vectors import VectorFormat
    from langchain_hf_endpoint._http.clients import Clients

    Vector = list[float]
    Array = NDArray[np.float32]

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a face sends its texts.

    Attributes:
        settings: The endpoint's sections.
        limiter: Instead of the endpoint's own.
        clients: Instead of our own connections.
        show_progress_bar: Whether document calls show how far they are.
    """

    settings: Settings
    limiter: BaseRateLimiter | None = None
    clients: Clients = OURS
    show_progress_bar: bool = False

    def documents(
        self, operation: str, keeper: VectorFormat[RowT], *, is_stream: bool = False
    ) -> Job[RowT]:
        """A call that embeds documents; `operation` is the method, as tracing names it."""
        url = self.settings.service_settings.url
        bar = self.show_progress_bar
        job = document_job(
            self.settings, keeper, limiter=self.limiter, clients=self.clients, is_stream=is_stream
        )
        job.plan_first = bar and not is_stream
        # Last: from here on it is `reported` that ends them.
        job.progress = followers(operation, url, show_bar=bar, is_current=not is_stream)
        return job

    def query(self) -> Job[Vector]:
        """A call that embeds one query."""
        url = self.settings.service_settings.url
        job = query_job(self.settings, LISTS, limiter=self.limiter, clients=self.clients)
        job.progress = followers("embed_query", url, show_bar=False, is_current=True)
        return job


def vectors(target: Target, texts: Iterable[str]) -> list[Vector]:
    """One vector per text."""
    checked = _checked(texts)
    if not checked:
        return []
    job = target.documents("embed_documents", LISTS)
    return gather(checked, job, lambda text: _pooled(text, job))


async def avectors(target: Target, texts: Iterable[str]) -> list[Vector]:
    """The async twin of `vectors`."""
    checked = _checked(texts)
    if not checked:
        return []
    job = target.documents("embed_documents", LISTS)
    return await agather(checked, job, lambda text: _pooled(text, job))


def query_vector(target: Target, text: str) -> Vector:
    """The vector of a query."""
    check_text(text, 0)
    job = target.query()
    with reported(job.progress):
        for finished in finished_texts([text], job):
            return _only_vector(finished, job)
    raise AssertionError("a text went in and none came out")


async def aquery_vector(target: Target, text: str) -> Vector:
    """The async twin of `query_vector`."""
    check_text(text, 0)
    job = target.query()
    with reported(job.progress):
        async with aclosing(afinished_texts([text], job)) as finished_alone:
            async for finished in finished_alone:
                return _only_vector(finished, job)
    raise AssertionError("a text went in and none came out")


def matrix(target: Target, texts: Iterable[str]) -> Array:
    """One row per text."""
    checked = _checked(texts)
    if not checked:
        return _no_rows(target)
    job = target.documents("embed_array", ARRAYS)
    filling = _Filling(len(checked), job)
    gather(checked, job, filling.put)
    return filling.matrix


async def amatrix(target: Target, texts: Iterable[str]) -> Array:
    """The async twin of `matrix`."""
    checked = _checked(texts)
    if not checked:
        return _no_rows(target)
    job = target.documents("embed_array", ARRAYS)
    filling = _Filling(len(checked), job)
    await agather(checked, job, filling.put)
    return filling.matrix


def chunks(target: Target, texts: Iterable[str]) -> list[list[EmbeddedChunk]]:
    """The embedded chunks of each text."""
    checked = _checked(texts)
    return gather(checked, target.documents("embed_chunks", ARRAYS), _embedded) if checked else []


async def achunks(target: Target, texts: Iterable[str]) -> list[list[EmbeddedChunk]]:
    """The async twin of `chunks`."""
    checked = _checked(texts)
    return (
        await agather(checked, target.documents("embed_chunks", ARRAYS), _embedded)
        if checked
        else []
    )


def chunk_stream(target: Target, texts: Iterable[str]) -> Generator[EmbeddedChunk, None, None]:
    """Embedded chunks in order, within bounded memory."""
    _refuse_a_string(texts)
    return _chunk_stream(texts, target)


def _chunk_stream(texts: Iterable[str], target: Target) -> Generator[EmbeddedChunk, None, None]:
    job = target.documents("stream_chunks", ARRAYS, is_stream=True)
    failures = Failures()
    with reported(job.progress):
        try:
            for text in finished_texts(texts, job):
                if not failures.take(text):
                    yield from _embedded(text)
        except HFEndpointError as error:
            failures.fatal = error
        except Exception as error:  # noqa: BLE001 - what the iterable raised
            failures.raise_after(error)
        failures.raise_any()


def achunk_stream(
    target: Target, texts: Iterable[str] | AsyncIterable[str]
) -> AsyncGenerator[EmbeddedChunk, None]:
    """The async twin of `chunk_stream`."""
    if not isinstance(texts, AsyncIterable):
        _refuse_a_string(texts)
    return _achunk_stream(texts, target)


async def _achunk_stream(
    texts: Iterable[str] | AsyncIterable[str], target: Target
) -> AsyncGenerator[EmbeddedChunk, None]:
    job = target.documents("stream_chunks", ARRAYS, is_stream=True)
    failures = Failures()
    with reported(job.progress):
        try:
            async with aclosing(afinished_texts(texts, job)) as finished:
                async for text in finished:
                    if not failures.take(text):
                        for embedded in _embedded(text):
                            yield embedded
        except HFEndpointError as error:
            failures.fatal = error
        except Exception as error:  # noqa: BLE001 - what the iterable raised
            failures.raise_after(error)
        failures.raise_any()


class _Filling:
    """A matrix that is filled row by row."""

    def __init__(self, rows: int, job: Job[Array]) -> None:
        self._rows = rows
        self._job = job
        self.matrix: Array = np.empty((0, 0), dtype=np.float32)

    def put(self, text: PlannedText[Array]) -> Array:
        row = _pooled(text, self._job)
        if not self.matrix.size:
            self.matrix = np.empty((self._rows, len(row)), dtype=np.float32)
        self.matrix[text.index] = row
        stored: Array = self.matrix[text.index]
        return stored


def known_dimensions(target: Target) -> int | None:
    """The width of the vectors: as seen, else as asked for, else None."""
    asked = target.settings.task_settings.dimensions
    service = target.settings.service_settings
    return session_for(service).server_state(service.model).dimensions(asked) or asked


def _no_rows(target: Target) -> Array:
    return np.empty((0, known_dimensions(target) or 0), dtype=np.float32)


def _pooled(text: PlannedText[RowT], job: Job[RowT]) -> RowT:
    rows = text.rows(job.keeper)
    if len(rows) == 1:
        return rows[0]
    words = counts_of_words([chunk.text for chunk in text.chunks])
    return job.keeper.mean(rows, words, normalize=job.call.task.normalize)


def _only_vector(text: PlannedText[Vector], job: Job[Vector]) -> Vector:
    error = text.failure()
    if error is not None:
        raise error
    return text.rows(job.keeper)[0]


def _embedded(text: PlannedText[Array]) -> list[EmbeddedChunk]:
    pairs = zip(text.chunks, text.rows(ARRAYS), strict=True)
    return [
        EmbeddedChunk(chunk.text, chunk.start, chunk.end, row, text.index) for chunk, row in pairs
    ]


def _checked(texts: Iterable[str]) -> list[str]:
    """All texts, each fit to be embedded, before anything is sent.

    Raises:
        InputError: Names the first that is not.
    """
    _refuse_a_string(texts)
    checked = list(texts)
    check_texts(checked)
    return checked


def _refuse_a_string(texts: object) -> None:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        kind = type(texts).__name__
        raise InputError(
            f"texts must be several strings, such as a list, not one {kind}",
            advice="Put a single text into a list.",
        )
