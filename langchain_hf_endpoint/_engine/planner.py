"""From texts to batches, and from the rows of batches back to texts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, TypeVar

import orjson

from langchain_hf_endpoint.chunking.chunks import Chunk, cut, is_one_chunk
from langchain_hf_endpoint.errors import HFEndpointError, InputError, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from langchain_hf_endpoint._engine.vectors import Rows
    from langchain_hf_endpoint.chunking.tokens import TokenBound
    from langchain_hf_endpoint.settings import ChunkingSettings

RowT = TypeVar("RowT")

LOOK_AHEAD = 16
"""Batches that are gathered before they are cut, so that inputs of like lengths meet."""

_MOST_NAMED = 5  # texts of which chunks are too long


@dataclass(slots=True)
class PlannedText(Generic[RowT]):
    """One text of the call."""

    index: int  # which one
    chunks: Sequence[Chunk]  # its pieces
    numbers: Sequence[int]  # the inputs that stand for them
    error: HFEndpointError | None = None  # what befell it, if anything
    # The vectors of the pieces, once it is finished without an error; no two texts share one.
    rows: list[RowT] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one request, as JSON, and their numbers."""

    numbers: Sequence[int]
    inputs: Sequence[bytes]


@dataclass(slots=True)
class BatchBounds:
    """How large a batch may be at present."""

    inputs: int
    body_bytes: int


@dataclass(slots=True)
class Planner(Generic[RowT]):
    """The open books of one call: texts come in, batches go out, rows come in, texts go out.

    An input is a unique string that goes to the server. Its number is the index of the first text
    that it is the whole of, or negative where it is a part of longer texts only.

    Args:
        chunking: How texts are cut; None leaves them whole, outer blanks included.
        prompt: Text put before every chunk.
        longest: Characters of an input at most, without the prompt; None: of any length.
        bounds: How large a batch may be, asked for at every cut.
        rows: Takes the vectors of inputs, and their errors, by their numbers.
        keep: Whether rows are kept for later texts that are the same (a list, whose texts were
            checked), or dropped as soon as the text that they belong to is out (a stream of any
            length, whose texts are checked here).
        all_come_out: Whether `finished` has every text. Else those are left out that are an input
            of their own: what they came to is in `rows`, by their index.
        look_ahead: Batches to gather before they are cut.
        chunks_planned: How many chunks there are so far.
        inputs_planned: How many of them are inputs: the others are like one of those.
        bound: How many tokens a chunk of the next texts may have.
        reads: How many tokens of an input the model reads, where that is known.
        too_long: How many chunks surely have more.
    """

    chunking: ChunkingSettings | None
    prompt: str
    bounds: Callable[[], BatchBounds]
    rows: Rows[RowT]
    keep: bool = True
    all_come_out: bool = True
    longest: int | None = None
    look_ahead: float = LOOK_AHEAD
    chunks_planned: int = 0
    inputs_planned: int = 0
    bound: TokenBound | None = None
    reads: int | None = None
    too_long: int = 0
    _too_long_of: list[int] = field(default_factory=list)  # texts, one more than are named
    _numbers: dict[str, int] = field(default_factory=dict)  # by the input without its prompt
    _wanted: dict[int, int] = field(default_factory=dict)  # of a stream: by how many chunks
    _open: set[int] = field(default_factory=set)  # have neither row nor error
    _unsent: list[tuple[int, bytes]] = field(default_factory=list)
    _ready: list[tuple[int, bytes]] = field(default_factory=list)  # the next one is the last
    _texts: deque[PlannedText[RowT]] = field(default_factory=deque)
    _next_index: int = 0
    _next_part: int = -1
    _looked_up: int = 0
    _seen_done: int = 0

    def add(self, texts: Iterable[str]) -> None:
        """Cut the next texts and note which of their chunks are new."""
        chunking, bound, reads = self.chunking, self.bound, self.reads
        # Characters of a chunk that may be too long: as many words take as many, each has a token.
        least = float("inf") if reads is None else 2 * reads
        for text in texts:
            index = self._next_index
            self._next_index += 1
            try:
                if not self.keep:
                    check_text(text, index)
                if chunking is None or is_one_chunk(text, chunking, bound):
                    if len(text) >= least:
                        self._look_at_length(index, text)
                    number = self._number(text, index)
                    if number != index or self.all_come_out:
                        chunks: Sequence[Chunk] = (Chunk(text, 0, len(text)),)
                        self._texts.append(PlannedText(index, chunks, (number,)))
                    continue
                chunks = cut(text, chunking, bound)
            except HFEndpointError as error:
                self._texts.append(PlannedText(index, (), (), error))
                continue
            for one in chunks:
                if len(one.text) >= least:
                    self._look_at_length(index, one.text)
            self._texts.append(PlannedText(index, chunks, [self._part(one.text) for one in chunks]))

    def _look_at_length(self, index: int, text: str) -> None:
        """Note a chunk that surely has more tokens than the model reads."""
        reads, bound = self.reads or 0, self.bound
        if bound is None:
            tokens = len(text.split())
        else:
            tokens = bound.counter.of_texts([text])[0] if bound.tokens > reads else 0
        if tokens > reads:
            self.too_long += 1
            if index not in self._too_long_of[-1:] and len(self._too_long_of) <= _MOST_NAMED:
                self._too_long_of.append(index)

    def said_of_length(self) -> str:
        """What there is to say of chunks that are too long."""
        named = ", ".join(map(str, self._too_long_of[:_MOST_NAMED]))
        more = ", …" if len(self._too_long_of) > _MOST_NAMED else ""
        of_texts = f" (of the texts {named}{more})" if self.chunking else ""
        return (
            f"reads {self.reads:,} tokens of an input, and {self.too_long:,} chunks have more"
            f"{of_texts}: the rest of them is cut off. "
            "Set chunking_settings.max_chunk_tokens to 'auto'"
        )

    def _part(self, text: str) -> int:
        """The number of an input that is a part of a text."""
        number = self._number(text, self._next_part)
        if number == self._next_part:
            self._next_part -= 1
        return number

    def _number(self, text: str, new: int) -> int:
        """The number of an input; this one if it is new."""
        self.chunks_planned += 1
        number = self._numbers.setdefault(text, new)
        if number == new:
            # Copied, since orjson keeps kilobytes of spare room behind what it returns.
            dumped = b"%b" % orjson.dumps(self.prompt + text[: self.longest])
            self._unsent.append((new, dumped))
            self._open.add(new)
            self.inputs_planned += 1
        if not self.keep:
            self._wanted[number] = self._wanted.get(number, 0) + 1
        return number

    def newest(self) -> list[tuple[int, bytes]]:
        """The inputs that came since this was called last, which a cache may have."""
        new, self._looked_up = self.inputs_planned - self._looked_up, self.inputs_planned
        return self._unsent[len(self._unsent) - new :]

    def settle_found(self, numbers: Sequence[int], rows: Sequence[RowT]) -> None:
        """Enter the rows that a cache had of inputs that are in no batch yet."""
        found = set(numbers)
        self._unsent = [one for one in self._unsent if one[0] not in found]
        self.settle(numbers, rows)

    @property
    def room(self) -> float:
        """How many more inputs the look-ahead takes before the next batches are cut."""
        return 0 if self._ready else self.bounds().inputs * self.look_ahead - len(self._unsent)

    @property
    def is_far_behind(self) -> bool:
        """Whether a stream must wait for its oldest texts before it takes in more."""
        if self.keep:
            return False
        most = 4 * self.look_ahead * self.bounds().inputs
        return max(len(self._numbers), len(self._texts)) > most

    @property
    def is_all_cut(self) -> bool:
        """Whether every input that was added has gone out in a batch."""
        return not self._ready and not self._unsent

    def next_batch(self, *, more_to_come: bool) -> Batch | None:
        """Take the next batch to send; None where no full one is left, or none at all."""
        bounds = self.bounds()
        if not self._ready and self._unsent:
            ready = len(self._unsent)
            if more_to_come:
                ready -= ready % bounds.inputs  # the newest wait until they fill a batch
            # Alike lengths in one batch: the server pads each to the longest of its batch.
            whole = self._unsent[:ready]
            self._ready = sorted(whole, key=lambda one: len(one[1]), reverse=True)[::-1]
            del self._unsent[:ready]
        return self._cut(bounds) if self._ready else None

    def _cut(self, bounds: BatchBounds) -> Batch:
        """Take a run within both bounds; an input over the byte bound goes alone."""
        numbers, inputs = zip(*self._ready[: -bounds.inputs - 1 : -1], strict=True)
        if len(inputs) * (len(inputs[0]) + 1) > bounds.body_bytes:  # the first is the longest
            sizes = accumulate(len(one) + 1 for one in inputs)
            fitting = max(1, sum(size <= bounds.body_bytes for size in sizes))
            numbers, inputs = numbers[:fitting], inputs[:fitting]
        del self._ready[-len(inputs) :]
        return Batch(numbers, inputs)

    def drop_unsent(self, error: HFEndpointError) -> None:
        """Nothing more will be sent: what was not is answered by this error."""
        self.settle([number for number, _ in (*self._ready, *self._unsent)], error)
        self._ready, self._unsent = [], []

    def settle(self, numbers: Sequence[int], result: Sequence[RowT] | HFEndpointError) -> None:
        """Enter the rows of some inputs, or the error that befell them."""
        if isinstance(result, HFEndpointError):
            self.rows.failures.update(dict.fromkeys(numbers, result))
        else:
            self.rows.put(numbers, result)
        self._open.difference_update(numbers)

    def settle_rest(self, numbers: Sequence[int], error: HFEndpointError) -> None:
        """Enter the error for those of the inputs that have no result yet."""
        self.settle([number for number in numbers if number in self._open], error)

    def finished(self) -> list[PlannedText[RowT]]:
        """The texts that are complete, in order, each once."""
        finished: list[PlannedText[RowT]] = []
        failures = self.rows.failures
        while self._texts and self._first_is_done():
            text = self._texts.popleft()
            self._seen_done = 0
            for piece, number in zip(text.chunks, text.numbers, strict=True):
                if number in failures:
                    text.error = text.error or failures[number]
                else:
                    is_wanted = self.keep or self._wanted[number] > 1
                    row = self.rows.copy_of(number) if is_wanted else self.rows[number]
                    text.rows.append(row)
                if not self.keep:
                    self._forget(piece.text, number)
            finished.append(text)
        return finished

    def _first_is_done(self) -> bool:
        """Whether every chunk of the first text has its result; none is looked at twice."""
        numbers = self._texts[0].numbers
        while self._seen_done < len(numbers) and numbers[self._seen_done] not in self._open:
            self._seen_done += 1
        return self._seen_done == len(numbers)

    def _forget(self, text: str, number: int) -> None:
        self._wanted[number] -= 1
        if self._wanted[number] == 0:
            del self._wanted[number], self._numbers[text]
            self.rows.pop(number, None)
            self.rows.failures.pop(number, None)


def check_texts(texts: Sequence[object]) -> None:
    """Refuse texts of which one cannot be embedded.

    Raises:
        InputError: Names the first that cannot be, and of blank ones all.
    """
    for index, text in enumerate(texts):
        if isinstance(text, str) and text.isascii() and text and not text.isspace():
            continue  # nearly all, and without a call
        if isinstance(text, str) and not text.strip():
            others = [
                later
                for later, other in enumerate(texts[index + 1 :], index + 1)
                if isinstance(other, str) and not other.strip()
            ]
            also = f", and so are {ranges(others)}" if others else ""
            raise InputError(f"is empty or blank{also}", index=index, advice=_BLANK)
        check_text(text, index)


_BLANK = (
    "Leave such texts out: [text for text in texts if text.strip()]; of documents those with a "
    "blank page_content, of LlamaIndex's nodes those whose "
    "get_content(metadata_mode=MetadataMode.EMBED) is blank."
)


def check_text(text: object, index: int) -> None:
    """Refuse what cannot be embedded.

    Raises:
        InputError: The text is no string, is blank, or holds half of a surrogate pair.
    """
    if not isinstance(text, str):
        kind = type(text).__name__
        raise InputError(f"must be a string, not {kind}", index=index, advice="Convert it first.")
    if not text or text.isspace():
        raise InputError("is empty or blank", index=index, advice="Leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        place = error.start
    else:
        return
    raise InputError(
        f"holds a lone surrogate at character {place}, which no UTF-8 can carry",
        index=index,
        advice='Mend it where it is read, or with text.encode("utf-16", "surrogatepass")'
        '.decode("utf-16", "replace").',
    )
