"""Cut where separators are, the coarsest first: Elastic's strategy ``recursive``.

Its rules are those of RecursiveChunker (elasticsearch 9.1, #126866), in whole words: a text that is
too long is cut before every match of the first separator, neighbours are put together as long as
they fit, and what is still too long is cut by the next separator; in the end by sentences. As with
Elastic, chunks overlap only within a sentence that is too long for one.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING

import regex

from langchain_hf_endpoint.chunking.punkt import sentence_starts
from langchain_hf_endpoint.chunking.windows import sentence_windows
from langchain_hf_endpoint.chunking_settings import SEPARATOR_GROUPS
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_hf_endpoint.chunking.windows import Reach, WordWindow
    from langchain_hf_endpoint.chunking.words import Words

_logger = logging.getLogger("langchain_hf_endpoint")

# What the separators of a text may take, far more than those need that do not go back for ever.
_SECONDS, _SECONDS_PER_CHARACTER = 1.0, 5e-6
_OF_GROUPS = frozenset().union(*SEPARATOR_GROUPS.values())


def recursive_windows(
    text: str, words: Words, separators: Sequence[str], size: int, reach: Reach | None = None
) -> list[WordWindow]:
    """Cut the words of a text into windows that begin at separators.

    None overlap but those within a sentence that is too long; see `sentence_windows`.

    Args:
        text: The text.
        words: Its words.
        separators: Regular expressions, the coarsest first. A match within a word cuts behind it.
        size: Words in a window at most.
        reach: As of `word_windows`.

    Raises:
        SettingsError: The separators take too long. Those of a group are left out instead.
    """
    seconds = _SECONDS + _SECONDS_PER_CHARACTER * len(text)
    deadline, is_late = monotonic() + seconds, False
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
            try:
                matches = _matches(text, words, (first, end), separators[tried], deadline)
            except TimeoutError:
                _check_group(
                    separators[tried], f"{seconds:.1f} s in {len(text)} characters", is_late
                )
                matches, is_late = [], True
            pieces = _put_together([*matches, end], first, reach)
            regions += [(*piece, tried + 1) for piece in reversed([*pieces])]
        else:
            if sentences is None:
                sentences = words.sentence_ends(sentence_starts(text, "english"))
            windows += _by_sentences(sentences, first, end, size, reach)
    return windows


def _matches(
    text: str, words: Words, region: WordWindow, separator: str, deadline: float
) -> list[int]:
    """The words of a region before which a separator cuts it; ascending, without repeats."""
    first, end = region
    start = int(words.starts[first])
    # Alone, since a separator must not see what lies outside its region.
    alone = text[start : int(words.starts[end]) if end < len(words) else len(text)]
    offsets = []
    # Between two matches as well: each may be found in time, and all of them not.
    for match in compiled(separator).finditer(alone, timeout=_left(deadline)):
        offsets.append(start + match.start())
        _left(deadline)
    # Sorted, since (?r) looks for matches from the end.
    cuts = sorted(set(words.begun_before(offsets).tolist()))
    return [cut for cut in cuts if first < cut < end]


def _left(deadline: float) -> float:
    """The seconds that are left, some."""
    if (left := deadline - monotonic()) <= 0:
        raise TimeoutError
    return left


def _check_group(separator: str, limit: str, is_late: bool) -> None:
    """Refuse a caller's separator that takes too long; one of a group is no mistake of theirs."""
    problem = f"{separator[:60]!r} takes more than {limit}"
    if separator not in _OF_GROUPS:
        problem += ", together with the separators before it"
        raise SettingsError(("chunking_settings.separators", problem)) from None
    if not is_late:
        _logger.warning("separator %s: what is left is cut by sentences", problem)


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
    inner = sentences[bisect_right(sentences, first) : bisect_left(sentences, end)]
    ends = [sentence - first for sentence in inner]
    windows = sentence_windows(
        [*ends, end - first],
        size,
        overlapping=False,
        reach=lambda word: reach(first + word) - first,
    )
    return [(first + start, first + stop) for start, stop in windows]
