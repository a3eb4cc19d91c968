"""Those that cut text, each as a function from a text to what it makes of it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import SCRATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Split = Callable[[str], Sequence[object]]

WORDS = 250
CHARACTERS = 1400  # what 250 words of English have


@dataclass(frozen=True)
class Splitter:
    """One way to cut a text.

    Attributes:
        name: As the tables call it.
        does: What it really does.
        make: Gives the function, and imports what it needs; called in its own child only.
    """

    name: str
    does: str
    make: Callable[[], Split]


def nltk_data() -> Path:
    """A folder for ``NLTK_DATA`` with the genuine English tables, and stop words, of llama-index.

    They are copied, since NLTK refuses hard links, which some installers make.
    """
    spec = find_spec("llama_index.core")
    assert spec
    assert spec.submodule_search_locations
    held = Path(next(iter(spec.submodule_search_locations))) / "_static/nltk_cache"
    for part in ("tokenizers/punkt_tab/english", "corpora/stopwords"):
        if not (SCRATCH / part).exists():
            shutil.copytree(held / part, SCRATCH / part)
    return SCRATCH


def _own_sentences() -> Split:
    from langchain_hf_endpoint.chunking.punkt import sentence_starts

    return lambda text: sentence_starts(text, "english")


def _own(**settings: object) -> Callable[[], Split]:
    def make() -> Split:
        from langchain_hf_endpoint import chunk

        return lambda text: chunk(text, settings)

    return make


def _nltk() -> Split:
    from nltk.tokenize import sent_tokenize

    return sent_tokenize


def _langchain_nltk() -> Split:
    from langchain_text_splitters import NLTKTextSplitter

    return NLTKTextSplitter(chunk_size=CHARACTERS, chunk_overlap=0).split_text


def _langchain_recursive() -> Split:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(chunk_size=CHARACTERS, chunk_overlap=0).split_text


def _langchain_recursive_words() -> Split:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        chunk_size=WORDS, chunk_overlap=0, length_function=lambda text: len(text.split())
    ).split_text


def _semchunk() -> Split:
    import semchunk

    chunker = semchunk.chunkerify(lambda text: len(text.split()), WORDS)
    return lambda text: chunker(text, offsets=True)[0]


def _chonkie_sentence() -> Split:
    from chonkie import SentenceChunker

    return SentenceChunker(tokenizer="word", chunk_size=2 * WORDS, chunk_overlap=0).chunk


def _chonkie_recursive() -> Split:
    from chonkie import RecursiveChunker

    return RecursiveChunker(tokenizer="word", chunk_size=2 * WORDS).chunk


def _chonkie_fast() -> Split:
    from chonkie import FastChunker

    return FastChunker(chunk_size=CHARACTERS).chunk


def _semantic_characters() -> Split:
    from semantic_text_splitter import TextSplitter

    return TextSplitter(CHARACTERS).chunk_indices


def _semantic_words() -> Split:
    from semantic_text_splitter import TextSplitter

    return TextSplitter.from_callback(lambda text: len(text.split()), WORDS).chunk_indices


def _split() -> Split:
    return str.split


def _find_words() -> Split:
    word = re.compile(r"\S+")
    return lambda text: [found.start() for found in word.finditer(text)]


SPLITTERS = (
    Splitter("ours, sentence boundaries", "where NLTK's sentences begin", _own_sentences),
    Splitter(
        "ours, sentence chunks",
        "whole sentences of NLTK's, at most 250 words, one shared; offsets",
        _own(strategy="sentence"),
    ),
    Splitter("ours, word chunks", "250 words, 100 of them shared; offsets", _own(strategy="word")),
    Splitter(
        "ours, word chunks, no overlap",
        "250 words; offsets",
        _own(strategy="word", overlap=0),
    ),
    Splitter("nltk sent_tokenize", "sentences by trained rules; no chunks, no offsets", _nltk),
    Splitter(
        "langchain NLTKTextSplitter",
        "NLTK's sentences, joined to at most 1,400 characters; no offsets",
        _langchain_nltk,
    ),
    Splitter(
        "langchain Recursive, characters",
        "paragraphs, lines, words to at most 1,400 characters; no sentences, no offsets",
        _langchain_recursive,
    ),
    Splitter(
        "langchain Recursive, words",
        "the same to at most 250 words",
        _langchain_recursive_words,
    ),
    Splitter(
        "semchunk",
        "line breaks, blanks, punctuation to at most 250 words; no trained rules; offsets",
        _semchunk,
    ),
    Splitter(
        "chonkie SentenceChunker",
        "ends at '. ', '! ', '? ' and lines, knows no abbreviations; blanks count as words",
        _chonkie_sentence,
    ),
    Splitter(
        "chonkie RecursiveChunker",
        "paragraphs, then such sentences; blanks count as words",
        _chonkie_recursive,
    ),
    Splitter("chonkie FastChunker", "1,400 bytes, in the midst of words", _chonkie_fast),
    Splitter(
        "semantic-text-splitter, characters",
        "Unicode's sentences and words to at most 1,400 characters; Rust; offsets",
        _semantic_characters,
    ),
    Splitter(
        "semantic-text-splitter, words",
        "the same to at most 250 words, counted in Python",
        _semantic_words,
    ),
    Splitter("str.split()", "nothing but words, without offsets: what CPython can do", _split),
    Splitter(
        r"re.finditer(r'\S+')",
        "nothing but the offsets of words: what CPython can do",
        _find_words,
    ),
)
"""In the order of the tables."""


def splitter(name: str) -> Splitter:
    """The splitter of this name."""
    return next(one for one in SPLITTERS if one.name == name)
