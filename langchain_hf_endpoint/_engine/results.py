"""What a call returns, made of finished texts, or the error that names those that failed."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, NoReturn, TypeAlias, TypeVar

import numpy as np

from langchain_hf_endpoint._engine.failures import named, of_the_machine
from langchain_hf_endpoint._engine.planner import check_text, check_texts
from langchain_hf_endpoint._engine.progress import followed
from langchain_hf_endpoint._engine.query import arun_query, run_query
from langchain_hf_endpoint._engine.run import Run, arun, run
from langchain_hf_endpoint._engine.vectors import ARRAYS, LISTS, MatrixRows, Rows
from langchain_hf_endpoint._session.session import session_for
from langchain_hf_endpoint.chunking.chunks import EmbeddedChunk
from langchain_hf_endpoint.chunking.counting import counts_of_words
from langchain_hf_endpoint.errors import EmbeddingError, HFEndpointError, InputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.call import EmbeddingCall, Endpoint
    from langchain_hf_endpoint._engine.planner import PlannedText
    from langchain_hf_endpoint._engine.vectors import VectorFormat

    Vector = list[float]
    Array = NDArray[np.float32]

RowT = TypeVar("RowT")
ResultT = TypeVar("ResultT")
AllT = TypeVar("AllT")

MakeCall: TypeAlias = "Callable[[VectorFormat[RowT]], EmbeddingCall[RowT]]"
"""Makes the call of a method, once its texts are known to be good."""


@dataclass(frozen=True, slots=True)
class Output(Generic[RowT, ResultT, AllT]):
    """What a method makes of a list of texts."""

    operation: str  # the method, as tracing names it
    vector_format: VectorFormat[RowT]  # in which form vectors are kept
    # The result of one text that came out, and did not fail.
    of_text: Callable[[PlannedText[RowT], EmbeddingCall[RowT]], ResultT]
    # What the method returns, made of the results of all texts.
    of_all: Callable[[Rows[ResultT], int], AllT]
    of_none: Callable[[MakeCall[RowT]], AllT]  # what it returns for no texts
    # Makes what takes the vectors of a number of texts, where the vector of a text that is one
    # chunk is its result. None where every text comes out.
    rows: Callable[[int], Rows[ResultT]] | None = None


def _pooled(text: PlannedText[RowT], call: EmbeddingCall[RowT]) -> RowT:
    if len(text.rows) == 1:
        return text.rows[0]
    words = counts_of_words([chunk.text for chunk in text.chunks])
    return call.vector_format.mean(text.rows, words, normalize=call.task.normalize)


def _embedded(text: PlannedText[Array], _: object = None) -> list[EmbeddedChunk]:
    pairs = zip(text.chunks, text.rows, strict=True)
    return [
        EmbeddedChunk(chunk.text, chunk.start, chunk.end, row, text.index) for chunk, row in pairs
    ]


def _no_rows(make_call: MakeCall[Array]) -> Array:
    call = make_call(ARRAYS)
    asked = call.task.dimensions
    return np.empty((0, call.server.dimensions(asked) or asked or 0), dtype=np.float32)


def _in_order(results: Rows[ResultT], count: int) -> list[ResultT]:
    return list(map(results.__getitem__, range(count)))


def _matrix(rows: Rows[Array], _: int) -> Array:
    assert isinstance(rows, MatrixRows)  # noqa: S101 - what MATRIX has them in
    return rows.matrix


def _best_score(text: PlannedText[list[float]], _: object) -> float:
    return max(row[0] for row in text.rows)


SCORES: Output[list[float], float, list[float]] = Output(
    "rerank", LISTS, _best_score, _in_order, lambda _: []
)
VECTORS: Output[Vector, Vector, list[Vector]] = Output(
    "embed_documents", LISTS, _pooled, _in_order, lambda _: [], lambda _: Rows()
)
MATRIX: Output[Array, Array, Array] = Output(
    "embed_array", ARRAYS, _pooled, _matrix, _no_rows, MatrixRows
)
CHUNKS: Output[Array, list[EmbeddedChunk], list[list[EmbeddedChunk]]] = Output(
    "embed_chunks", ARRAYS, _embedded, _in_order, lambda _: []
)


def collect(
    make_call: MakeCall[RowT], texts: Iterable[str], output: Output[RowT, ResultT, AllT]
) -> AllT:
    """Embed all texts and return what the output makes of them.

    Raises:
        InputError: A text cannot be embedded; nothing was sent.
        EmbeddingError: Some texts failed; the results of the others are in it.
    """
    checked = _checked(texts)
    if not checked:
        return output.of_none(make_call)
    collected = _Collected(len(checked), make_call(output.vector_format), output)
    with reported(*collected.state.call.followers):
        try:
            for text in run(checked, collected.state):
                collected.keep(text)
        except (HFEndpointError, MemoryError, RuntimeError) as error:
            collected.stop(error)
        return collected.all()


async def acollect(
    make_call: MakeCall[RowT], texts: Iterable[str], output: Output[RowT, ResultT, AllT]
) -> AllT:
    """The async twin of `collect`."""
    checked = _checked(texts)
    if not checked:
        return output.of_none(make_call)
    collected = _Collected(len(checked), make_call(output.vector_format), output)
    with reported(*collected.state.call.followers):
        try:
            async with aclosing(arun(checked, collected.state)) as finished:
                async for text in finished:
                    collected.keep(text)
        except (HFEndpointError, MemoryError, RuntimeError) as error:
            collected.stop(error)
        return collected.all()


def query(make_call: MakeCall[Vector], text: str) -> Vector:
    """The vector of a query.

    Raises:
        InputError: The text cannot be embedded; nothing was sent.
        HFEndpointError: It was not.
    """
    check_text(text, 0)
    call = followed(make_call(LISTS), "embed_query")
    with reported(*call.followers):
        return run_query(text, call)


async def aquery(make_call: MakeCall[Vector], text: str) -> Vector:
    """The async twin of `query`."""
    check_text(text, 0)
    call = followed(make_call(LISTS), "embed_query")
    with reported(*call.followers):
        return await arun_query(text, call)


def stream(
    make_call: MakeCall[Array], texts: Iterable[str]
) -> Generator[EmbeddedChunk, None, None]:
    """Embedded chunks in order, within bounded memory."""
    _refuse_a_string(texts)
    return _stream(make_call, texts)


def _stream(
    make_call: MakeCall[Array], texts: Iterable[str]
) -> Generator[EmbeddedChunk, None, None]:
    state = _stream_state(make_call)
    failures = _Failures()
    with reported(*state.call.followers):
        try:
            for text in run(texts, state):
                if not failures.take(text):
                    yield from _embedded(text)
        except HFEndpointError as error:
            failures.fatal = error
        except Exception as error:  # noqa: BLE001 - what the iterable raised
            failures.raise_after(error)
        failures.raise_any()


def astream(
    make_call: MakeCall[Array], texts: Iterable[str] | AsyncIterable[str]
) -> AsyncGenerator[EmbeddedChunk, None]:
    """The async twin of `stream`."""
    if not isinstance(texts, AsyncIterable):
        _refuse_a_string(texts)
    return _astream(make_call, texts)


async def _astream(
    make_call: MakeCall[Array], texts: Iterable[str] | AsyncIterable[str]
) -> AsyncGenerator[EmbeddedChunk, None]:
    state = _stream_state(make_call)
    failures = _Failures()
    with reported(*state.call.followers):
        try:
            async with aclosing(arun(texts, state)) as finished:
                async for text in finished:
                    if not failures.take(text):
                        for embedded in _embedded(text):
                            yield embedded
        except HFEndpointError as error:
            failures.fatal = error
        except Exception as error:  # noqa: BLE001 - what the iterable raised
            failures.raise_after(error)
        failures.raise_any()


def _stream_state(make_call: MakeCall[Array]) -> Run[Array]:
    call = make_call(ARRAYS)
    bar = call.show_progress_bar
    return Run(followed(call, "stream_chunks", show_bar=bar, is_current=False), keep=False)


def known_dimensions(endpoint: Endpoint) -> int | None:
    """The dimensions of the vectors: as seen, else as asked for, else None."""
    asked, service = endpoint.task_settings.dimensions, endpoint.service_settings
    return session_for(service).server_state(service.model).dimensions(asked) or asked


@dataclass
class _Failures:
    """The texts of a call that failed, and what ended the call, if anything did."""

    of_text: dict[int, HFEndpointError] = field(default_factory=dict)
    fatal: HFEndpointError | None = None
    _passed: int = 0

    def take(self, text: PlannedText[RowT]) -> bool:
        """Note the text's failure; False where it has none."""
        if text.error is not None:
            self.of_text[text.index] = named(text.error, text.index)
            return True
        self._passed += 1
        return False

    def stop(self, error: Exception) -> None:
        """Note what ended the call; a defect is raised."""
        self.fatal = error if isinstance(error, HFEndpointError) else of_the_machine(error)
        if self.fatal is None:
            raise error

    def raise_any(self) -> None:
        """Raise what there is to raise about a stream, whose results are all out."""
        if self.of_text:
            raise EmbeddingError.of({}, self.of_text, yielded=self._passed)
        if self.fatal is not None:
            raise self.fatal

    def raise_after(self, error: Exception) -> NoReturn:
        """Raise what ended a stream from outside: its own error, in the context of the failures.

        Their texts are named nowhere else.
        """
        if not self.of_text:
            raise error
        failed = EmbeddingError.of({}, self.of_text, yielded=self._passed)
        failed.__context__ = error.__context__
        try:
            raise failed
        except EmbeddingError:
            raise error  # noqa: B904 - the failures are not why the source broke


class _Collected(_Failures, Generic[RowT, ResultT, AllT]):
    """The results of a call on a list of texts."""

    def __init__(
        self, count: int, call: EmbeddingCall[RowT], output: Output[RowT, ResultT, AllT]
    ) -> None:
        super().__init__()
        self._count = count
        self._call = call
        self._output = output
        rows = None if output.rows is None else output.rows(count)
        self._results: Rows[ResultT] = Rows() if rows is None else rows
        of_call: Rows[RowT] = Rows() if rows is None else rows  # type: ignore[assignment]
        bar, come_out = call.show_progress_bar, rows is None
        # Last: from here on it is `reported` that ends those who follow it.
        call = followed(call, output.operation, show_bar=bar)
        self.state = Run(call, None, of_call, all_come_out=come_out, plan_first=bar)

    def keep(self, text: PlannedText[RowT]) -> None:
        """Note the text's result, or its failure."""
        if not self.take(text):
            self._results.put([text.index], [self._output.of_text(text, self._call)])

    def all(self) -> AllT:
        """Every result, in order of the texts, or the error that names those that failed."""
        failed, results = self.of_text, self._results
        for number, error in self.state.rows.failures.items():
            if number >= 0:
                failed.setdefault(number, named(error, number))
        if self.fatal is not None:
            for index in range(self._count):
                if index not in results:
                    failed.setdefault(index, named(self.fatal, index))
        if not failed:
            return self._output.of_all(results, self._count)
        completed = {index: results[index] for index in range(self._count) if index in results}
        of_scores = self._call.query is not None
        raise EmbeddingError.of(completed, dict(sorted(failed.items())), of_scores=of_scores)


@contextmanager
def reported(*followers: Progress) -> Iterator[None]:
    """Tell those who follow a call when it is over, and what it failed with."""
    error: BaseException | None = None
    try:
        yield
    except GeneratorExit:  # a stream that its user has enough of did not fail
        raise
    except BaseException as raised:
        error = raised
        raise
    finally:
        for one in followers:
            one.close(error)


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
