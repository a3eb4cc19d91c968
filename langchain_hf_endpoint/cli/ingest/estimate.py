"""Say what an ingest will take, without embedding anything: tokens, requests, minutes, bytes."""

from __future__ import annotations

import random
import time
from bisect import bisect
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import orjson

from langchain_hf_endpoint._engine.actions import Progress
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.chunk_cache import look_up
from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.planner import BatchBounds, Planner
from langchain_hf_endpoint._engine.preparation import cut_each, prepare
from langchain_hf_endpoint._engine.run import Run, run
from langchain_hf_endpoint._engine.vectors import ARRAYS, Rows
from langchain_hf_endpoint._session.fingerprint import TEXTS
from langchain_hf_endpoint.cache import ChunkCache
from langchain_hf_endpoint.chunking.tokenizer_file import counter_of_file
from langchain_hf_endpoint.cli.checkup.token_usage import seen_by_model, tokenize
from langchain_hf_endpoint.cli.ingest.journal import Journal, Row, key_of
from langchain_hf_endpoint.cli.ingest.pipeline import journal_path, text_of
from langchain_hf_endpoint.cli.ingest.readers import Record
from langchain_hf_endpoint.cli.ingest.writers import write_rows
from langchain_hf_endpoint.limiter.reservation import burst_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.cli.ingest.pipeline import Ingest
    from langchain_hf_endpoint.cli.ingest.sources import Sources

ItemT = TypeVar("ItemT")

_SAMPLE = 4096  # chunks, and rows
_LONGEST_PROBE = 10.0  # seconds
_MOST_TOKENIZING = 40  # requests
_NOTHING = np.empty(0, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What an ingest will take, if nothing has to be tried again; None for what cannot be told."""

    texts: int
    chunks: int
    repeats: int  # chunks that are not sent since an equal one is
    known: int  # chunks whose vectors an earlier run has received
    cached: int  # chunks whose vectors are in the cache
    embedded: int  # chunks that are sent
    requests: int
    tokens: int | None
    chunks_counted: int  # of so many chunks; those of the others follow from these
    tokens_counted: int  # how many of the tokens were counted with the tokenizer
    limit_seconds: float  # that the limit of requests makes it take at least
    server_seconds: float | None  # that it takes at the pace of a probe
    bytes: int | None  # of the output

    @property
    def seconds(self) -> float:
        """How long it takes; at least, where the pace of the server is not known."""
        return max(self.limit_seconds, self.server_seconds or 0.0)


@dataclass(slots=True)
class _Sample(Generic[ItemT]):
    """Some of many items, each as likely as any other; the same in each run."""

    count: int = 0
    items: list[ItemT] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def add(self, item: ItemT) -> None:
        """One more."""
        self.count += 1
        place = self.count - 1 if self.count <= _SAMPLE else self._chance.randrange(self.count)
        if place < _SAMPLE:
            self.items[place : place + 1] = [item]


class _Pace(Progress):
    """Notes when inputs were done."""

    def __init__(self) -> None:
        self._done_at = [time.monotonic()]

    def done(self, inputs: int) -> None:
        """So many are."""
        self._done_at += [time.monotonic()] * inputs

    @property
    def seconds(self) -> float:
        """How long it goes on so far."""
        return time.monotonic() - self._done_at[0]

    def seconds_for(self, inputs: int) -> float:
        """How long so many take, at the pace since half of the time, when it had found its own."""
        begun, *_, end = times = self._done_at
        start = bisect(times, (begun + end) / 2) - 1
        return (end - times[start]) / (len(times) - 1 - start) * inputs


def estimate(wanted: Ingest, sources: Sources, *, probe: bool) -> Estimate:
    """Read the sources as an ingest does, cut and batch their texts, and send none of them.

    The server is asked what it is, and for the tokens of a sample; where there is a cache, also for
    the model's fingerprint.

    Args:
        wanted: The ingest.
        sources: They are read to their end.
        probe: Whether a sample is embedded after all, to see the pace of the server.

    Raises:
        HFEndpointError: The server cannot be reached.
    """
    cache = None if wanted.cache is None else ChunkCache(wanted.cache)
    cutting = EmbeddingCall.for_documents(wanted.endpoint, ARRAYS, cache=cache)
    cutting = replace(cutting, expected_fingerprint=None)
    driver = ThreadDriver(cutting.sync_transport())
    driver.run(prepare(cutting))
    call = replace(cutting, chunking=None).of_this_model()
    with closing(sources.records()) as records, _known(wanted) as is_known:
        plan = _Plan(wanted, call, driver, is_known)
        for record, pieces in cut_each(records, text_of, cutting):
            if isinstance(record, Record):
                plan.add(record, pieces)
    requests, inputs = plan.requests(), plan.inputs
    # Before them the server is asked what it is, and for its model's fingerprint.
    if requests:
        requests += 1 + call.server.asked_for_info
    pace = _Pace()
    if probe and inputs.count:
        texts = [orjson.loads(one)[len(call.prompt) :] for one in inputs.items]
        for _ in run(texts, Run(replace(call, cache=None, progress=pace), keep=False)):
            if pace.seconds > _LONGEST_PROBE:
                break
    tokens, counted, by_tokenizer = _tokens(plan, call, driver)
    rate = wanted.endpoint.service_settings.rate_limit.requests_per_minute
    return Estimate(
        texts=plan.texts,
        chunks=plan.chunks,
        repeats=plan.chunks - plan.known - plan.cached - inputs.count,
        known=plan.known,
        cached=plan.cached,
        embedded=inputs.count,
        requests=requests,
        tokens=tokens,
        chunks_counted=counted,
        tokens_counted=by_tokenizer,
        limit_seconds=requests * 60 / rate if requests > burst_of(rate, None) else 0.0,
        server_seconds=pace.seconds_for(inputs.count) if probe and inputs.count else None,
        bytes=_bytes(wanted, plan.rows, call),
    )


@contextmanager
def _known(wanted: Ingest) -> Iterator[Callable[[str], bool]]:
    """Says whether the vector of a chunk is there from before: in the journal of an earlier run."""
    path = journal_path(wanted.output)
    if not (wanted.resume and path.exists()):
        yield lambda _: False
        return
    with Journal(path) as journal:
        held = "SELECT 1 FROM vectors WHERE key = ?"
        yield lambda text: next(journal.rows(held, key_of(text)), None) is not None


class _Plan:
    """Counts what a run over some texts would send and write.

    Attributes:
        texts: Texts so far.
        chunks: Their chunks.
        known: Chunks whose vectors are there from before.
        cached: Chunks that the cache has.
        inputs: Those that are to be sent, as JSON.
        proofs: Requests with one input more, by which the model is told.
        size: Their bytes.
        rows: The rows of the output, without vectors.
    """

    def __init__(
        self, wanted: Ingest, call: Call, driver: ThreadDriver, is_known: Callable[[str], bool]
    ) -> None:
        self._wanted, self._is_known = wanted, is_known
        self._call, self._driver = call, driver
        size = call.server.batch_size(call.service.max_batch_size)
        # By one input more in a request the model is told: of one too, where vectors are kept.
        self._proof = call.options.prompt_name is None and size > 1
        self._least = 2 if call.cache is None else 1
        bounds = BatchBounds(size - self._proof, call.server.body_bytes)
        self._planner = Planner[None](None, call.prompt, lambda: bounds, Rows(), keep=False)
        self._seen: set[int] = set()
        self._requests = 0
        self.texts = self.chunks = self.known = self.cached = self.size = self.proofs = 0
        self.inputs, self.rows = _Sample[bytes](), _Sample[Row]()

    def add(self, record: Record, pieces: Sequence[Chunk]) -> None:
        """One more text."""
        by_chunk, name, source = self._wanted.per == "chunk", record.id, record.source
        self.texts += 1
        if not by_chunk:
            self.rows.add(Row(name, source, None, None, None, record.text, _NOTHING))
        for number, piece in enumerate(pieces):
            self.chunks += 1
            if by_chunk:
                place = (number, piece.start, piece.end)
                self.rows.add(Row(name, source, *place, piece.text, _NOTHING))
            if (key := hash(piece.text)) not in self._seen:
                self._seen.add(key)
                self._send(piece.text)

    def requests(self) -> int:
        """How many there are, now that all texts are in."""
        self._take_batches(more_to_come=False)
        return self._requests

    def _send(self, text: str) -> None:
        if self._is_known(text):
            self.known += 1
            return
        self._planner.add([text])
        if self._planner.room <= 0:
            self._take_batches(more_to_come=True)

    def _take_batches(self, *, more_to_come: bool) -> None:
        if self._call.cache is not None:
            numbers, _ = self._driver.run(look_up(self._planner.newest(), self._call))
            self._planner.settle_found(numbers, [None] * len(numbers))
            self.cached += len(numbers)
        while (batch := self._planner.next_batch(more_to_come=more_to_come)) is not None:
            self._requests += 1
            self.proofs += self._proof and len(batch.inputs) >= self._least
            for one in batch.inputs:
                self.inputs.add(one)
                self.size += len(one)
            self._planner.settle(batch.numbers, [None] * len(batch.numbers))
        self._planner.finished()


def _tokens(plan: _Plan, call: Call, driver: ThreadDriver) -> tuple[int | None, int, int]:
    """The tokens of all inputs, of how many they were counted, and the tokens counted here."""
    most, counter = call.server.max_input_tokens, None
    if call.tokenizer is not None:
        counter = counter_of_file(call.tokenizer)
    first = TEXTS[: call.server.batch_size(call.service.max_batch_size)]
    size = call.server.batch_size(None)
    rate = call.service.rate_limit.requests_per_minute
    # Each request takes a permit, for which nobody should wait long.
    asked = size * min(_MOST_TOKENIZING, max(1, rate // 10)) - len(first)
    count = min(len(plan.inputs.items), _SAMPLE if counter else asked)
    inputs = random.Random(0).sample(plan.inputs.items, count)  # noqa: S311 - no secret
    sent = [*first, *map(orjson.loads, inputs)]
    counts: list[int] = []
    for start in range(0, len(sent), size):
        some = sent[start : start + size]
        if counter is not None:
            counts += [counter.marks + one for one in counter.of_texts(some)]
            continue
        seen = some if most is None else [seen_by_model(text, "", most) for text in some]
        if (told := driver.run(tokenize(seen, call))) is None:
            return None, 0, 0
        counts += [one.count for one in told]
    counts = [min(one, most or one) for one in counts]
    of_inputs = sum(counts[len(first) :])
    measured = sum(map(len, inputs))
    of_model = sum(counts) - of_inputs + counts[0] * plan.proofs
    tokens = of_model + round(of_inputs * plan.size / max(1, measured))
    return tokens, len(inputs), of_model + of_inputs if counter else 0


def _bytes(wanted: Ingest, rows: _Sample[Row], call: Call) -> int | None:
    """The size of the output, from that of a sample of its rows with vectors made up."""
    width = call.server.dimensions(call.task.dimensions) or call.task.dimensions
    if width is None and (expected := wanted.endpoint.expected_fingerprint) is not None:
        width = expected.dimensions
    if width is None or not rows.items:
        return None
    chance = np.random.default_rng(0)
    vectors = chance.standard_normal((len(rows.items), width), np.float32) / width**0.5
    made = [
        replace(row, embedding=vector, text=row.text if wanted.with_text else None)
        for row, vector in zip(rows.items, vectors, strict=True)
    ]
    with TemporaryDirectory() as folder:
        path = Path(folder) / wanted.output.name
        write_rows(path, made, count=len(made), dimensions=width, about={})
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return round(size / len(made) * rows.count)
