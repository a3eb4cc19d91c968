"""How much of what a question asks for is in the chunks that were found for it.

A span is the offsets of its first character and after its last one. What a question asks for, its
references, are spans of the text; found are the spans of chunks, the best first. Libraries for the
evaluation of retrieval (pytrec_eval, ranx) judge whole documents, so that only nDCG is theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Span: TypeAlias = "tuple[int, int]"


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same characters in spans that do not overlap, in order."""
    apart: list[Span] = []
    for start, end in sorted(spans):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return apart


def size(spans: Iterable[Span]) -> int:
    """The characters of all spans; those of two spans count twice."""
    return sum(end - start for start, end in spans)


def shared(spans: Iterable[Span], others: Iterable[Span]) -> int:
    """How many characters lie in both; each counts once."""
    theirs = merged(others)
    return sum(
        max(0, min(end, last) - max(start, first))
        for start, end in merged(spans)
        for first, last in theirs
    )


def within(found: Iterable[Span], characters: int) -> list[Span]:
    """The best of what was found, so many characters in all; the last span is cut there.

    Cut, so that chunks of all sizes have the same number: characters of two chunks count twice, as
    they do for a model that reads the chunks.
    """
    taken: list[Span] = []
    for start, end in found:
        taken.append((start, min(end, start + characters)))
        characters -= size(taken[-1:])
        if characters <= 0:
            break
    return taken


def recall(references: Sequence[Span], found: Iterable[Span]) -> float:
    """The share of the references' characters that was found."""
    return shared(references, found) / size(merged(references))


def iou(references: Sequence[Span], found: Sequence[Span]) -> float:
    """Characters that were asked for and found, of those that were asked for or found.

    As the authors of the set count: what two chunks share was found twice.
    """
    both = shared(references, found)
    return both / (size(found) + size(merged(references)) - both)


def interval(differences: NDArray[np.float64], draws: int = 4_000) -> tuple[float, float]:
    """Where the mean of paired differences lies in 95 % of samples drawn from them."""
    chance = np.random.default_rng(7)
    means = chance.choice(differences, (draws, differences.size)).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
