"""Sentences in many languages, from many threads, and in spite of NLTK's regex guard."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from nltk.tokenize.punkt import PunktLanguageVars, PunktSentenceTokenizer

from langchain_hf_endpoint.chunking import PUNKT_LANGUAGES, chunk
from langchain_hf_endpoint.chunking.nltk_punkt import NltkPunkt
from langchain_hf_endpoint.chunking.punkt_tables import load_tables

SMALLEST = {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0}
FILLER = "one two three four five six seven eight nine ten eleven twelve thirteen."


def beginnings(text, **settings):
    """The text of every chunk but the first; where sentences do not fit in twos, of each one."""
    return [piece.text for piece in chunk(text, {**SMALLEST, **settings})][1:]


@pytest.mark.parametrize(
    ("language", "abbreviated"),
    [
        ("english", "It was Dr. Smith who said so and he went away then, all alone."),
        ("german", "Es war Dr. Schmidt, der z.B. am 3. Oktober davon sprach, und ging."),
        ("french", "Ce fut M. Dupont qui parla de cela et qui partit tout seul, hier."),
        ("spanish", "Fue el Sr. Gómez quien habló de esto y se marchó solo, ayer."),
    ],
)
def test_an_abbreviation_ends_no_sentence_in_its_language(language, abbreviated):
    text = f"{FILLER} {abbreviated} {FILLER}"
    assert beginnings(text, language=language) == [abbreviated, FILLER]


@pytest.mark.parametrize("language", PUNKT_LANGUAGES)
def test_every_language_is_there(language):
    text = " ".join([FILLER.capitalize()] * 3)
    assert beginnings(text, language=language) == [FILLER.capitalize()] * 2


def test_a_closing_quote_belongs_to_its_sentence():
    quoted = '"Whether they went that way or not, nobody in town could tell me, alas."'
    assert beginnings(f"{FILLER} {quoted} {FILLER}") == [quoted, FILLER]


def test_a_sentence_that_ends_within_a_word_goes_on_to_the_end_of_the_word():
    cited = "Nobody in town could tell whether they had gone there or had left.[3]"
    assert beginnings(f"{FILLER} {cited} {FILLER}") == [cited, FILLER]


def test_a_sentence_ends_at_blanks_of_every_kind():
    text = f"{FILLER}\xa0\n\u2003Next: {FILLER}\u3000{FILLER}"
    assert beginnings(text) == [f"Next: {FILLER}", FILLER]


@pytest.fixture
def a_guard_without_patience(monkeypatch):
    """NLTK's limit of five seconds for each use of a regular expression, reached at once."""
    redos = pytest.importorskip("nltk.redos")
    if not isinstance(PunktLanguageVars().period_context_re(), redos.TimedPattern):
        pytest.skip("this NLTK does not guard its sentence tokenizer")
    monkeypatch.setattr(redos, "DEFAULT_TIMEOUT", 1e-9)
    with pytest.raises(TimeoutError):
        PunktSentenceTokenizer().tokenize(ORDINARY)


ORDINARY = f'{FILLER} Mr. J. Doe said: "No... 3. It is over!"' * 500


@pytest.mark.usefixtures("a_guard_without_patience")
def test_the_guard_of_nltk_is_off_our_path():
    assert len(chunk(ORDINARY)) > 30


@pytest.mark.usefixtures("a_guard_without_patience")
def test_the_guard_of_nltk_is_off_where_nltk_itself_decides():
    tables = load_tables("english", [])
    assert len(NltkPunkt(tables).sentence_starts(ORDINARY)) > 1000


def test_many_threads_chunk_at_once():
    alone = chunk(ORDINARY)
    with ThreadPoolExecutor(8) as threads:
        assert all(chunks == alone for chunks in threads.map(chunk, [ORDINARY] * 16))
