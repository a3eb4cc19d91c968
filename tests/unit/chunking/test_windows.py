"""The packing rules, in numbers of words, against tables worked out from Elastic's rules."""

from __future__ import annotations

from itertools import accumulate

import pytest

from langchain_hf_endpoint.chunking.windows import sentence_windows, word_windows

FOUR_SENTENCES = list(accumulate([16, 42, 60, 15]))


@pytest.mark.parametrize(
    ("size", "overlap", "windows"),
    [
        (10, 4, {10: 1, 22: 3, 50: 8, 73: 12, 100: 16}),
        (10, 2, {10: 1, 22: 3, 50: 6, 73: 9, 100: 13}),
        (20, 4, {10: 1, 22: 2, 50: 3, 73: 5, 100: 6}),
        (20, 10, {10: 1, 22: 2, 50: 4, 73: 7, 100: 9}),
        (10, 3, {7: 1, 8: 1, 9: 1, 10: 1, 11: 2}),
        (10, 5, {8: 1, 10: 1, 11: 2, 15: 2, 16: 3}),
        (10, 0, {133: 14}),
        (20, 0, {133: 7}),
        (100, 0, {133: 2}),
        (300, 0, {133: 1}),
    ],
)
def test_number_of_word_windows(size, overlap, windows):
    assert {count: len(word_windows(count, size, overlap)) for count in windows} == windows


def test_word_windows_start_a_step_apart_and_the_last_one_is_cut_off():
    assert word_windows(22, 10, 4) == [(0, 10), (6, 16), (12, 22)]
    assert word_windows(23, 10, 4) == [(0, 10), (6, 16), (12, 22), (18, 23)]


def test_a_rest_within_the_overlap_gets_no_window_of_its_own():
    assert word_windows(16, 10, 4) == [(0, 10), (6, 16)]


def test_no_words_no_windows():
    assert word_windows(0, 10, 4) == []
    assert sentence_windows([], 20, overlapping=True) == []


@pytest.mark.parametrize(
    ("overlapping", "windows"),
    [
        (False, {10: 21, 20: 10, 30: 7, 50: 4, 70: 3, 80: 2, 100: 2, 120: 2, 150: 1, 200: 1}),
        (True, {10: 24, 20: 13, 30: 9, 50: 6, 70: 3, 80: 3, 100: 2, 120: 2, 150: 1, 200: 1}),
    ],
)
def test_number_of_sentence_windows(overlapping, windows):
    found = {
        size: len(sentence_windows(FOUR_SENTENCES, size, overlapping=overlapping))
        for size in windows
    }
    assert found == windows


def test_a_long_sentence_is_cut_with_overlap_though_sentences_do_not_overlap():
    windows = sentence_windows(FOUR_SENTENCES, 50, overlapping=False)
    assert windows == [(0, 16), (16, 58), (58, 108), (88, 133)]


def test_the_last_piece_of_a_long_sentence_takes_in_the_next_one():
    assert sentence_windows([60, 70], 50, overlapping=False) == [(0, 50), (30, 70)]


def test_the_last_words_of_a_sentence_are_repeated_where_the_whole_does_not_fit():
    assert sentence_windows(FOUR_SENTENCES, 100, overlapping=True) == [(0, 58), (38, 133)]


def test_at_most_half_the_size_is_repeated_of_a_cut_sentence():
    # 15 + 8 do not fit into 20: half of 20 are repeated.
    assert sentence_windows([15, 23], 20, overlapping=True) == [(0, 15), (5, 23)]


def test_overlap_and_sentence_together_may_be_too_long():
    assert sentence_windows(list(accumulate([15, 30, 20, 5])), 40, overlapping=True) == [
        (0, 15),
        (0, 40),
        (21, 45),
        (25, 65),
        (45, 70),
    ]


def test_the_same_sentences_without_overlap():
    ends = list(accumulate([15, 30, 20, 5]))
    assert sentence_windows(ends, 40, overlapping=False) == [(0, 15), (15, 45), (45, 70)]


def test_short_sentences_each_window_starts_with_the_last_sentence_of_the_one_before():
    ends = list(range(8, 81, 8))
    windows = sentence_windows(ends, 20, overlapping=True)
    assert windows == [(start, start + 16) for start in range(0, 72, 8)]


@pytest.mark.parametrize(("size", "overlap"), [(20, 9), (40, 19), (41, 20), (42, 20), (250, 20)])
def test_overlap_within_a_long_sentence(size, overlap):
    (_, stop), (start, _), *_ = sentence_windows([1000], size, overlapping=False)
    assert (stop, stop - start) == (size, overlap)
