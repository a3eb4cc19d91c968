"""How many words a text has: where blanks part them, as nearly always, found out without numpy.

A word is what ``words`` says it is. It must not know where words are.
"""

from __future__ import annotations

from langchain_hf_endpoint.chunking.scripts import has_plain_words

LONGEST_CHUNK = 1 << 16
"""Characters of a chunk at most, which only a text with thousands of blanks in a row can reach."""

_BLANKS = bytes(code for code in range(128) if chr(code).isspace())
_SHORT = 10_000  # characters; what has 300 words at most is rarely longer


def count_words(text: str) -> int:
    """How many words a text has."""
    if has_plain_words(text):
        return len(text.split())
    from langchain_hf_endpoint.chunking.words import Words  # noqa: PLC0415 - numpy loads late

    return len(Words.of(text))


def is_short(text: str, count: int) -> bool:
    """Whether it is seen at a glance that a text has at most so many words and fits into a chunk.

    It looks no further than it must; of a long text without blanks it says that it is not.
    """
    # A word takes a character. In ASCII it takes the blank before the next one too, or has two.
    if len(text) <= (2 * count if text.isascii() else count):
        return True
    if len(text) > LONGEST_CHUNK:
        return False
    if not has_plain_words(text):
        return len(text) <= _SHORT and count_words(text) <= count
    return (len(text) <= _SHORT and _has_few_blanks(text, count)) or len(
        text.split(None, count)
    ) <= count


def _has_few_blanks(text: str, count: int) -> bool:
    """Whether the blanks alone show it: there are as many words at most, and one more.

    A quarter of the time that splitting takes.
    """
    return text.isascii() and len(text) - len(text.encode().translate(None, _BLANKS)) < count
