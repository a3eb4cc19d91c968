"""Find the words of a text, all at once with numpy.

A word is a run of characters between blanks, and a blank is what ``str.split()`` takes for one
(``str.isspace``): 29 code points, among them NO-BREAK SPACE and the separators U+001C to U+001F,
but not ZERO WIDTH SPACE. A run that is more than a word counts as many, as `units` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from langchain_hf_endpoint.chunking.units import needs_units, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint.chunking.windows import WordWindow

# Every blank lies below U+3001 (the last is IDEOGRAPHIC SPACE); the last entry, which is no blank,
# stands for all code points above.
_IS_BLANK = np.array([chr(code).isspace() for code in range(0x3002)])
_BLANK_BYTES = _IS_BLANK[:256].tobytes()

# Characters looked at in one go: what is held beside the result stays at a few MB for any text.
_BLOCK = 1 << 18


_Offsets: TypeAlias = "NDArray[np.intp]"


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The places of a text's words, in order.

    Where no blank parts two words, one starts where the other ends. Where a single character
    counts as several, the others after the first are empty.
    """

    starts: _Offsets  # offset of the first character of every word, ascending; shape ``(words,)``
    ends: _Offsets  # offset after the last character of every word; same shape
    # Offsets at which sentences start in scripts that are written without blanks.
    sentences: _Offsets

    @classmethod
    def of(cls, text: str) -> Words:
        """Find all words of a text, which may have none."""
        # One empty part, so that there is something to concatenate for a text without words.
        none = np.empty(0, np.intp)
        starts, ends, sentences = zip((none, none, none), *_parts(text), strict=True)
        return cls(np.concatenate(starts), np.concatenate(ends), np.concatenate(sentences))

    def __len__(self) -> int:
        return len(self.starts)

    def begun_before(self, offsets: Sequence[int] | _Offsets) -> _Offsets:
        """For each offset, how many words start before it."""
        return np.searchsorted(self.starts, np.asarray(offsets, np.intp))

    def sentence_ends(self, starts: Sequence[int]) -> list[int]:
        """For each sentence, the index after its last word; ascending, without repeats.

        A word belongs to the sentence in which it starts. That matters where Punkt breaks within a
        word, as after the full stop of ``left.[3]``: the sentence ends after the whole word. A
        sentence in which no word starts is left out.

        Args:
            starts: Offsets at which Punkt has sentences start, ascending. Where one of a script
                without blanks ends, which Punkt does not know, `sentences` says.
        """
        bounds = np.append(self.begun_before(starts), len(self))
        if len(self.sentences):
            bounds = np.union1d(bounds, self.begun_before(self.sentences))
        ends: list[int] = bounds[np.diff(bounds, prepend=0) > 0].tolist()
        return ends

    def spans(self, windows: Iterable[WordWindow], longest: int) -> Iterator[tuple[int, int]]:
        """Windows of words -> offsets of the first character and after the last one.

        Args:
            windows: In order.
            longest: Characters of a span at most, blanks included: a window with more becomes
                several. No word is longer.
        """
        first, stop = np.array([*windows], np.intp).reshape(-1, 2).T
        starts, ends = self.starts[first], self.ends[stop - 1]
        if len(first) and int((ends - starts).max()) > longest:
            pairs = zip(first.tolist(), stop.tolist(), strict=True)
            parts = [part for pair in pairs for part in self._parts_of(pair, longest)]
            first, stop = np.array(parts, np.intp).T
            starts, ends = self.starts[first], self.ends[stop - 1]
        # A window of empty words has nothing that those before have not.
        is_more = ends > np.append(0, np.maximum.accumulate(ends)[:-1])
        return zip(starts[is_more].tolist(), ends[is_more].tolist(), strict=True)

    def _parts_of(self, window: WordWindow, longest: int) -> Iterator[WordWindow]:
        first, stop = window
        while first < stop:
            fitting = int(self.ends.searchsorted(self.starts[first] + longest, "right"))
            yield first, min(stop, fitting)
            first = fitting


def _parts(text: str) -> Iterator[tuple[_Offsets, _Offsets, _Offsets]]:
    """Starts and ends of words and starts of sentences, from the left, block by block.

    A run that goes on beyond its block is left to the next one; where it is all there is, only its
    last word is.
    """
    offset, before, after_sentence = 0, 0, False
    while offset < len(text):
        block = text[offset : offset + _BLOCK]
        codes, blank = _decoded(block)
        edges = np.flatnonzero(np.diff(blank, prepend=True, append=True))
        starts, ends = edges[::2], edges[1::2]
        goes_on = offset + len(block) < len(text) and not blank[-1]
        done = int(starts[-1]) if goes_on else len(block)
        lengths = ends - starts
        if needs_units(codes, lengths, before):
            starts, ends, sentences, after_sentence = units(
                codes, starts, ends, before=before, after_sentence=after_sentence
            )
        else:
            sentences, after_sentence = starts[:0], after_sentence and not len(starts)
        if goes_on:
            done = done or int(starts[-1])
            # The next block begins there, and is to know that a sentence has ended before it.
            after_sentence = done in sentences
            words = int(np.searchsorted(starts, done))
            starts, ends = starts[:words], ends[:words]
            sentences = sentences[sentences < done]
        whole = lengths[:-1] if goes_on and len(lengths) > 1 else lengths
        before = int(whole[-1]) if len(whole) else before
        yield starts + offset, ends + offset, sentences + offset
        offset += done


def _decoded(block: str) -> tuple[NDArray[np.uint8] | NDArray[np.uint32], NDArray[np.bool_]]:
    """The code point of each character, and whether it is a blank."""
    if block.isascii():
        encoded = block.encode("ascii")
        blank = np.frombuffer(encoded.translate(_BLANK_BYTES), np.bool_)
        return np.frombuffer(encoded, np.uint8), blank
    # Lone surrogates pass: texts that are cut out of others, or read by force, may hold them.
    codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), "<u4")
    return codes, _IS_BLANK.take(codes, mode="clip")
