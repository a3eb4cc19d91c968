"""What holds for every text: chunks against slow, literal references, sentences against NLTK."""

from __future__ import annotations

import unicodedata
from itertools import cycle
from pathlib import Path

import pytest
import regex
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from laws import assert_chunks_hold_every_word, stock_punkt, stock_starts
from nltk.tokenize.punkt import PunktSentenceTokenizer
from thoroughness import amount

from langchain_hf_endpoint.chunking import PUNKT_LANGUAGES, chunk
from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.chunking.punkt import _finders, sentence_starts
from langchain_hf_endpoint.chunking.punkt_tables import load_tables
from langchain_hf_endpoint.chunking.scripts import UNSPACED
from langchain_hf_endpoint.chunking.windows import sentence_windows, word_windows

UNSPACED_BELOW_2000 = "".join(
    chr(code) for first, last, _ in UNSPACED if last < 0x2000 for code in range(first, last + 1)
)
BOOK = Path(__file__).parents[3] / "examples/data/alice_in_wonderland.txt"

QUOTES = "\"'`\u2018\u2019\u201c\u201d\xab\xbb"
BLANKS = " \n\t\r\v\f\xa0\u2003\u200b\x85\x00\x1c"
MARKS = st.sampled_from([*".?!,;:)]}([{*@&#-\u2026\ud800", *QUOTES, *BLANKS, "..", "...", "--"])
COMMON = "a A I J b word Word WORD Dr dr Mr e.g U.S Ph.D co. No no 3 3.14 1,000 -2. well-known"
RARE = "don't However the The Bach İ ß ΟΔΟΣ ǅ 本 ٣ Ⅷ ª é"
WORDS = st.sampled_from([*COMMON.split(), *RARE.split()])
PIECES = st.one_of(
    MARKS,
    WORDS.map("x-{}.".format),
    WORDS,
    st.sampled_from([". ", "? ", "! ", " ", ' "', '." ', ".) "]),
)
SNIPPETS = st.lists(PIECES, max_size=40).map("".join)
LINES = st.lists(
    st.one_of(WORDS, WORDS.map("{}.".format), WORDS.map('"{}!"'.format), MARKS), max_size=120
)
TEXTS = st.builds(lambda pieces, blank: blank.join(pieces), LINES, st.sampled_from([" ", " \n"]))


# References: slow, and word for word what the rules say.


def reference_word_windows(count, size, overlap):
    windows = []
    start = 0
    while start + size <= count:
        windows.append((start, start + size))
        start += size - overlap
    if count - start > overlap or (not windows and count):
        windows.append((start, count))
    return windows


def reference_sentence_windows(ends, size, overlap):
    emitted = []
    chunk_start = chunk_end = chunk_words = prev_start = prev_words = 0
    for start, end in zip([0, *ends], ends, strict=False):
        words = end - start
        if chunk_words + words <= size:
            chunk_words += words
        else:
            next_words = words
            if chunk_words > 0:
                emitted.append((chunk_start, chunk_end))
                if overlap:
                    if prev_words + words <= size:
                        chunk_start, chunk_words = prev_start, prev_words + words
                    else:
                        skip = max(0, prev_words - min(size // 2, 20))
                        chunk_start = prev_start + skip
                        chunk_words = (prev_words - skip) + words
                    next_words = chunk_words
                else:
                    chunk_start, chunk_words = chunk_end, words
            if next_words > size:
                inner = min(20, (size - 1) // 2)
                parts = reference_word_windows(end - chunk_start, size, inner)
                emitted += [(chunk_start + first, chunk_start + stop) for first, stop in parts[:-1]]
                first, stop = parts[-1]
                chunk_start, chunk_words = chunk_start + first, stop - first
        if overlap:
            prev_start, prev_words = start, words
        chunk_end = end
    if chunk_words > 0:
        emitted.append((chunk_start, chunk_end))
    return emitted


@given(st.integers(0, 2000), st.integers(1, 300), st.floats(0, 1))
def test_windows_of_words(count, size, part):
    overlap = int(size // 2 * part)
    assert word_windows(count, size, overlap) == reference_word_windows(count, size, overlap)


SENTENCES = st.lists(
    st.one_of(st.integers(1, 12), st.integers(1, 60), st.integers(1, 900)), max_size=60
).map(lambda lengths: [sum(lengths[: index + 1]) for index in range(len(lengths))])


@given(SENTENCES, st.integers(2, 300), st.booleans())
def test_windows_of_sentences(ends, size, overlapping):
    found = sentence_windows(ends, size, overlapping=overlapping)
    assert found == reference_sentence_windows(ends, size, overlapping)


@given(SENTENCES, st.integers(2, 300), st.booleans())
def test_windows_of_sentences_hold_every_word_once_or_within_the_overlap(ends, size, overlapping):
    windows = sentence_windows(ends, size, overlapping=overlapping)
    bounds = [0, *ends]
    reached = 0
    for index, (start, stop) in enumerate(windows):
        assert 0 < stop - start <= size
        if index:
            repeated = reached - start
            previous_sentence = max((b for b in bounds if b < reached), default=0)
            assert 0 <= repeated <= max(20, reached - previous_sentence)
        assert stop > reached
        reached = stop
    assert reached == bounds[-1]


# Chunks of texts.

CHUNKING = st.one_of(
    st.builds(
        lambda size, part: {
            "strategy": "word",
            "max_chunking_size": size,
            "overlap": int(size // 2 * part),
        },
        st.integers(10, 40),
        st.floats(0, 1),
    ),
    st.builds(
        lambda size, overlap: {
            "strategy": "sentence",
            "max_chunking_size": size,
            "sentence_overlap": overlap,
        },
        st.integers(20, 60),
        st.integers(0, 1),
    ),
)


def reference_chunks(text, settings):
    """Chunks of lists of words, with offsets found by walking through the text."""
    offsets, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        offsets.append((at, at + len(word)))
        at += len(word)
    size = settings["max_chunking_size"]
    if settings["strategy"] == "word":
        windows = reference_word_windows(len(offsets), size, settings["overlap"])
    else:
        begun = [sum(start < edge for start, _ in offsets) for edge in stock_starts(text)]
        ends = sorted({*begun, len(offsets)} - {0})
        windows = reference_sentence_windows(ends, size, settings["sentence_overlap"])
    return [(offsets[first][0], offsets[stop - 1][1]) for first, stop in windows]


@given(TEXTS, CHUNKING)
@profile(max_examples=amount(100, 300), deadline=None)
def test_chunks_are_those_of_the_rules(text, settings):
    found = [(piece.start, piece.end) for piece in chunk(text, settings)]
    assert found == reference_chunks(text, settings)


# Every script that parts words by blanks, and every mark: runs of up to 63 of them are words,
# and up to 255 of one that stands alone.
SPACED = st.characters(
    codec="utf-8", max_codepoint=0x1FFF, exclude_characters=UNSPACED_BELOW_2000
) | st.sampled_from("\u2014\u2019\u201c\u2026\u20ac\u3001\u3002\u300c\u300d한국어책\U0001f600")
SPACED_TEXTS = st.lists(st.text(SPACED, max_size=63), min_size=20, max_size=90).map(" ".join)


@given(SPACED_TEXTS, CHUNKING)
@example(
    "word " * 40 + "-" * 63 + " word" * 40,
    {"strategy": "word", "max_chunking_size": 10, "overlap": 3},
)
@example(
    "word " * 40 + "https://example.com/" + "a/" * 117 + " word" * 40,
    {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0},
)
@example(
    "(漢字)와 「책」을。 ｢中｣ " * 40,
    {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 1},
)
@profile(max_examples=amount(60, 150), deadline=None)
def test_texts_whose_words_blanks_part_are_cut_as_by_their_blanks_alone(text, settings):
    found = [(piece.start, piece.end) for piece in chunk(text, settings)]
    assert found == reference_chunks(text, settings)


RUNS = st.text(
    st.sampled_from("中文。！…」（a1.é\u0301ก็ ยຄ  ខ្ម។ကြ။ｶﾞ한\u200d😀🇩👩 \u3000\n"), max_size=400
)
LONG_RUNS = st.builds(
    lambda run, count, more: run * count + more,
    st.text(min_size=1, max_size=30),
    st.integers(1, 90),
    RUNS,
)


@given(st.one_of(RUNS, LONG_RUNS, st.lists(RUNS, max_size=4).map("".join)), CHUNKING)
@example(
    "\u0e000\u17d2\u0300\u1780" * 5,
    {"strategy": "word", "max_chunking_size": 10, "overlap": 0},
)
@example(
    "\U00011f000" * 11, {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0}
)
@example("\u17d20\u3099" * 11, {"strategy": "word", "max_chunking_size": 10, "overlap": 0})
@profile(max_examples=amount(150, 400), deadline=None)
def test_texts_without_blanks_are_cut_between_characters_and_hold_everything(text, settings):
    pieces = assert_chunks_hold_every_word(text, settings)
    edges = {0, *(match.end() for match in regex.finditer(r"\X", text))}
    inside = {at for piece in pieces for at in (piece.start, piece.end)} - edges
    # Of a character without end only a part is in a chunk; what joins a blank is no part of it;
    # what came into Unicode after this Python joins nothing.
    for at in inside:
        cluster = regex.match(r"\X", text, pos=max(edge for edge in edges if edge < at)).group()
        assert len(cluster) > 32 or any(
            letter.isspace() or unicodedata.category(letter) == "Cn" for letter in cluster
        )


@given(st.one_of(TEXTS, SNIPPETS, st.text()), CHUNKING)
@profile(deadline=None)
def test_chunks_are_pieces_that_together_hold_every_word(text, settings):
    assert_chunks_hold_every_word(text, settings)


@given(SNIPPETS)
@profile(deadline=None)
def test_a_text_that_fits_is_the_same_chunk_under_every_strategy(text):
    by_sentence, by_word = (
        chunk(text, {"strategy": name, "max_chunking_size": 50}) for name in ("sentence", "word")
    )
    if count_words(text) <= 50:
        assert by_sentence == by_word == chunk(text, {"strategy": "none"})


# Sentences.


@given(SNIPPETS)
@example(" .! Marks at the start.")
@example(".! Marks at the start.")
@example("End!!! !! ?. Marks without a word.")
@example('The end." "')
@profile(max_examples=amount(200, 600), deadline=None)
def test_sentences_are_those_of_nltk(text):
    assert sentence_starts(text, "english") == stock_starts(text)


@given(st.text())
@profile(max_examples=amount(150, 500), deadline=None)
def test_sentences_of_any_text_are_those_of_nltk(text):
    assert sentence_starts(text, "english") == stock_starts(text)


@pytest.mark.parametrize("language", PUNKT_LANGUAGES)
def test_sentences_of_every_language_are_those_of_nltk(language):
    """Words of the language's own tables, which all rules ask for, in an order that mixes them."""
    tables = load_tables(language, [])
    some = slice(None, None, 97)
    words = [
        *sorted(tables.abbreviations)[:60],
        *(f"x-{word}" for word in sorted(tables.abbreviations)[:20]),
        *(word for pair in sorted(tables.collocations)[:20] for word in pair),
        *sorted(tables.sentence_starters),
        *sorted(tables.contexts)[some],
    ]
    pick = [words[index * index * 7 % len(words)] for index in range(amount(800, 3000))]
    text = " ".join(
        f"{one}{mark} {two.title()}" for one, two, mark in zip(pick[::2], pick[1::2], cycle(".!?."))
    )
    assert sentence_starts(text, language) == stock_starts(text, stock_punkt(language))


@pytest.mark.parametrize("language", PUNKT_LANGUAGES)
def test_the_fast_way_is_not_given_up_for_any_language(language):
    assert _finders(language).fast is not None


def test_another_nltk_with_other_rules_would_be_followed(monkeypatch):
    """As if a later NLTK had a rule less: what it says holds, and the fast way is given up."""
    monkeypatch.setattr(PunktSentenceTokenizer, "_ortho_heuristic", lambda *_: "unknown")
    _finders.cache_clear()
    text = "It is the 3. of May. Mr. A. The end. By J. He said so. " * 50
    try:
        assert _finders("english").fast is None
        assert sentence_starts(text, "english") == stock_starts(text)
    finally:
        _finders.cache_clear()


def test_sentences_of_a_book_are_those_of_nltk():
    text = BOOK.read_text("utf-8")
    for version in (text, text.replace("\n", "\r\n"), " ".join(text.split())):
        assert sentence_starts(version, "english") == stock_starts(version)


@pytest.mark.parametrize("overlap", [0, 1])
def test_chunks_of_a_book_are_those_of_the_rules(overlap):
    text = BOOK.read_text("utf-8")[:40_000]
    settings = {"strategy": "sentence", "max_chunking_size": 40, "sentence_overlap": overlap}
    found = [(piece.start, piece.end) for piece in chunk(text, settings)]
    assert found == reference_chunks(text, settings)
