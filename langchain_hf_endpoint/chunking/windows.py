"""Choose which words go together in a chunk, in word indexes only.

The rules are those of Elastic's chunkers, which the settings are named after
(https://www.elastic.co/docs/explore-analyze/elastic-inference/inference-api#infer-chunking-config),
with exact counts of words and without its overlap of blanks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

WordWindow: TypeAlias = "tuple[int, int]"
"""The index of a window's first word, and the index after its last one."""

# Words that chunks share at most where a sentence is not repeated whole.
_LARGEST_CUT_OVERLAP = 20


def word_windows(count: int, size: int, overlap: int) -> list[WordWindow]:
    """Cut so many words into windows of equal size.

    Args:
        count: Words in all.
        size: Words in each window; the last one may have fewer.
        overlap: Words that a window shares with the one before; less than `size`.

    Returns:
        Windows that start ``size - overlap`` words apart and together hold every word. Each but
        the last is full, and each holds a word that the one before has not. None for no words.
    """
    step = size - overlap
    # Where only words of the overlap are left, a window more would hold nothing new.
    starts = range(0, max(count - overlap, min(count, 1)), step)
    return [(start, min(start + size, count)) for start in starts]


def sentence_windows(ends: Sequence[int], size: int, *, overlapping: bool) -> list[WordWindow]:
    """Pack sentences into windows, as many whole ones as fit into each.

    A sentence that is too long for a window is cut into windows of words, which overlap a little
    whatever the settings; the last of them stays open for the sentences that follow.

    Args:
        ends: For each sentence, the index after its last word; ascending, without repeats.
        size: Words in a window at most, whatever the text.
        overlapping: Whether a window begins with the last sentence of the one before; where
            that sentence and the next do not fit together, with its last words: at most 20, and
            at most half of `size`.

    Returns:
        Windows in order that together hold every word.
    """
    windows: list[WordWindow] = []
    first = sentence = previous = 0  # the open window, this sentence and the one before: 1st words
    for end in ends:
        if end - first > size:
            if sentence > first:
                windows.append((first, sentence))
                first = _reopened(previous, sentence, end, size) if overlapping else sentence
            if end - first > size:
                # Elastic's numbers: such a sentence overlaps by 20 words, or less than half, with
                # an overlap of 0 too.
                *full, (start, _) = word_windows(
                    end - first, size, min(_LARGEST_CUT_OVERLAP, (size - 1) // 2)
                )
                windows += [(first + start, first + stop) for start, stop in full]
                first += start
        previous, sentence = sentence, end
    if sentence > first:
        windows.append((first, sentence))
    return windows


def _reopened(previous: int, sentence: int, end: int, size: int) -> int:
    """Where a new window for the sentence begins within the sentence before it."""
    if end - previous <= size:
        return previous
    return max(previous, sentence - min(size // 2, _LARGEST_CUT_OVERLAP))
