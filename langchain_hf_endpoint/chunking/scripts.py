"""List the scripts that are written without blanks, and how many characters make a word there.

Blocks: https://www.unicode.org/Public/UNIDATA/Blocks.txt, of which those are taken that are broken
into lines without regard to blanks (https://www.unicode.org/reports/tr14/, classes AK, ID and SA).
Hangul is not among them: Korean parts its words.
"""

from __future__ import annotations

import re

LONGEST_WORD = 63
"""Characters that a run may have to be one word, whatever is beside it: the longest of German have
so many."""

LONGEST_ALONE = 255
"""Characters that a run may have to be one word if the run before it is not over-long too: a URL or
a line of dashes in a text. Lucene's longest token."""

# Characters to a word, by the tokenizer of XLM-RoBERTa, which nearly all multilingual models have:
# 250 words come to 260 to 510 tokens. No tokenizer of its kind makes more than one token of a
# character, so that two to a word can never come to more than 512.
FEWEST_PER_WORD = 2.0
_KANA, _LAO, _THAI, _KHMER, _MYANMAR = 2.5, 4.0, 5.0, 5.0, 5.0
_UNKNOWN = 1.875  # to that model: a token of each character, and of each blank too

UNSPACED: tuple[tuple[int, int, float], ...] = (
    (0x0E00, 0x0E7F, _THAI),
    (0x0E80, 0x0EFF, _LAO),
    (0x0F00, 0x0FFF, _UNKNOWN),  # Tibetan
    (0x1000, 0x109F, _MYANMAR),
    (0x1780, 0x17FF, _KHMER),
    (0x1950, 0x19DF, _UNKNOWN),  # Tai Le, New Tai Lue
    (0x19E0, 0x19FF, _KHMER),
    (0x1A20, 0x1AAF, _UNKNOWN),  # Tai Tham
    (0x1B00, 0x1B7F, _UNKNOWN),  # Balinese
    (0x2E80, 0x2FDF, FEWEST_PER_WORD),  # radicals of Han
    (0x3005, 0x3007, FEWEST_PER_WORD),
    (0x3021, 0x3029, FEWEST_PER_WORD),
    (0x3031, 0x303C, FEWEST_PER_WORD),
    (0x3040, 0x30FF, _KANA),
    (0x3100, 0x312F, FEWEST_PER_WORD),  # Bopomofo
    (0x31A0, 0x31EF, FEWEST_PER_WORD),
    (0x31F0, 0x31FF, _KANA),
    (0x3400, 0x4DBF, FEWEST_PER_WORD),  # Han
    (0x4E00, 0x9FFF, FEWEST_PER_WORD),
    (0xA000, 0xA4CF, _UNKNOWN),  # Yi
    (0xA980, 0xA9DF, _UNKNOWN),  # Javanese
    (0xA9E0, 0xA9FF, _MYANMAR),
    (0xAA00, 0xAA5F, _UNKNOWN),  # Cham
    (0xAA60, 0xAA7F, _MYANMAR),
    (0xAA80, 0xAADF, _UNKNOWN),  # Tai Viet
    (0xF900, 0xFAFF, FEWEST_PER_WORD),  # Han
    (0xFF66, 0xFF9F, FEWEST_PER_WORD),  # halfwidth Katakana
    (0x11700, 0x1174F, _UNKNOWN),  # Ahom
    (0x11F00, 0x11F5F, _UNKNOWN),  # Kawi
    (0x16FE0, 0x18DFF, _UNKNOWN),  # Tangut, Khitan
    (0x1AFF0, 0x1B16F, _KANA),
    (0x1B170, 0x1B2FF, _UNKNOWN),  # Nushu
    (0x20000, 0x3FFFF, FEWEST_PER_WORD),  # Han
)
"""Blocks: first code point, last one, characters to a word. Marks and stops of theirs included."""

PUNCTUATION = (
    *((0xB7, 0xB7), (0x2010, 0x2027), (0x2030, 0x205E), (0x3000, 0x303F), (0x3200, 0x33FF)),
    *((0xFE10, 0xFE1F), (0xFE30, 0xFE6F), (0xFF00, 0xFF65), (0xFFE0, 0xFFEF)),
)
"""What stands between characters of these scripts; it may stand between others as well."""

STOPS = frozenset(
    "\u3002\uff01\uff1f\uff61\uff0e\u2026\u22ef\u203c\u2047\u2048\u2049\ufe12\ufe52\ufe56\ufe57"
    "\u17d4\u17d5\u17da\u104b\u0e5a\u0e5b\u0f0d\u0f0e\u0f11\ua9c9\u1b5f\u1aa8\u1aa9\uaa5d\uaa5e\uaa5f"
)
"""Marks at which a sentence of these scripts ends."""

BLANK_ENDS = ((0x0E00, 0x0EFF), (0x1950, 0x19DF), (0xAA80, 0xAADF), (0x11700, 0x1174F))
"""Scripts that have no such mark: Thai, Lao and the like end a sentence with a blank."""

# As far to the right as a blank within reach allows, again and again; what the atomic group has
# found stays found, so that no text takes longer than in proportion to its length.
_SHORT_RUNS = re.compile(rf"(?s)(?>(?:.{{0,{LONGEST_WORD}}}\s)*).{{0,{LONGEST_WORD}}}\Z")
_AN_UNSPACED = re.compile(
    "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last, _ in UNSPACED) + "]"
)
# The bytes that begin a character of these scripts in UTF-8, radicals of Han (E2) left out: many
# texts have a dash or a curly quote, which begin so too.
_BEGINNINGS = bytes({0xE0, 0xE1, *range(0xE3, 0xEB), 0xEF, 0xF0})


def has_plain_words(text: str) -> bool:
    """Whether the words of a text are just what ``str.split()`` says: nearly always."""
    if _SHORT_RUNS.match(text) is None:
        return False
    if text.isascii():
        return True
    raw = text.encode(errors="surrogatepass")
    return len(raw.translate(None, _BEGINNINGS)) == len(raw) or not _AN_UNSPACED.search(text)
