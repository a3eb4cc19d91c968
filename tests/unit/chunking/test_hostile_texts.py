"""Texts that nobody would write: they are cut all the same, in time in proportion to their length.

The sizes are such that anything slower would be noticed without a clock.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from laws import assert_chunks_hold_every_word

from langchain_hf_endpoint.chunking import chunk

MILLION = 1_000_000
LONG = 250_000
SENTENCE = {"strategy": "sentence"}
WORD = {"strategy": "word"}
BOTH = pytest.mark.parametrize("settings", [SENTENCE, WORD], ids=["sentence", "word"])


@BOTH
@pytest.mark.parametrize("unit", [". ", "J. ", "!!!!! ", "a. "])
def test_a_megabyte_at_which_nltk_gives_up(unit, settings):
    assert_chunks_hold_every_word(unit * (MILLION // len(unit)), settings)


@BOTH
@pytest.mark.parametrize(
    "unit", ["? ! . ", '." ', "1. ", "[. ", "Hi.\xa0", ".\xa0", ".\x1c", "x\n\n", "-- ", "' "]
)
def test_much_of_one_mark(unit, settings):
    assert_chunks_hold_every_word(unit * (LONG // 10), settings)


@BOTH
@pytest.mark.parametrize("unit", ["a", "-", "!", ".", "?)", "[.", "1.", '"', "本", "\ud800", "😀"])
def test_a_long_text_without_a_blank(unit, settings):
    text = unit * (LONG // len(unit))
    pieces = chunk(text, settings)
    assert max(len(piece.text) for piece in pieces) <= 500
    assert all(two.start <= one.end < two.end for one, two in pairwise(pieces))
    assert (pieces[0].start, pieces[-1].end) == (0, len(text))


@BOTH
def test_long_words_between_short_ones(settings):
    text = ("a " * 300 + "b" * LONG + ". ") * 2
    assert_chunks_hold_every_word(text, settings)


@BOTH
def test_many_blanks(settings):
    assert chunk(" " * LONG, settings) == []
    chunks = assert_chunks_hold_every_word("One. Two." + " " * LONG + "three. " * 300, settings)
    assert chunks[0].text.startswith("One.")


@BOTH
def test_many_words(settings):
    assert_chunks_hold_every_word("word " * LONG, settings)


@BOTH
@pytest.mark.parametrize(
    "blank",
    [chr(code) for code in range(0x3001) if chr(code).isspace()],
    ids=lambda blank: f"U+{ord(blank):04X}",
)
def test_every_blank_parts_words_and_sentences(blank, settings):
    chunks = assert_chunks_hold_every_word(f"Word.{blank}" * 300, settings)
    assert len(chunks) == 2


@BOTH
@pytest.mark.parametrize(
    "word",
    [
        "\ud800",
        "\udfff\ud800",
        "\x00",
        "\u202ea.\u202c",
        "\u200f!",
        "中文句子。",
        "مرحبا.",
        "שלום!",
    ],
    ids=ascii,
)
def test_strange_words(word, settings):
    assert_chunks_hold_every_word(f"{word} " * 1000, settings)
