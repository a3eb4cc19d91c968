"""Cut where separators are, the coarsest first: Elastic's strategy ``recursive``.

Its rules are those of RecursiveChunker (elasticsearch 9.1, #126866), in whole words: a text that is
too long is cut before every match of the first separator, neighbours are put together as long as
they fit, and what is still too long is cut by the next separator; in the end by sentences.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import regex

from langchain_hf_endpoint.chunking.punkt import sentence_starts
from langchain_hf_endpoint.chunking.windows import sentence_windows
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_hf_endpoint.chunking.windows import Reach, WordWindow
    from langchain_hf_endpoint.chunking.words import Words

# What a separator may take, far more than any needs that does not go back again and again.
_SECONDS, _SECONDS_PER_CHARACTER = 1.0, 5e-6


def recursive_windows(
    text: str, words: Words, separators: Sequence[str], size: int, reach: Reach | None = None
) -> list[WordWindow]:
    """Cut the words of a text into windows that begin at separators; none overlap.

    Args:
        text: The text.
        words: Its words.
        separators: Regular expressions, the coarsest first. A match within a word cuts behind it.
        size: Words in a window at most.
        reach: As of `word_windows`.

    Raises:
        SettingsError: A separator takes too long.
    """
    reach = reach or size.__add__
    windows: list[WordWindow] = []
    sentences: list[int] | None = None
    # The regions that are left, the next one last, and how many separators were tried on each.
    regions = [(0, len(words), 0)][: len(words)]
    while regions:
        first, end, tried = regions.pop()
        if end <= reach(first):
            windows.append((first, end))
        elif tried < len(separators):
            matches = _matches(text, words, first, end, separators[tried])
            pieces = _put_together([*matches, end], first, reach)
            regions += [(*piece, tried + 1) for piece in reversed([*pieces])]
        else:
            if sentences is None:
                sentences = words.sentence_ends(sentence_starts(text, "english"))
            windows += _by_sentences(sentences, first, end, size, reach)
    return windows


def _matches(text: str, words: Words, first: int, end: int, separator: str) -> list[int]:
    """The words of a region before which a separator cuts it; ascending, without repeats."""
    start = int(words.starts[first])
    # Alone, since a separator must not see what lies outside its region.
    region = text[start : int(words.starts[end]) if end < len(words) else len(text)]
    seconds = _SECONDS + _SECONDS_PER_CHARACTER * len(region)
    try:
        found = compiled(separator).finditer(region, timeout=seconds)
        offsets = [start + match.start() for match in found]
    except TimeoutError:
        problem = f"{separator[:60]!r} takes more than {seconds:.1f} s in {len(region)} characters"
        raise SettingsError(("chunking_settings.separators", problem)) from None
    cuts = words.begun_before(offsets).tolist()
    return [cut for cut in dict.fromkeys(cuts) if first < cut < end]


@lru_cache(maxsize=64)
def compiled(separator: str) -> regex.Pattern[str]:
    """A separator as it is looked for: ``^`` and ``$`` are those of a line.

    Raises:
        regex.error: It is no regular expression.
    """
    return regex.compile(separator, regex.MULTILINE)


def _put_together(ends: Sequence[int], first: int, reach: Reach) -> Iterator[WordWindow]:
    """As many neighbours in one piece as fit; one that is too long stays alone."""
    last = first
    for end in ends:
        if end > reach(first) and last > first:
            yield first, last
            first = last
        last = end
    yield first, last


def _by_sentences(
    sentences: Sequence[int], first: int, end: int, size: int, reach: Reach
) -> list[WordWindow]:
    ends = [sentence - first for sentence in sentences if first < sentence < end]
    windows = sentence_windows(
        [*ends, end - first],
        size,
        overlapping=False,
        reach=lambda word: reach(first + word) - first,
    )
    return [(first + start, first + stop) for start, stop in windows]
