"""A word is what str.split() takes for one, at every place of every text."""

from __future__ import annotations

import sys

import pytest

from langchain_hf_endpoint.chunking.counting import is_short
from langchain_hf_endpoint.chunking.words import Words

BLOCK = 1 << 18  # the words are looked for in blocks of this many characters


def words_of(text):
    words = Words.of(text)
    return [
        text[start:end]
        for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True)
    ]


def runs_of(text):
    """What blanks part, put together from the words it is made of."""
    words = Words.of(text)
    runs = []
    for start, end in zip(words.starts.tolist(), words.ends.tolist(), strict=True):
        if runs and runs[-1][1] == start:
            runs[-1][1] = end
        else:
            runs.append([start, end])
    return [text[start:end] for start, end in runs]


def test_every_code_point_is_a_blank_or_part_of_a_word_as_for_split():
    text = " ".join(f"a{chr(code)}b" for code in range(sys.maxunicode + 1))
    assert words_of(text) == text.split()


@pytest.mark.parametrize("highest", [0x80, 0x100, 0x3100], ids=["ascii", "latin", "asian"])
def test_every_code_point_of_texts_without_higher_ones(highest):
    text = " ".join(f"a{chr(code)}b" for code in range(highest))
    assert words_of(text) == text.split()


def test_zero_width_space_is_no_blank():
    assert words_of("one\u200bword two\ufeffwords") == ["one\u200bword", "two\ufeffwords"]


@pytest.mark.parametrize("text", ["", " ", "\u3000\n", "a", " a", "a ", " a  b "])
def test_blanks_at_the_ends(text):
    assert words_of(text) == text.split()


@pytest.mark.parametrize("letter", ["a", "é", "本", "😀"])
@pytest.mark.parametrize("shift", range(-2, 3))
def test_words_and_blanks_across_the_border_of_a_block(letter, shift):
    for text in (
        letter * (BLOCK + shift) + " b",
        " " * (BLOCK + shift) + letter + " b",
        letter + " " * (BLOCK + shift) + letter,
        letter + " " * (BLOCK + shift),
        letter * (2 * BLOCK + shift),
    ):
        assert runs_of(text) == text.split()


def test_words_begun_before_an_offset():
    words = Words.of("  one two\nthree")
    assert words.begun_before([0, 2, 3, 6, 7, 10, 11, 99]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_spans_of_windows():
    text = "  one two\nthree "
    assert list(Words.of(text).spans([(0, 2), (1, 3)], 99)) == [(2, 9), (6, 15)]


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a", "a b", " a  b ", "a b c", "a\tb\nc d e", "abcdefg", "a\x1cb\x1fc\x0bd"),
        *("a\xa0b\u3000c", "\x85a\u2028b", "a\u200bb c", "abc " * 4000),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_is_short_counts_no_more_than_it_must(text, count):
    assert is_short(text, count) == (len(text.split()) <= count)
