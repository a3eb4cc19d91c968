"""Bound chunks in the tokens of a model, beside the bound in words."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from langchain_hf_endpoint.chunking.scripts import has_plain_words
from langchain_hf_endpoint.chunking.units import cluster_starts
from langchain_hf_endpoint.chunking.word_hashes import KnownWords
from langchain_hf_endpoint.chunking.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint.chunking.windows import Reach

Span: TypeAlias = "tuple[int, int]"
"""Offsets of a chunk's first character and after its last one."""

LONGEST_KNOWN = 255  # characters; longer words hardly ever come twice
_MOST_KNOWN = 1 << 17
_PIECES = 8  # words of a run without blanks that are counted as one
_LONGEST_TOKEN = 32  # characters a token on average; a text with more is looked at word by word
_ROUNDING = 1e-6
_FILLED_IF_COUNTED_AGAIN, _FILLED = 0.98, 0.95
"""Parts of the bound to fill where what was counted word by word is not quite what a chunk has."""
_FREE = 3  # tokens at least, where no chunk is counted: both of its ends may be within a word
_LETTERS_PER_TOKEN = 4  # of ASCII; of other characters one

_WORDS = "the of New York, don't (x) 3.14 naïve 本 книга 한국어 🙂 e\u0301 https://a.b/c?d end."
_SAMPLE = _WORDS.split()
_BLANKS = (" ", "  ", "\n", "\n\n", "\t", "\r\n", "\xa0", "\u2003", "\u3000", "\u2028")
_PAIRS = [
    (one, blank, _SAMPLE[(place + step) % len(_SAMPLE)])
    for step, blank in enumerate(_BLANKS, 1)
    for place, one in enumerate(_SAMPLE)
]
SAMPLES = [*dict.fromkeys([*_SAMPLE, *map("".join, _PAIRS)])]
"""Words, and two of them with blanks between: their tokens tell `adds_up`."""

# What `str.split()` parts words at and some tokenizers leave out, so that two words become one.
_DOUBTFUL_BLANKS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"


def adds_up(count: Mapping[str, int]) -> bool:
    """Whether a text has just the tokens of its words, as the tokens of `SAMPLES` show it."""
    return all(count[one] + count[two] == count[one + blank + two] for one, blank, two in _PAIRS)


@dataclass(slots=True)
class TokenCounter:
    """Counts the tokens of a model. May be used from many threads."""

    # The tokens of each text, without those that the model puts around it.
    count: Callable[[list[str]], Sequence[int]]
    marks: int = 0  # how many those are
    adds_up: bool = False  # whether a text has just the tokens of its words, each by itself
    # Whether `count` is the model's, of any text, so that a chunk can be counted once more. Else
    # it is an estimate, for the words that are not `known`.
    is_exact: bool = True
    # The kind of server that is asked for the tokens of words that are not known.
    server: str | None = None
    # The tokens of words, so that each is counted once.
    known: dict[str, int] = field(default_factory=dict, repr=False)
    # The same for those of a long text.
    hashed: KnownWords = field(default_factory=KnownWords, repr=False)

    def of_words(self, words: list[str]) -> list[int]:
        """The tokens of each word."""
        known = self.known
        try:
            return [*map(known.__getitem__, words)]
        except KeyError:
            counts = {word: known.get(word) for word in words}
        new = [word for word, count in counts.items() if count is None]
        found = dict(zip(new, self.count(new), strict=True))
        self.learn(found)
        return [found[word] if (count := counts[word]) is None else count for word in words]

    def of_texts(self, texts: list[str]) -> Sequence[int]:
        """The tokens of each text; where they cannot be counted, those of its words."""
        if self.is_exact:
            return self.count(texts)
        return [sum(self.of_words(self.words_of(text))) for text in texts]

    def words_of(self, text: str) -> list[str]:
        """What is counted by itself to measure a text."""
        if self.adds_up and has_plain_words(text):
            return text.split()
        words = Words.of(text)
        if not len(words):
            return []
        _, starts, ends = _counted(words, self)
        pairs = zip(starts.tolist(), ends.tolist(), strict=True)
        return [text[start:end] for start, end in pairs]

    def learn(self, counts: Mapping[str, int]) -> None:
        """Keep the tokens of words for the texts to come."""
        if len(self.known) + len(counts) > _MOST_KNOWN:
            self.known.clear()
        short = {word: count for word, count in counts.items() if len(word) <= LONGEST_KNOWN}
        self.known.update(short)


@dataclass(frozen=True, slots=True)
class TokenBound:
    """How many tokens of a model a chunk may have, and what counts them."""

    tokens: int
    counter: TokenCounter

    def is_tiny(self, text: str) -> bool:
        """Whether a text has no more tokens, whatever the tokenizer."""
        # None makes more than a token of an ASCII character, and one of a word's beginning.
        return text.isascii() and 2 * len(text) <= self.tokens

    def holds(self, text: str) -> bool:
        """Whether it is soon seen that a text has no more tokens."""
        if self.is_tiny(text):
            return True
        if len(text) > self.tokens * _LONGEST_TOKEN:
            return False
        counter = self.counter
        if counter.adds_up and not _is_doubtful(text):
            return sum(counter.of_words(text.split())) <= self.tokens
        return counter.is_exact and counter.count([text])[0] <= self.tokens


@dataclass(frozen=True, slots=True)
class MeasuredText:
    """A text in the tokens of a model."""

    text: str
    words: Words  # its words, one at least
    bound: TokenBound  # how many tokens a chunk may have
    room: float  # so many, or a little less, where chunks may have more tokens than their words
    # The tokens before each word, and in all; of a run without blanks, which is counted in one go,
    # each word has its share.
    before: NDArray[np.float64]
    # How many words before each, and in all, may have other tokens in a chunk. None: no word.
    unsure: NDArray[np.intp] | None

    @classmethod
    def of(cls, text: str, words: Words, bound: TokenBound) -> MeasuredText:
        """Count the tokens of all words."""
        counter, count = bound.counter, len(words)
        firsts, starts, ends = _counted(words, counter)
        before = np.zeros(len(starts) + 1)
        counts = counter.hashed.numbers(text, starts, ends, counter.of_words)
        np.cumsum(counts, out=before[1:])
        unsure = None
        if not counter.adds_up or _is_doubtful(text):
            unsure = np.arange(count + 1)
        elif firsts is not None:
            touching = words.starts[1:] <= words.ends[:-1]
            in_run = np.append(False, touching) | np.append(touching, False)
            unsure = np.append(0, np.cumsum(in_run))
        if firsts is not None:
            group = np.repeat(np.arange(len(firsts)), np.diff(firsts, append=count))
            weights = np.append(0, np.cumsum(_weights(text)))
            first = weights[words.starts[firsts]]
            whole = np.maximum(1, weights[ends] - first)
            share = (weights[words.starts] - first[group]) / whole[group]
            before = np.append(before[group] + counts[group] * share, before[-1])
        room = bound.tokens + _ROUNDING
        if unsure is not None:
            if counter.is_exact:
                room *= _FILLED_IF_COUNTED_AGAIN
            else:
                room = max(1, min(room * _FILLED, room - _FREE))
        return cls(text, words, bound, room, before, unsure)

    def reach(self, size: int) -> Reach:
        """Where a chunk of at most so many words ends, as `windows` asks for it."""
        before, room, count = self.before.data, self.room, len(self.words)
        total = before[count]
        usual = max(1, total) / count

        def reach(word: int) -> int:
            upto = before[word] + room
            if upto < total:
                most = min(word + size, count)
                return max(word + 1, bisect_right(before, upto, word + 1, most + 1) - 1)
            return min(word + size, count + int((upto - total) / usual))

        return reach

    def fitting(self, spans: Iterable[Span]) -> list[Span]:
        """The same chunks, those cut further that have more tokens than they may have."""
        chosen = [*spans]
        first, stop = self.words.begun_before(np.array(chosen, np.intp).reshape(-1, 2)).T
        doubtful = self.before[stop] - self.before[first] > self.room
        if self.unsure is not None and self.bound.counter.is_exact:
            doubtful |= self.unsure[stop] > self.unsure[first]
        if not doubtful.any():
            return chosen
        kept = [chosen[place] for place in np.flatnonzero(~doubtful)]
        parts = [chosen[place] for place in np.flatnonzero(doubtful)]
        while parts:
            counts = self.bound.counter.of_texts([self.text[start:end] for start, end in parts])
            halves = [
                (part, self._halves(*part) if count > self.bound.tokens else [])
                for part, count in zip(parts, counts, strict=True)
            ]
            kept += [part for part, two in halves if not two]
            parts = [half for _, two in halves for half in two]
        # Of two that start alike the longer one first: what is within another is left out.
        kept.sort(key=lambda span: (span[0], -span[1]))
        reached = accumulate((end for _, end in kept), max, initial=0)
        return [span for span, before in zip(kept, reached, strict=False) if span[1] > before]

    def _halves(self, start: int, end: int) -> list[Span]:
        """Two parts of about the same length, cut at a word, else at a character; none of one."""
        text = self.text[start:end]
        starts = Words.of(text).starts
        for places in (starts[starts > 0], cluster_starts(text)[1:], np.arange(1, len(text))):
            if len(places):
                cut = int(places[np.abs(places - len(text) / 2).argmin()])
                return [(start, start + len(text[:cut].rstrip())), (start + cut, end)]
        return []


def _counted(
    words: Words, counter: TokenCounter
) -> tuple[NDArray[np.intp] | None, NDArray[np.intp], NDArray[np.intp]]:
    """Words that no blank parts, counted as one; where blanks count, with those before them.

    Returns:
        Of each its first word, None where each is a word, and where it starts and ends.
    """
    starts, ends, firsts = words.starts, words.ends, None
    parted = starts[1:] > ends[:-1]
    if not parted.all():
        places = np.arange(len(words))
        in_run = places - np.maximum.accumulate(np.where(np.append(True, parted), places, 0))
        firsts = np.flatnonzero(in_run % _PIECES == 0)
        starts, ends = starts[firsts], ends[np.append(firsts[1:], len(words)) - 1]
    return firsts, starts if counter.adds_up else np.append(starts[:1], ends[:-1]), ends


def _weights(text: str) -> NDArray[np.intp]:
    """What share of its run's tokens each character is likely to have."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.where(codes < 128, 1, _LETTERS_PER_TOKEN)  # noqa: PLR2004 - ASCII


def _is_doubtful(text: str) -> bool:
    return any(blank in text for blank in _DOUBTFUL_BLANKS)
