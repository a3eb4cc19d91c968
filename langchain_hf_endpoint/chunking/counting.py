"""Whether a text fits into one chunk, which most do: found out without numpy.

A word is what ``words`` says it is. It must not know where words are.
"""

from __future__ import annotations

_BLANKS = bytes(code for code in range(128) if chr(code).isspace())
_SHORT = 10_000  # characters; what has 300 words at most is rarely longer


def has_at_most(text: str, count: int) -> bool:
    """Whether a text has at most so many words; it looks no further than it must."""
    # A word takes a character and the blank before the next one another.
    return (
        len(text) <= 2 * count
        or (len(text) <= _SHORT and _has_few_blanks(text, count))
        or len(text.split(None, count)) <= count
    )


def _has_few_blanks(text: str, count: int) -> bool:
    """Whether the blanks alone show it: there are as many words at most, and one more.

    A quarter of the time that splitting takes.
    """
    return text.isascii() and len(text) - len(text.encode().translate(None, _BLANKS)) < count
