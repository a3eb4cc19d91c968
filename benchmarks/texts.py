"""The texts that are embedded: made up, the same in every process, no two alike."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

_WORDS = "the of and a to in he that was it his is with as I for had you not be her on at by"
BOOK = Path(__file__).parents[1] / "examples/data/alice_in_wonderland.txt"


@lru_cache(maxsize=4)
def make_texts(count: int, words: int = 200) -> list[str]:
    """So many texts, each a quarter longer or shorter than so many words, within one chunk."""
    chance = random.Random(7)
    choices = _WORDS.split()
    lengths = range(words * 3 // 4, words * 5 // 4)
    return [
        f"{number} " + " ".join(chance.choices(choices, k=chance.choice(lengths)))
        for number in range(count)
    ]


def book(characters: int) -> str:
    """A novel, over and over, cut at so many characters."""
    text = BOOK.read_text("utf-8")
    return (text * (characters // len(text) + 1))[:characters]
