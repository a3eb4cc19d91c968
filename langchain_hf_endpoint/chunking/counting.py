"""Count the words of texts, without numpy where blanks part them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import adler32

from langchain_hf_endpoint.chunking.scripts import LONGEST_WORD, has_plain_words

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_CHUNK = 1 << 16
"""Characters of a chunk at most, which only a text with thousands of blanks in a row can reach."""

_IS_BLANK = bytes(chr(code).isspace() for code in range(256))
_LONG_RUN = bytes(LONGEST_WORD + 1)
_BETWEEN = " - "
_SHORT = 10_000  # characters; what has 300 words at most is rarely longer


def count_words(text: str) -> int:
    """How many words a text has."""
    return counts_of_words([text])[0]


def counts_of_words(texts: Sequence[str]) -> list[int]:
    """How many words each text has; for many texts at once, much faster than one by one."""
    if all(map(has_plain_words, texts)):
        return [len(text.split()) for text in texts]
    import numpy as np  # noqa: PLC0415 - numpy loads late

    from langchain_hf_endpoint.chunking.words import Words  # noqa: PLC0415 - as above

    # A word between two texts, since a long run counts by what stands before it.
    ends = np.cumsum([len(text) + len(_BETWEEN) for text in texts])
    begun = Words.of(_BETWEEN.join([*texts, ""])).begun_before(ends)
    counts: list[int] = (np.diff(begun, prepend=0) - 1).tolist()
    return counts


def is_short(text: str, count: int) -> bool:
    """Whether it is seen at a glance that a text has at most so many words and fits into a chunk.

    It looks no further than it must; of a long text without blanks it says that it is not.
    """
    is_ascii = text.isascii()
    # A word takes a character. In ASCII it takes the blank before the next one too, or has two.
    if len(text) <= (2 * count if is_ascii else count):
        return True
    if is_ascii and len(text) <= _SHORT and _has_few_blanks(text, count):
        return True
    if len(text) > LONGEST_CHUNK:
        return False
    if not has_plain_words(text):
        return len(text) <= _SHORT and count_words(text) <= count
    return len(text.split(None, count)) <= count


def _has_few_blanks(text: str, count: int) -> bool:
    """Whether ASCII's blanks alone show it: no run between them is long, and a word needs one.

    A fifth of the time that splitting takes, since nothing branches at a blank.
    """
    blanks = text.encode().translate(_IS_BLANK)
    # The lower half of Adler-32 is one more than the sum of the bytes, which are below 65,521.
    return adler32(blanks) & 0xFFFF <= count and _LONG_RUN not in blanks
