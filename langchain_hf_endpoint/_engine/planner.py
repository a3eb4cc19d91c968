"""From texts to batches, and from the results of batches back to one result per text."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, TypeVar

import orjson

from langchain_hf_endpoint.chunking import Chunk, chunk
from langchain_hf_endpoint.chunking.chunks import is_one_chunk
from langchain_hf_endpoint.errors import HFEndpointError, InputError, ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_hf_endpoint._engine.vectors import VectorFormat
    from langchain_hf_endpoint.settings import ChunkingSettings

RowT = TypeVar("RowT")

LOOK_AHEAD = 16
"""Batches that are gathered before they are cut, so that inputs of like lengths meet."""


@dataclass(slots=True)
class _Input(Generic[RowT]):
    """A unique string that goes to the server, and what came back for it."""

    text: str
    size: int
    wanted: int = 0
    given: int = 0
    result: RowT | HFEndpointError | None = None


@dataclass(slots=True)
class _Cut(Generic[RowT]):
    """What became of a text that is not its own only chunk."""

    chunks: Sequence[Chunk]
    inputs: Sequence[_Input[RowT]]
    error: HFEndpointError | None = None


@dataclass(slots=True)
class PlannedText(Generic[RowT]):
    """One text of the call: its chunks, and the inputs that stand for them, in order."""

    index: int
    inputs: Sequence[_Input[RowT]]
    prompt: str
    cut: _Cut[RowT] | None = None

    @property
    def chunks(self) -> Sequence[Chunk]:
        """The pieces of the text."""
        if self.cut is not None:
            return self.cut.chunks
        text = self.inputs[0].text[len(self.prompt) :]
        return (Chunk(text, 0, len(text)),)

    def failure(self) -> HFEndpointError | None:
        """The error that befell this text, if any."""
        if self.cut is not None and self.cut.error is not None:
            return self.cut.error
        for one in self.inputs:
            if isinstance(one.result, HFEndpointError):
                return one.result
        return None

    def rows(self, vector_format: VectorFormat[RowT]) -> list[RowT]:
        """The vectors of the chunks, for a text without failure; no two texts share one."""
        rows: list[RowT] = []
        for one in self.inputs:
            row: RowT = one.result  # type: ignore[assignment]  # there is no failure
            rows.append(vector_format.again(row) if one.given else row)
            one.given += 1
        return rows


@dataclass(frozen=True, slots=True)
class Batch(Generic[RowT]):
    """The inputs of one request."""

    inputs: Sequence[_Input[RowT]]

    def texts(self) -> list[str]:
        """What is sent."""
        return list(map(attrgetter("text"), self.inputs))


@dataclass(slots=True)
class BatchBounds:
    """How large a batch may be at present."""

    inputs: int
    body_bytes: int


@dataclass(slots=True)
class Planner(Generic[RowT]):
    """The open books of one call: texts come in, batches go out, results come in, texts go out.

    Args:
        chunking: How texts are cut; None leaves them whole, outer blanks included (a query).
        prompt: Text put before every chunk.
        bounds: How large a batch may be, asked for at every cut.
        keep: Whether results are kept for later texts that are the same (a list), or dropped as
            soon as the text that they belong to is out (a stream of any length).
    """

    chunking: ChunkingSettings | None
    prompt: str
    bounds: Callable[[], BatchBounds]
    keep: bool = True
    look_ahead: float = LOOK_AHEAD
    inputs_planned: int = 0
    _unique: dict[str, _Input[RowT]] = field(default_factory=dict)
    _unsent: list[_Input[RowT]] = field(default_factory=list)
    _ready: deque[_Input[RowT]] = field(default_factory=deque)
    # One object a text and not four: each costs again whenever Python looks for garbage.
    _texts: deque[_Input[RowT] | _Cut[RowT]] = field(default_factory=deque)
    _next_index: int = 0
    _next_out: int = 0
    _seen_done: int = 0

    def add(self, text: str) -> None:
        """Cut the next text and note which of its chunks are new."""
        index = self._next_index
        self._next_index += 1
        try:
            check_text(text, index)
            if self.chunking is None or is_one_chunk(text, self.chunking):
                self._texts.append(self._input(self.prompt + text))
                return
            chunks = chunk(text, self.chunking)
        except HFEndpointError as error:
            self._texts.append(_Cut((), (), error))
            return
        self._texts.append(_Cut(chunks, [self._input(self.prompt + one.text) for one in chunks]))

    def _input(self, text: str) -> _Input[RowT]:
        one = self._unique.get(text)
        if one is None:
            one = self._unique[text] = _Input(text, len(orjson.dumps(text)) + 1)
            self._unsent.append(one)
            self.inputs_planned += 1
        one.wanted += 1
        return one

    @property
    def room(self) -> float:
        """How many more inputs the look-ahead takes before the next batches are cut."""
        return 0 if self._ready else self.bounds().inputs * self.look_ahead - len(self._unsent)

    @property
    def is_far_behind(self) -> bool:
        """Whether a stream must wait for its oldest texts before it takes in more."""
        most = 4 * self.look_ahead * self.bounds().inputs
        return not self.keep and max(len(self._unique), len(self._texts)) > most

    @property
    def is_all_cut(self) -> bool:
        """Whether every input that was added has gone out in a batch."""
        return not self._ready and not self._unsent

    def next_batch(self, *, more_to_come: bool) -> Batch[RowT] | None:
        """Take the next batch to send; None where no full one is left, or none at all."""
        bounds = self.bounds()
        if not self._ready and self._unsent:
            ready = len(self._unsent)
            if more_to_come:
                ready -= ready % bounds.inputs  # the newest wait until they fill a batch
            # Alike lengths in one batch: the server pads each to the longest of its batch.
            by_length = sorted(self._unsent[:ready], key=attrgetter("size"), reverse=True)
            self._ready.extend(by_length)
            self._unsent = self._unsent[ready:]
        return Batch(self._cut(bounds)) if self._ready else None

    def _cut(self, bounds: BatchBounds) -> list[_Input[RowT]]:
        """Take a run within both bounds; an input over the byte bound goes alone."""
        run = [self._ready.popleft()]
        size = run[0].size
        while self._ready and len(run) < bounds.inputs:
            size += self._ready[0].size
            if size > bounds.body_bytes:
                break
            run.append(self._ready.popleft())
        return run

    def drop_unsent(self, error: HFEndpointError) -> None:
        """Nothing more will be sent: what was not is answered by this error."""
        self.settle([*self._ready, *self._unsent], error)
        self._ready.clear()
        self._unsent = []

    def settle(
        self, inputs: Sequence[_Input[RowT]], result: Sequence[RowT] | HFEndpointError
    ) -> None:
        """Enter the results of some inputs, or the error that befell them."""
        for place, one in enumerate(inputs):
            one.result = result if isinstance(result, HFEndpointError) else result[place]

    def settle_rest(self, inputs: Sequence[_Input[RowT]], error: HFEndpointError) -> None:
        """Enter the error for those of the inputs that have no result yet."""
        self.settle([one for one in inputs if one.result is None], error)

    def finished(self) -> list[PlannedText[RowT]]:
        """The texts that are complete, in order, each once."""
        finished: list[PlannedText[RowT]] = []
        while self._texts and self._first_is_done():
            first = self._texts.popleft()
            cut = first if isinstance(first, _Cut) else None
            inputs = (first,) if isinstance(first, _Input) else first.inputs
            finished.append(PlannedText(self._next_out, inputs, self.prompt, cut))
            self._next_out += 1
            self._seen_done = 0
            if not self.keep:
                self._forget(inputs)
        return finished

    def _first_is_done(self) -> bool:
        """Whether every chunk of the first text has its result; none is looked at twice."""
        first = self._texts[0]
        if isinstance(first, _Input):
            return first.result is not None
        inputs = first.inputs
        while self._seen_done < len(inputs) and inputs[self._seen_done].result is not None:
            self._seen_done += 1
        return self._seen_done == len(inputs)

    def _forget(self, inputs: Sequence[_Input[RowT]]) -> None:
        for one in inputs:
            one.wanted -= 1
            if one.wanted == 0:
                self._unique.pop(one.text, None)


def check_texts(texts: Sequence[object]) -> None:
    """Refuse texts of which one cannot be embedded.

    Raises:
        InputError: Names the first that cannot be, and of blank ones all.
    """
    for index, text in enumerate(texts):
        try:
            check_text(text, index)
        except InputError:
            if not isinstance(text, str) or text.strip():
                raise
            others = [
                later
                for later, other in enumerate(texts[index + 1 :], index + 1)
                if isinstance(other, str) and not other.strip()
            ]
            also = f", and so are {ranges(others)}" if others else ""
            raise InputError(f"is empty or blank{also}", index=index, advice=_BLANK) from None


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
