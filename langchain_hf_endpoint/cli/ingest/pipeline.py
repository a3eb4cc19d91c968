"""Embed all texts of the sources into the output: only what the journal does not hold is sent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.model_fingerprint import fetch_fingerprint, verify_model
from langchain_hf_endpoint._engine.preparation import cut_each, prepare
from langchain_hf_endpoint._engine.run import Run, run
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint._session.fingerprint import ModelFingerprint
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.cache import ChunkCache
from langchain_hf_endpoint.cli.ingest.journal import (
    IDS_REPEATED,
    TEXTS_UNSENT,
    Journal,
    Per,
    count_rows,
    failed_texts,
    key_of,
    rows_per_chunk,
    rows_per_text,
)
from langchain_hf_endpoint.cli.ingest.readers import Unreadable
from langchain_hf_endpoint.cli.ingest.writers import check_output, ids_path, write_jsonl, write_rows
from langchain_hf_endpoint.errors import HFEndpointError, ModelChangedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.cli.ingest.readers import Record
    from langchain_hf_endpoint.cli.ingest.sources import Sources
    from langchain_hf_endpoint.cli.progress import Stats
    from langchain_hf_endpoint.endpoint import InferenceEndpoint

    Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ingest:
    """What is to be done.

    Raises:
        SettingsError: The output has none of the endings, its folder is not there, or the cache is
            one of the files that are written with it.
        HFEndpointError: The format's package is not installed.
    """

    endpoint: InferenceEndpoint
    output: Path  # its ending says in which format
    per: Per = "chunk"
    with_text: bool = True  # rows hold the text
    resume: bool = False  # what an earlier run left may be gone on with
    cache: Path | None = None  # where vectors of other runs are

    def __post_init__(self) -> None:
        check_output(self.output)
        if self.cache and self.cache.resolve() in [one.resolve() for one in files_of(self.output)]:
            problem = f"{self.cache} is a file that --output {self.output} writes"
            raise SettingsError(("--cache", problem), advice="Choose another name.")

    def call(self, progress: Progress) -> EmbeddingCall[Array]:
        """A call that cuts texts. The model is compared when something is to be sent."""
        cache = None if self.cache is None else ChunkCache(self.cache)
        call = EmbeddingCall.for_documents(self.endpoint, ARRAYS, cache=cache)
        return replace(call, expected_fingerprint=None, followers=(progress,))


def of_chunks(cutting: EmbeddingCall[Array]) -> EmbeddingCall[Array]:
    """A call for the chunks of another as they are, of which nothing is to be cut off."""
    service = cutting.service
    if cutting.bounds_tokens:
        service = service.model_copy(update={"max_input_tokens": None})
    return replace(cutting, chunking=None, service=service)


@dataclass(frozen=True, slots=True)
class Summary:
    """What was done."""

    texts: int  # that were read, those that failed included
    failed: int  # those that are not in the output, for a reason of their own
    chunks: int
    embedded: int  # inputs, by this run
    rows: int
    dimensions: int | None  # None where there are no vectors
    output: Path | None  # None where no text has a vector
    failures: Path | None  # where the failures are told
    was_complete: bool = False  # an earlier run had left nothing to do
    unsent: int = 0  # texts that are not in the output because `error` came first
    repeated_ids: int = 0  # ids that stand for more than one text
    error: HFEndpointError | None = None  # what ended the run before all texts were read


def journal_path(output: Path) -> Path:
    """Where the journal of an output is."""
    return output.with_name(output.name + ".journal")


def failures_path(output: Path) -> Path:
    """Where the texts that are not in an output are told."""
    return output.with_name(output.name + ".failures.jsonl")


def files_of(output: Path, cache: Path | None = None) -> list[Path]:
    """All files that an ingest writes."""
    databases = [journal_path(output), *([] if cache is None else [cache])]
    files = [one.with_name(one.name + end) for one in databases for end in ("", "-wal", "-shm")]
    return [output, *files, failures_path(output), ids_path(output)]


def ingest(wanted: Ingest, sources: Sources, stats: Stats) -> Summary:
    """Embed all texts of the sources into the output.

    After an error, Ctrl-C, a kill or a power cut the journal beside the output holds what was
    received; with `resume` it is gone on with. It is deleted when every text is in the output, and
    where nothing was received. An endpoint that gives up on the way ends the run early: the output
    has what was received until then.

    Raises:
        SettingsError: Something is wrong that can be known before anything is sent.
        HFEndpointError: Nothing was received, the journal cannot be written, or its vectors are
            of another model.
    """
    path = journal_path(wanted.output)
    if wanted.output.exists() and not path.exists():
        if wanted.resume:
            return Summary(0, 0, 0, 0, 0, None, wanted.output, None, was_complete=True)
        raise SettingsError(
            ("--output", f"{wanted.output} exists"), advice="Delete it, or choose another name."
        )
    if path.exists() and not wanted.resume:
        raise SettingsError(
            ("--output", f"{path} was left by a run that did not end well"),
            advice="Go on with --resume, or delete it to begin anew.",
        )
    is_needed = True
    try:
        with Journal(path) as journal:
            try:
                summary = _Embedding(wanted, journal, stats).summary(sources)
                is_needed = summary.failed > 0 or summary.error is not None
            finally:
                is_needed = is_needed and journal.holds_vectors
    finally:
        # By now the output, if there is any, is whole on the disk. A kill before this leaves both
        # files, and --resume finds nothing to send.
        if not is_needed:
            Journal(path).delete()
    return summary


class _Embedding:
    """One run over the journal."""

    def __init__(self, wanted: Ingest, journal: Journal, stats: Stats) -> None:
        self._wanted = wanted
        self._journal = journal
        self._stats = stats
        self._asked: dict[int, bytes] = {}
        self._next = 0
        self._pending: set[bytes] = set()
        self._embedded = 0
        # Chunks are cut here, so that a long text whose chunks are known in part costs the rest.
        self._call = wanted.call(stats)
        self._driver = ThreadDriver(self._call.sync_transport())
        self._state: Run[Array] = Run(of_chunks(self._call), self._received, keep=False)

    def summary(self, sources: Sources) -> Summary:
        """Get every vector that is missing, and write what there is.

        Raises:
            HFEndpointError: The endpoint refuses the first texts already, or has another model than
            the journal.
        """
        error = None
        try:
            self._embed(sources)
        except HFEndpointError as raised:
            if raised is not self._state.fatal or not self._journal.holds_vectors:
                raise
            error = raised
        return self._written(error)

    def _embed(self, sources: Sources) -> None:
        driver = self._driver
        driver.run(prepare(self._call))
        # By now the server has said what it is, on which the prompt depends.
        self._journal.begin(self._about())
        # Closed here: whatever ends the run, the file that is open is closed with it.
        with closing(self._missing(sources)) as missing:
            if first := list(islice(missing, 1)):
                self._compare_model(driver)
            for text in run(chain(first, missing), self._state):
                key = self._asked.pop(text.index)
                self._pending.discard(key)
                if text.error is not None and not self._is_of_the_call(text.error):
                    self._journal.reject(key, text.error)

    def _compare_model(self, driver: ThreadDriver) -> None:
        """See that it is the model of the vectors in the journal, or note which it is.

        From here on no other is accepted.
        """
        state, kept = self._state, self._journal.about("fingerprint")
        try:
            found = driver.run(fetch_fingerprint(state.call))
            expected = self._wanted.endpoint.expected_fingerprint or found
            if isinstance(kept, str):
                expected = ModelFingerprint.from_bytes(bytes.fromhex(kept))
            state.call = replace(state.call, expected_fingerprint=expected)
            driver.run(verify_model(state.call))
        except ModelChangedError:
            raise  # nothing was begun, and nothing is written anew
        except HFEndpointError as error:
            state.fatal = error
            raise
        if kept is None:
            self._journal.note("fingerprint", found.to_bytes().hex())

    def _is_of_the_call(self, error: HFEndpointError) -> bool:
        """Whether it says nothing of the text: the call ended before the text was sent, or with it.

        Others that were under way then met the like.
        """
        fatal = self._state.fatal
        return fatal is not None and (
            error is fatal or (type(error), error.status) == (type(fatal), fatal.status)
        )

    def _received(self, numbers: Sequence[int], vectors: Sequence[Array]) -> None:
        self._journal.keep([self._asked[number] for number in numbers], vectors)
        self._embedded += len(numbers)

    def _missing(self, sources: Sources) -> Generator[str, None, None]:
        """The chunks of all records that have no vector and were not asked for."""
        with closing(sources.records()) as records:
            for record, pieces in cut_each(records, text_of, self._call):
                self._stats.read(sources.fraction)
                whole = self._wanted.with_text
                number = self._journal.add_record(record, with_text=whole)
                yield from self._missing_of(pieces, number)

    def _missing_of(self, pieces: Sequence[Chunk], number: int) -> Iterator[str]:
        keys = [key_of(piece.text) for piece in pieces]
        # All of them before the first is out: a run that ends early has no text in parts.
        for place, (piece, key) in enumerate(zip(pieces, keys, strict=True)):
            self._journal.add_chunk(number, place, piece, key)
        for piece, key in zip(pieces, keys, strict=True):
            # Equal chunks are embedded once, whatever files and rows they stand in.
            if key in self._pending or self._journal.has(key):
                self._stats.found()
                continue
            self._pending.add(key)
            self._asked[self._next] = key
            self._next += 1
            yield piece.text

    def _about(self) -> dict[str, object]:
        """What the vectors depend on beside their texts."""
        service, task = self._wanted.endpoint.service_settings, self._wanted.endpoint.task_settings
        info = self._state.call.server.info
        return {
            "host": host_of(service.url),
            # Of several models at one host only the path may tell which it is.
            "path": None if info and info.model_id else urlsplit(service.url).path,
            "model": info.model_id if info else None,
            "prompt": self._state.call.prompt,
            "prompt_name": task.document_prompt_name,
            "truncate": task.truncate,
            "normalize": task.normalize,
        }

    def _written(self, error: HFEndpointError | None) -> Summary:
        """Write the output and the list of failures out of the journal."""
        wanted, journal = self._wanted, self._journal
        # First of all: where the output cannot be written, what was paid for is kept.
        journal.commit(force=True)
        count = count_rows(journal, wanted.per)
        dimensions = journal.about("dimensions")
        if count and isinstance(dimensions, int):
            normalize = wanted.endpoint.task_settings.normalize
            rows = (
                rows_per_chunk(journal)
                if wanted.per == "chunk"
                else rows_per_text(journal, normalize=normalize)
            )
            chunking = wanted.endpoint.chunking_settings.public_config()
            about = {
                **self._about(),
                "per": wanted.per,
                "chunking_settings": chunking,
                "fingerprint": journal.about("fingerprint"),
            }
            write_rows(wanted.output, rows, count=count, dimensions=dimensions, about=about)
        failed = self._write_failures()
        return Summary(
            texts=journal.count("SELECT count(*) FROM records"),
            failed=failed,
            chunks=journal.count("SELECT count(*) FROM chunks"),
            embedded=self._embedded - self._stats.cache_hits,
            rows=count,
            dimensions=dimensions if isinstance(dimensions, int) else None,
            output=wanted.output if count else None,
            failures=failures_path(wanted.output) if failed else None,
            unsent=journal.count(TEXTS_UNSENT),
            repeated_ids=journal.count(IDS_REPEATED),
            error=error,
        )

    def _write_failures(self) -> int:
        path = failures_path(self._wanted.output)
        count = 0

        def lines() -> Iterator[dict[str, object]]:
            nonlocal count
            for text in failed_texts(self._journal):
                count += 1
                yield {name: value for name, value in asdict(text).items() if value is not None}

        write_jsonl(path, lines())
        if not count:
            path.unlink()
        return count


def text_of(record: Record | Unreadable) -> str:
    """The text to cut; that of an unreadable one has no chunk."""
    return "" if isinstance(record, Unreadable) else record.text
