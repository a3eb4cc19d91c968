"""Choose which words go together in a chunk, in word indexes only.

The rules are those of Elastic's chunkers, which the settings are named after
(https://www.elastic.co/docs/explore-analyze/elastic-inference/inference-api#infer-chunking-config),
with exact counts of words and without its overlap of blanks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WordWindow: TypeAlias = "tuple[int, int]"
"""The index of a window's first word, and the index after its last one."""

Reach: TypeAlias = "Callable[[int], int]"
"""Word -> the word before which a window that starts with it must end, behind it by one at least.
Behind the end of the text words are thought to go on."""

# Words that chunks share at most where a sentence is not repeated whole.
_LARGEST_CUT_OVERLAP = 20


def word_windows(
    count: int, size: int, overlap: int, reach: Reach | None = None
) -> list[WordWindow]:
    """Cut so many words into windows of equal size.

    Args:
        count: Words in all.
        size: Words in each window; the last one may have fewer.
        overlap: Words that a window shares with the one before; less than `size`. Where a window
            holds fewer than `size` words, at most half of them.
        reach: Where a window ends at the latest that starts with this word; None where `size`
            alone says that.

    Returns:
        Windows that start ``size - overlap`` words apart and together hold every word. Each but
        the last is full, and each holds a word that the one before has not. None for no words.
    """
    if reach is None:
        step = size - overlap
        # Where only words of the overlap are left, a window more would hold nothing new.
        starts = range(0, max(count - overlap, min(count, 1)), step)
        return [(start, min(start + size, count)) for start in starts]
    return [*_windows_within(reach, 0, count, overlap)]


def _windows_within(reach: Reach, start: int, end: int, overlap: int) -> Iterator[WordWindow]:
    while start < end:
        stop = min(reach(start), end)
        yield start, stop
        if stop == end:
            return
        start = _with_room_for(stop, stop - min(overlap, (stop - start) // 2), reach)


def sentence_windows(
    ends: Sequence[int], size: int, *, overlapping: bool, reach: Reach | None = None
) -> list[WordWindow]:
    """Pack sentences into windows, as many whole ones as fit into each.

    A sentence that is too long for a window is cut into windows of words, which overlap a little
    whatever the settings; the last of them stays open for the sentences that follow.

    Args:
        ends: For each sentence, the index after its last word; ascending, without repeats.
        size: Words in a window at most, whatever the text.
        overlapping: Whether a window begins with the last sentence of the one before; where
            that sentence and the next do not fit together, with its last words: at most 20, and
            at most half of `size`, or of what a window holds.
        reach: As of `word_windows`.

    Returns:
        Windows in order that together hold every word.
    """
    if reach is None:
        reach = size.__add__
    longest_overlap = min(_LARGEST_CUT_OVERLAP, (size - 1) // 2)
    windows: list[WordWindow] = []
    if not ends:
        return windows
    first = sentence = previous = 0  # the open window, this sentence and the one before: 1st words
    limit = reach(first)
    for end in ends:
        if end > limit:
            if sentence > first:
                windows.append((first, sentence))
                first = _reopened(previous, sentence, end, reach) if overlapping else sentence
                limit = reach(first)
            if end > limit:
                # Elastic's numbers: such a sentence overlaps by 20 words, or less than half, with
                # an overlap of 0 too.
                *full, (first, _) = _windows_within(reach, first, end, longest_overlap)
                windows += full
                limit = reach(first)
        previous, sentence = sentence, end
    if sentence > first:
        windows.append((first, sentence))
    return windows


def _reopened(previous: int, sentence: int, end: int, reach: Reach) -> int:
    """Where a new window for the sentence begins within the sentence before it."""
    if end <= reach(previous):
        return previous
    half = (reach(sentence) - sentence) // 2
    first = max(previous, sentence - min(half, _LARGEST_CUT_OVERLAP))
    return _with_room_for(sentence, first, reach)


def _with_room_for(word: int, first: int, reach: Reach) -> int:
    """The first word of a window that has room for this one, from `first` on."""
    while reach(first) <= word:
        first += 1
    return first
