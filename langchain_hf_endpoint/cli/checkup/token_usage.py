"""Ask the server for the tokens of chunks, and measure which part of texts its model does not read.

A character is lost where every chunk that holds it has it beyond the context length: what one chunk
loses at its end, the next may have at its beginning.
"""

from __future__ import annotations

from operator import itemgetter
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from langchain_hf_endpoint._engine.preparation import cut_each
from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.cli.checkup.report import ContextUse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._protocols import Tokens
    from langchain_hf_endpoint.chunking import Chunk

_ENOUGH_WORDS = 20  # of a chunk, to tell how many tokens its words have
_ROUND = 10
_LARGEST = 300
_ODD = 2  # times as many tokens a word as usual: one chunk of base64 must not make all others small
_CHARACTERS_PER_TOKEN = 250
"""TEI reads so many characters per token of the context length, and tokenizes no more."""


class Piece(NamedTuple):
    """A chunk, and which text it is of."""

    text_index: int
    chunk: Chunk


def pieces_of(texts: Iterable[str], call: Call) -> Iterator[Piece]:
    """The chunks of all texts, in order."""
    for (index, _), chunks in cut_each(enumerate(texts), itemgetter(1), call):
        yield from (Piece(index, one) for one in chunks)


def batches_of(pieces: Iterable[Piece], inputs: int, size: int) -> Iterator[list[Piece]]:
    """Batches of at most so many inputs and, unless one alone is larger, so many bytes."""
    batch: list[Piece] = []
    held = 0
    for piece in pieces:
        weight = len(piece.chunk.text.encode(errors="surrogatepass"))
        if batch and (len(batch) == inputs or held + weight > size):
            yield batch
            batch, held = [], 0
        batch.append(piece)
        held += weight
    if batch:
        yield batch


def seen_by_model(text: str, prompt: str, max_tokens: int) -> str:
    """What the server tokenizes of a chunk."""
    return (prompt + text)[: max_tokens * _CHARACTERS_PER_TOKEN]


class TokenUsage:
    """Adds up chunks, in the order of their texts, for a model that reads `max_tokens` of each."""

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._counts: list[int] = []
        self._characters = self._kept = self._texts = 0
        self._text_index: int | None = None
        self._end = self._kept_end = 0
        self._tokens_per_word: list[float] = []
        self._marks = 0

    @property
    def chunks(self) -> int:
        """Chunks added."""
        return len(self._counts)

    def add(self, piece: Piece, tokens: Tokens, prompt: str, seen: str) -> None:
        """Enter a chunk, of which the server tokenized `seen`, with `prompt` at its beginning."""
        one = piece.chunk
        if piece.text_index != self._text_index:
            self._text_index, self._end, self._kept_end = piece.text_index, 0, 0
            self._texts += 1
        kept_end = one.start + min(len(one.text), self._kept_of(tokens, prompt, seen))
        self._characters += max(0, one.end - max(one.start, self._end))
        self._kept += max(0, kept_end - max(one.start, self._kept_end))
        self._end, self._kept_end = max(self._end, one.end), max(self._kept_end, kept_end)
        self._counts.append(tokens.count)
        self._marks = max(self._marks, tokens.marks)
        words = count_words(one.text)
        if words >= _ENOUGH_WORDS:
            self._tokens_per_word.append(len(tokens.ends) / words)

    def _kept_of(self, tokens: Tokens, prompt: str, seen: str) -> int:
        """How many characters of a chunk the model reads."""
        room = max(0, self._max_tokens - tokens.marks)
        if len(tokens.ends) <= room:
            return len(seen) - len(prompt)
        if not room:
            return 0
        end, last = tokens.ends[room - 1], tokens.ends[-1]
        if end is None or last is None:
            return max(0, len(seen) * room // len(tokens.ends) - len(prompt))
        raw = seen.encode()
        # A prompt that the server puts there by name is counted in its offsets, but is not in ours.
        end -= max(0, last - len(raw))
        return max(0, len(raw[: max(0, end)].decode(errors="ignore")) - len(prompt))

    def result(self, *, is_whole: bool) -> ContextUse:
        """How all chunks fit."""
        over = sum(count > self._max_tokens for count in self._counts)
        return ContextUse(
            window=self._max_tokens,
            texts=self._texts,
            chunks=len(self._counts),
            over=over,
            median=median(self._counts or [0]),
            longest=max(self._counts, default=0),
            characters=self._characters,
            lost=self._characters - self._kept,
            lost_share=1 - self._kept / max(1, self._characters),
            is_whole=is_whole,
            fitting_size=self._fitting_size() if over else None,
        )

    def _fitting_size(self) -> int | None:
        """Words that fit where words have many tokens, rounded down."""
        if not self._tokens_per_word:
            return None
        usual = median(self._tokens_per_word)
        many = max(tokens for tokens in self._tokens_per_word if tokens <= _ODD * usual)
        words = int((self._max_tokens - self._marks) / many)
        return min(_LARGEST, words // _ROUND * _ROUND) or None
