"""Finished texts gathered into a list of results, or into the error that names those that failed.

It knows which texts failed and which results are there. It must not know what a result is.
"""

from __future__ import annotations

from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

from langchain_hf_endpoint._engine.failures import named, of_the_machine
from langchain_hf_endpoint._engine.run import afinished_texts, finished_texts
from langchain_hf_endpoint.errors import EmbeddingError, HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.planner import PlannedText
    from langchain_hf_endpoint._engine.run import Job

RowT = TypeVar("RowT")
ResultT = TypeVar("ResultT")


class Failures:
    """The texts of a call that failed, and what ended the call, if anything did."""

    def __init__(self) -> None:
        self.of_text: dict[int, HFEndpointError] = {}
        self._passed = 0
        self.fatal: HFEndpointError | None = None

    def take(self, text: PlannedText[RowT]) -> bool:
        """Note the text's failure; False where it has none."""
        error = text.failure()
        if error is not None:
            self.of_text[text.index] = named(error, text.index)
        else:
            self._passed += 1
        return error is not None

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


def gather(
    texts: list[str], job: Job[RowT], make: Callable[[PlannedText[RowT]], ResultT]
) -> list[ResultT]:
    """Run a call on a list of texts and make a result of each.

    Raises:
        EmbeddingError: Some failed; the results of the others are in it.
    """
    gathered = _Gathered(len(texts), make)
    with reported(job.progress):
        try:
            for text in finished_texts(texts, job):
                gathered.take(text)
        except (HFEndpointError, MemoryError, RuntimeError) as error:
            gathered.failures.stop(error)
        return gathered.all()


async def agather(
    texts: list[str], job: Job[RowT], make: Callable[[PlannedText[RowT]], ResultT]
) -> list[ResultT]:
    """The async twin of `gather`."""
    gathered = _Gathered(len(texts), make)
    with reported(job.progress):
        try:
            async with aclosing(afinished_texts(texts, job)) as finished:
                async for text in finished:
                    gathered.take(text)
        except (HFEndpointError, MemoryError, RuntimeError) as error:
            gathered.failures.stop(error)
        return gathered.all()


class _Gathered(Generic[RowT, ResultT]):
    """The results of a call on a list of texts."""

    def __init__(self, count: int, make: Callable[[PlannedText[RowT]], ResultT]) -> None:
        self._count = count
        self._make = make
        self._results: dict[int, ResultT] = {}
        self.failures = Failures()

    def take(self, text: PlannedText[RowT]) -> None:
        if not self.failures.take(text):
            self._results[text.index] = self._make(text)

    def all(self) -> list[ResultT]:
        """Every result, in order of the texts, or the error that names those that failed."""
        failed, fatal = self.failures.of_text, self.failures.fatal
        if fatal is not None:
            for index in range(self._count):
                if index not in self._results:
                    failed.setdefault(index, named(fatal, index))
        if failed:
            raise EmbeddingError.of(self._results, failed)
        return list(self._results.values())


@contextmanager
def reported(progress: Progress | None) -> Iterator[None]:
    """Tell whoever follows the call when it is over, and what it failed with."""
    error: BaseException | None = None
    try:
        yield
    except GeneratorExit:  # a stream that its user has enough of did not fail
        raise
    except BaseException as raised:
        error = raised
        raise
    finally:
        if progress is not None:
            progress.close(error)
