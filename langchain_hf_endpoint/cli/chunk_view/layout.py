"""A text and its chunks: the parts that are in the same chunks, and figures about them.

It knows offsets and counts. It must not know how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from langchain_hf_endpoint.chunking.counting import count_words, counts_of_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_hf_endpoint.chunking import Chunk


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text all of whose characters are in the same chunks.

    Attributes:
        start: Its first character.
        end: The one after its last.
        chunks: The chunks' numbers, ascending; none for the blanks between chunks.
    """

    start: int
    end: int
    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cuts:
    """A text and the chunks it was cut into.

    Attributes:
        name: Of the text.
        text: All of it.
        chunks: In order.
    """

    name: str
    text: str
    chunks: Sequence[Chunk]

    def spans(self) -> Iterator[Span]:
        """The whole text, part by part."""
        edges = {0, len(self.text)}
        edges.update(edge for one in self.chunks for edge in (one.start, one.end))
        first = 0  # the chunks before it have ended
        for start, end in pairwise(sorted(edges)):
            while first < len(self.chunks) and self.chunks[first].end <= start:
                first += 1
            inside = []
            for number in range(first, len(self.chunks)):
                if self.chunks[number].start > start:
                    break
                if self.chunks[number].end >= end:
                    inside.append(number)
            yield Span(start, end, tuple(inside))

    def spans_of(self, number: int) -> Iterator[Span]:
        """The parts of one chunk: what it shares with others, and what is its own."""
        one = self.chunks[number]
        near = Cuts("", self.text[one.start : one.end], self._neighbours(number))
        for span in near.spans():
            numbers = tuple(self._first_neighbour(number) + place for place in span.chunks)
            yield Span(span.start + one.start, span.end + one.start, numbers)

    def _first_neighbour(self, number: int) -> int:
        first = number
        while first and self.chunks[first - 1].end > self.chunks[number].start:
            first -= 1
        return first

    def _neighbours(self, number: int) -> list[Chunk]:
        """The chunk and those it overlaps with, their offsets within it."""
        one, near = self.chunks[number], []
        for other in self.chunks[self._first_neighbour(number) :]:
            if other.start >= one.end:
                break
            start, end = max(other.start, one.start), min(other.end, one.end)
            near.append(type(other)(self.text[start:end], start - one.start, end - one.start))
        return near

    def sizes(self) -> list[int]:
        """Words of each chunk."""
        return counts_of_words([one.text for one in self.chunks])

    def shared(self) -> float:
        """Which part of the characters is in more than one chunk, 0 to 1."""
        twice = sum(span.end - span.start for span in self.spans() if len(span.chunks) > 1)
        return twice / max(1, len(self.text))

    def figures(self) -> dict[str, float]:
        """Counts of the text and its chunks: of words, and the share that is there twice."""
        sizes = self.sizes() or [0]
        return {
            "chunks": len(self.chunks),
            "words": count_words(self.text),
            "characters": len(self.text),
            "shortest": min(sizes),
            "median": median(sizes),
            "longest": max(sizes),
            "shared": round(self.shared(), 4),
        }

    def as_json(self) -> dict[str, object]:
        """All there is to say, for machines."""
        chunks = [
            {"chunk": number, "start": one.start, "end": one.end, "words": size, "text": one.text}
            for number, (one, size) in enumerate(zip(self.chunks, self.sizes(), strict=True))
        ]
        return {"id": self.name, **self.figures(), "cuts": chunks}


@dataclass(frozen=True, slots=True)
class Bar:
    """How many chunks have `low` to `high` words."""

    low: int
    high: int
    count: int


def bars(sizes: Sequence[int], most: int = 10) -> list[Bar]:
    """A histogram of sizes, from 1 to the largest, in bars of equal width.

    Args:
        sizes: Words of each chunk.
        most: Bars at most.
    """
    if not sizes:
        return []
    width = -(-max(sizes) // most)
    counts = [0] * -(-max(sizes) // width)
    for size in sizes:
        counts[(size - 1) // width] += 1
    return [Bar(n * width + 1, (n + 1) * width, count) for n, count in enumerate(counts)]
