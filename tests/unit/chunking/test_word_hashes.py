"""Numbers of words by their places are those that each word has by itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from langchain_hf_endpoint.chunking import word_hashes
from langchain_hf_endpoint.chunking.word_hashes import KnownWords
from langchain_hf_endpoint.chunking.words import Words

BOOK = (Path(__file__).parents[3] / "examples/data/alice_in_wonderland.txt").read_text("utf-8")
KNOWN = KnownWords()  # of all examples
WORDS = st.one_of(
    st.sampled_from(["a", "b", "ab", "ba", "aa", "\x01", "\x00", "\x00a", "a\x00", "�", "é", "本"]),
    st.text(),
)


def numbers_of(words):
    """A number that no other word of this length and these letters has."""
    return [
        sum(ord(letter) * (place + 1) for place, letter in enumerate(word)) % 50_000
        for word in words
    ]


def assert_right(known, text):
    words = Words.of(text)
    found = known.numbers(text, words.starts, words.ends, numbers_of)
    pairs = zip(words.starts.tolist(), words.ends.tolist(), strict=True)
    assert found.tolist() == numbers_of([text[start:end] for start, end in pairs])


@given(st.lists(WORDS, max_size=30).map(" ".join))
@profile(deadline=None)
def test_each_word_has_its_number_whatever_came_before(text):
    assert_right(KNOWN, text)


def test_words_that_share_a_place_are_told_apart(monkeypatch):
    monkeypatch.setattr(word_hashes, "_SLOTS", 4)
    known = KnownWords()
    for _ in range(2):
        assert_right(known, BOOK[:20_000])


@pytest.mark.parametrize("repeats", [1, 3])
def test_long_texts_are_hashed_block_by_block(repeats):
    assert_right(KnownWords(), BOOK * repeats)
    assert_right(KnownWords(), BOOK.replace("Alice", "Älice") * repeats)


def test_a_word_is_worked_out_once():
    asked = []

    def count(words):
        asked.extend(words)
        return [1] * len(words)

    known = KnownWords()
    words = Words.of("one two three " * 3)
    for _ in range(3):
        known.numbers("one two three " * 3, words.starts, words.ends, count)
    assert asked == ["one", "two", "three"] * 3  # all of the first text at once


def test_numbers_too_large_for_the_table_are_right_all_the_same():
    words = Words.of("one two")
    known = KnownWords()
    for _ in range(2):
        found = known.numbers(
            "one two", words.starts, words.ends, lambda words: [10**6] * len(words)
        )
        assert found.tolist() == [10**6, 10**6]


def test_no_words():
    none = np.empty(0, np.intp)
    assert KNOWN.numbers("", none, none, numbers_of).tolist() == []


def test_many_threads_see_right_numbers(monkeypatch):
    monkeypatch.setattr(word_hashes, "_SLOTS", 1 << 8)
    known = KnownWords()
    with ThreadPoolExecutor(4) as threads:
        texts = [BOOK[start : start + 20_000] for start in range(0, 120_000, 5000)]
        for done in [threads.submit(assert_right, known, text) for text in texts]:
            done.result()
