"""What chunk() promises its callers."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from langchain_hf_endpoint.chunking import Chunk, chunk
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

WORDS_OF_SENTENCES = (16, 42, 60, 15)


def sentence(words):
    return " ".join(["Rain", *["fell"] * (words - 2), "again."])


def prose(*words_of_sentences):
    return " ".join(sentence(words) for words in words_of_sentences)


def lengths(chunks):
    return [len(piece.text.split()) for piece in chunks]


STRATEGIES = pytest.mark.parametrize(
    "settings",
    [
        {"strategy": "word", "max_chunking_size": 10, "overlap": 3},
        {"strategy": "sentence", "max_chunking_size": 20},
        {"strategy": "none"},
    ],
    ids=lambda settings: settings["strategy"],
)


def test_the_default_is_sentences_of_250_words_with_one_of_overlap():
    text = prose(100, 100, 100, 100)
    assert lengths(chunk(text)) == [200, 200, 200]
    assert chunk(text) == chunk(text, {}) == chunk(text, ChunkingSettings())


def test_four_sentences_by_100_words():
    text = prose(*WORDS_OF_SENTENCES)
    settings = {"strategy": "sentence", "max_chunking_size": 100, "sentence_overlap": 0}
    first, second = chunk(text, settings)
    assert first == Chunk(prose(16, 42), 0, len(prose(16, 42)))
    assert second == Chunk(prose(60, 15), len(text) - len(prose(60, 15)), len(text))


def test_one_sentence_of_overlap_is_the_default():
    text = prose(16, 30, 40, 15)
    assert [piece.text for piece in chunk(text, {"max_chunking_size": 70})] == [
        prose(16, 30),
        prose(30, 40),
        prose(40, 15),
    ]


def test_windows_of_words():
    text = " ".join(map(str, range(22)))
    settings = {"strategy": "word", "max_chunking_size": 10, "overlap": 4}
    assert [piece.text.split()[0] for piece in chunk(text, settings)] == ["0", "6", "12"]


def test_settings_may_be_an_object_or_a_mapping():
    text = prose(30, 30)
    settings = {"strategy": "word", "max_chunk_size": 40, "overlap": 0}
    assert chunk(text, ChunkingSettings(**settings)) == chunk(text, settings)


def test_wrong_settings_are_named():
    with pytest.raises(SettingsError, match="overlap"):
        chunk("text", {"strategy": "sentence", "overlap": 3})
    with pytest.raises(SettingsError, match=r"\[1\] unknown field"):
        chunk("text", {1: 2})
    with pytest.raises(SettingsError, match="must be of class ChunkingSettings, not str"):
        chunk("text", "sentence")


@STRATEGIES
@pytest.mark.parametrize("text", ["", " ", "\n\t\r\n", "\u3000\xa0\x1c\x85", " " * 1000])
def test_blank_text_has_no_chunk(settings, text):
    assert chunk(text, settings) == []


@STRATEGIES
def test_a_short_text_is_one_chunk_without_its_outer_blanks(settings):
    assert chunk("\u2003 two words\n", settings) == [Chunk("two words", 2, 11)]


@STRATEGIES
@pytest.mark.parametrize("words", [9, 10, 11, 19, 20, 21, 500])
def test_chunks_are_pieces_of_the_text_without_outer_blanks(settings, words):
    text = "  " + "\xa0\n".join(["word."] * words) + "\t "
    chunks = chunk(text, settings)
    assert chunks
    for piece in chunks:
        assert piece.text == text[piece.start : piece.end] == piece.text.strip()


def test_none_leaves_a_long_text_whole():
    text = prose(400)
    assert chunk(f" {text} ", {"strategy": "none"}) == [Chunk(text, 1, 1 + len(text))]


def test_offsets_are_in_code_points():
    text = "😀 " * 10 + "end"
    *_, last = chunk(text, {"strategy": "word", "max_chunking_size": 10, "overlap": 0})
    assert last == Chunk("end", 20, 23)


def test_a_chunk_is_a_value():
    piece = Chunk("a", 0, 1)
    assert piece == Chunk("a", 0, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        piece.start = 1


def test_neither_import_nor_short_texts_load_nltk_or_its_tables():
    script = (
        "import sys; from langchain_hf_endpoint.chunking import chunk; "
        "chunk('A short text.'); chunk('word ' * 999, {'strategy': 'word'}); "
        "sys.exit(bool({'nltk', 'punkt'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
