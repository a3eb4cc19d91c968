"""Say what an ingest will take, without embedding anything: tokens, requests, minutes, bytes."""

from __future__ import annotations

import random
from bisect import bisect
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import orjson

from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.flow import takes_proof
from langchain_hf_endpoint._engine.preparation import cut_each, prepare
from langchain_hf_endpoint._engine.run import Run, fill
from langchain_hf_endpoint._engine.sources import Source
from langchain_hf_endpoint._engine.token_bounds import tokenize
from langchain_hf_endpoint._engine.usage import EmbeddingUsage
from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint
from langchain_hf_endpoint.chunking.tokenizer_file import counter_of_file
from langchain_hf_endpoint.cli.checkup.token_usage import seen_by_model
from langchain_hf_endpoint.cli.ingest.journal import Journal, Row, key_of
from langchain_hf_endpoint.cli.ingest.pipeline import ingest, journal_path, of_chunks, text_of
from langchain_hf_endpoint.cli.ingest.readers import Columns, Record
from langchain_hf_endpoint.cli.ingest.sources import Sources
from langchain_hf_endpoint.cli.ingest.writers import write_rows
from langchain_hf_endpoint.cli.progress import Stats
from langchain_hf_endpoint.limiter.reservation import burst_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.cli.ingest.pipeline import Ingest
    from langchain_hf_endpoint.cli.ingest.readers import Found

ItemT = TypeVar("ItemT")

_SAMPLE = 4096  # rows, and chunks of which tokens are counted
_MOST_PROBED = 32_768  # chunks: several batches at once for the widest server
_LONGEST_PROBE = 10.0  # seconds
_WORTH_NOTING = 1.0  # seconds that a probe waits for the limit
_MOST_TOKENIZING = 40  # requests
_NOTHING = np.empty(0, np.float32)
_HELD = "SELECT 1 FROM vectors WHERE key = ?"


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

    most: int = _SAMPLE
    count: int = 0
    items: list[ItemT] = field(default_factory=list)
    _chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def add(self, item: ItemT) -> None:
        self.count += 1
        place = self.count - 1 if self.count <= self.most else self._chance.randrange(self.count)
        if place < self.most:
            self.items[place : place + 1] = [item]


@dataclass(slots=True)
class _Plan:
    """What a run over some texts would send and write."""

    wanted: Ingest
    texts: int = 0
    chunks: int = 0
    known: int = 0  # chunks whose vectors are in the journal of an earlier run
    requests: int = 0
    proofs: int = 0  # requests with one input more, by which the model is told
    size: int = 0  # bytes of all inputs, as JSON
    inputs: _Sample[bytes] = field(default_factory=_Sample)
    rows: _Sample[Row] = field(default_factory=_Sample)  # without vectors

    def unknown(self, sources: Sources, call: Call) -> Generator[str, None, None]:
        """The chunks of all texts that have no vector, each once; all are counted."""
        path, seen = journal_path(self.wanted.output), set[int]()
        goes_on = self.wanted.resume and path.exists()
        with (
            closing(sources.records()) as records,
            Journal(path) if goes_on else nullcontext() as journal,
        ):
            for record, pieces in cut_each(records, text_of, call):
                if isinstance(record, Record):
                    self._add(record, pieces)
                for piece in pieces:
                    if (key := hash(piece.text)) in seen:
                        continue
                    seen.add(key)
                    if journal is not None and any(journal.rows(_HELD, key_of(piece.text))):
                        self.known += 1
                    else:
                        yield piece.text

    @property
    def needs_model(self) -> bool:
        """Whether it is to be known which model it is: to look vectors up, or to get some."""
        return self.wanted.cache is not None or self.requests > 0

    def _add(self, record: Record, pieces: Sequence[Chunk]) -> None:
        self.texts += 1
        self.chunks += len(pieces)
        name, source = record.id, record.source
        if self.wanted.per == "text":
            self.rows.add(Row(name, source, None, None, None, record.text, _NOTHING))
            return
        for number, piece in enumerate(pieces):
            place = (number, piece.start, piece.end)
            self.rows.add(Row(name, source, *place, piece.text, _NOTHING))

    def send(self, inputs: Sequence[bytes], call: Call) -> None:
        self.requests += 1
        self.proofs += takes_proof(len(inputs), call)
        for one in inputs:
            self.inputs.add(one)
            self.size += len(one)


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
    usage = EmbeddingUsage()
    plan = _Plan(wanted, inputs=_Sample(_MOST_PROBED if probe else _SAMPLE))
    cutting = wanted.call(usage)
    call, driver = of_chunks(cutting), ThreadDriver(cutting.sync_transport())
    driver.run(prepare(cutting))
    # A run knows the model by a text more in its requests; here it may be any.
    state = Run(replace(call, expected_fingerprint=ModelFingerprint(0, ())), keep=False)
    state.begin()
    with closing(plan.unknown(sources, cutting)) as texts:
        source = Source(texts)
        while not state.is_over(source):
            fill(source, state, driver)
            while (batch := state.next_batch(source, is_idle=False)) is not None:
                plan.send(batch.inputs, state.call)
                state.planner.settle(batch.numbers, [_NOTHING] * len(batch.numbers))
            state.planner.finished()
    if source.error is not None:
        raise source.error
    # Before them the server is asked what it is, and for its model's fingerprint.
    requests = plan.requests + call.server.asked_for_info + plan.needs_model
    inputs = plan.inputs
    rate = wanted.endpoint.service_settings.rate_limit.requests_per_minute
    limit_seconds = requests * 60 / rate if requests > burst_of(rate, None) else 0.0
    server_seconds = None
    if probe and inputs.count:
        server_seconds = _server_seconds(plan, call, limit_seconds)
    tokens, counted, by_tokenizer = _tokens(plan, call, driver)
    return Estimate(
        texts=plan.texts,
        chunks=plan.chunks,
        repeats=plan.chunks - plan.known - usage.cache_hits - inputs.count,
        known=plan.known,
        cached=usage.cache_hits,
        embedded=inputs.count,
        requests=requests,
        tokens=tokens,
        chunks_counted=counted,
        tokens_counted=by_tokenizer,
        limit_seconds=limit_seconds,
        server_seconds=server_seconds,
        bytes=_bytes(wanted, plan.rows, call),
    )


class _Pace(Stats):
    """Notes when inputs were done."""

    def __init__(self) -> None:
        super().__init__()
        self.done_at = [self.clock()]

    def done(self, inputs: int) -> None:
        super().done(inputs)
        self.done_at += [self.clock()] * inputs


class _SampleFile(Sources):
    """A sample of what is to be sent, which ends when a probe has taken its time."""

    def __init__(self, path: Path, pace: _Pace) -> None:
        super().__init__([str(path)], Columns())
        self._pace = pace

    def records(self) -> Generator[Found, None, None]:
        for record in super().records():
            if self._pace.seconds > _LONGEST_PROBE:
                return
            yield record


def _server_seconds(plan: _Plan, call: Call, limit_seconds: float) -> float | None:
    """How long all inputs take, by an ingest of a sample of them; None where there are no vectors.

    Its pace counts from half of the time on, when it has found it. Where the limit held it back,
    all that is known of the server is that it is no slower than that.
    """
    pace = _Pace()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sample.jsonl"
        texts = (orjson.loads(one)[len(call.prompt) :] for one in plan.inputs.items)
        path.write_bytes(b"".join(orjson.dumps({"text": one}) + b"\n" for one in texts))
        output = path.with_name(plan.wanted.output.name)
        wanted = replace(plan.wanted, output=output, resume=False, cache=None)
        ingest(wanted, _SampleFile(path, pace), pace)
        writing = pace.clock() - pace.done_at[-1]
    start = bisect(pace.done_at, (pace.done_at[0] + pace.done_at[-1]) / 2) - 1
    done = len(pace.done_at) - 1 - start
    if not done:
        return None
    each = (pace.done_at[-1] - pace.done_at[start]) / done + writing / (len(pace.done_at) - 1)
    seconds = each * plan.inputs.count
    return min(seconds, limit_seconds) if pace.limiter_wait_seconds > _WORTH_NOTING else seconds


def _tokens(plan: _Plan, call: Call, driver: ThreadDriver) -> tuple[int | None, int, int]:
    """The tokens of all inputs, of how many they were counted, and the tokens counted here."""
    if not plan.needs_model:
        return 0, 0, 0
    most = call.server.max_input_tokens
    counter = None if call.tokenizer is None else counter_of_file(call.tokenizer)
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
