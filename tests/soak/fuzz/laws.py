"""What holds for any reply of a server and for any text: laws that fuzzers and properties share.

Each of `LAWS` takes any bytes and raises where the package does what it must not. A case is a file
that somebody can read and edit::

    reply    "503 4" (status, inputs), header lines, an empty line, the body
    wait     header lines of a 429 or 503, an empty line, the body
    text     a letter for how to cut, then the text in UTF-8; other bytes stand for lone surrogates
"""

from __future__ import annotations

import math
import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from both_forms import read_in_both_forms
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from langchain_hf_endpoint._messages import Cause, Failure, Response
from langchain_hf_endpoint._protocols import (
    DIALECTS,
    candidates,
    conclude,
    declines,
    explain,
    read_context_length,
    read_info,
    read_models,
    recognise,
    unknown_model,
)
from langchain_hf_endpoint._protocols.retry_after import wait_asked
from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.chunking.counting import LONGEST_CHUNK, count_words
from langchain_hf_endpoint.chunking.punkt import sentence_starts
from langchain_hf_endpoint.chunking.punkt_tables import load_tables

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = 1_760_011_200.0

CUTS = [
    {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 1},
    {"strategy": "sentence", "max_chunking_size": 23, "sentence_overlap": 0},
    {"strategy": "word", "max_chunking_size": 10, "overlap": 5},
    {"strategy": "word", "max_chunking_size": 11, "overlap": 0},
]


# Replies


def assert_right(rows, count):
    """What the engine relies on without looking again."""
    assert len(rows) == count
    if isinstance(rows, np.ndarray):
        assert rows.dtype == np.float32
        assert rows.ndim == 2
        assert rows.shape[1] >= 1
        assert np.isfinite(rows).all()
        return
    assert len({len(row) for row in rows}) == 1
    assert len(rows[0]) >= 1
    for row in rows:
        for value in row:
            assert type(value) is float
            assert math.isfinite(value)
            with np.errstate(over="raise"):
                np.float32(value)


def assert_settled(result, count):
    """Vectors that are right, or a failure that can be shown."""
    if not isinstance(result, Failure):
        assert_right(result, count)
        return
    assert isinstance(result.cause, Cause)
    assert 0 < len(result.text) <= 700
    assert result.text.isprintable()
    assert result.batch_limit is None or result.batch_limit >= 1
    assert_sensible_wait(result.retry_after)


def assert_sensible_wait(seconds):
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


def assert_info_can_be_used(reply):
    """No bound of zero, which nothing would fit into, and no words that cannot be shown."""
    info = read_info(reply)
    if info is None:
        return
    for bound in (info.max_batch_size, info.max_concurrent_inputs, info.max_input_tokens):
        assert bound is None or (type(bound) is int and bound >= 1)
    for words in (info.kind, info.version, info.model_id, info.unfit):
        assert words is None or (words.isprintable() and 0 < len(words) <= 300)


def assert_all_readers_settle(reply, count):
    """Whoever reads the reply, for whichever purpose, comes to an end without an exception."""
    for dialect in DIALECTS.values():
        result = read_in_both_forms(dialect, reply, count)
        assert_settled(result, count)
        assert isinstance(result, Failure) or 200 <= reply.status <= 299
    assert_settled(explain(reply), 0)
    assert_info_can_be_used(reply)
    served = read_models(reply)
    assert served.choice is None or served.choice in served.names
    assert served.context_length is None or served.context_length > 0
    window = read_context_length(reply)
    assert window is None or window > 0
    tried = []
    for route in candidates("http://127.0.0.1:8080"):
        kept = recognise(route, reply)
        assert kept is None or not kept.trial
        assert not (kept and declines(route, reply))
        tried.append((route, explain(reply)))
        unknown_model(tried[-1][1])
    assert_settled(conclude(tried), 0)


# Texts


def stock_punkt(language):
    """NLTK's own tokenizer with the trained tables and everything else as it comes."""
    tables = load_tables(language, [])
    parameters = PunktParameters()
    parameters.abbrev_types = set(tables.abbreviations)
    parameters.collocations = set(tables.collocations)
    parameters.sent_starters = set(tables.sentence_starters)
    parameters.ortho_context.update(tables.contexts)
    return PunktSentenceTokenizer(parameters)


@cache
def _english():
    return stock_punkt("english")


def stock_starts(text, punkt=None):
    return [start for start, _ in (punkt or _english()).span_tokenize(text)][1:]


@lru_cache(maxsize=1000)
def _words(text):
    return count_words(text)  # pieces of a text that repeats itself are much the same


def assert_chunks_hold_every_word(text, settings):
    """Chunks are pieces of the text, in order, none too long; between them lie blanks only.

    A run without blanks may count as many words, so that a chunk has no more than `count_words`.
    """
    size = settings.get("max_chunking_size", 250)
    reached = 0
    pieces = chunk(text, settings)
    for piece in pieces:
        assert piece.text == text[piece.start : piece.end] == piece.text.strip() != ""
        assert len(piece.text.split()) <= _words(piece.text) <= size
        assert len(piece.text) <= LONGEST_CHUNK
        assert not text[reached : piece.start].strip()
        assert piece.end > reached
        reached = piece.end
    assert not text[reached:].strip()
    return pieces


# Any bytes


def any_reply(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    status, count = [*re.findall(r"[0-9]{1,3}", first), "200", "1"][:2]
    assert_all_readers_settle(Response(int(status), _headers(lines), body), int(count))


def any_wait(data: bytes) -> None:
    head, _, body = data.partition(b"\n\n")
    headers = _headers(head.decode("latin-1").split("\n"))
    for status in (429, 503):
        assert_sensible_wait(wait_asked(Response(status, headers, body), lambda: NOON))


def any_text(data: bytes) -> None:
    text = data[1:].decode("utf-8", "surrogateescape")  # what is no UTF-8 turns to lone surrogates
    assert_chunks_hold_every_word(text, CUTS[(data or b"a")[0] % len(CUTS)])
    assert sentence_starts(text, "english") == stock_starts(text)


def _headers(lines):
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


LAWS: dict[str, Callable[[bytes], None]] = {
    "reply": any_reply,
    "wait": any_wait,
    "text": any_text,
}
