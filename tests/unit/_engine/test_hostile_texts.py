"""Texts that nobody would write go over the wire: each gets its own right vector, or is named.

``tests/unit/chunking/test_hostile_texts.py`` shows how they are cut.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from driving import DRIVES
from scripted_server import answer, inputs_of, numbered, vector, vectors
from thoroughness import in_pairs

from langchain_hf_endpoint import InputError

BLANKS = list(filter(str.isspace, map(chr, range(0x110000))))
SENTENCES = {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 1}
WORDS = {"strategy": "word", "max_chunking_size": 20, "overlap": 5}
WHOLE = {"strategy": "none"}


def with_words(unit):
    """The unit among words, so that no two chunks are the same."""
    return "".join(f"w{number}{unit}" for number in range(60))


HOSTILE = {
    "no blank": "a" * 40_000,
    "dots": ". " * 20_000,
    "exclamation marks": "!!!!! " * 8_000,
    "exclamation marks without a blank": "!" * 40_000,
    "NUL": "\0" * 1000 + with_words("\0 "),
    "other controls": "".join(map(chr, range(1, 32))) + with_words("\x1b[31m\x7f\x85 "),
    "bidi": with_words("\u202e\u2066 abc \u2069\u202c\u200f "),
    "four bytes": with_words(" \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467. "),
    "the last code points": with_words(" \U0010ffff\ufffe\uffff\ufdd0 "),
    "combining marks": with_words("a" + "\u0301" * 200 + ". "),
    "right to left": with_words("مرحبا بالعالم. שלום! "),
    "Chinese without a blank": "中文句子。" * 3_000,
    "Japanese and Korean": with_words(" 日本語の文です。한국어 문장입니다. "),
    "a byte order mark": "\ufeff" + with_words(" "),
    "zero width": with_words("\u200b\u2060\u00ad "),
    "JSON": with_words(' "\\u0000\\", "inputs": ["x"]} </script>'),
    "line ends": with_words(".\r\n\u2028\u2029\x0b\x0c"),
}


@in_pairs(kind=HOSTILE, chunking=[SENTENCES, WORDS, WHOLE], drive=DRIVES, indirect=["drive"])
def test_every_chunk_is_sent_as_it_stands_and_gets_its_own_vector(
    drive, server, make, kind, chunking
):
    server.behave(vectors)
    given = ["before", HOSTILE[kind], "after"]
    result = drive.chunks(make(chunking_settings=chunking), given)
    assert [[chunk.text for chunk in result[place]] for place in (0, 2)] == [["before"], ["after"]]
    for source, chunks in zip(given, result, strict=True):
        for chunk in chunks:
            assert chunk.text == source[chunk.start : chunk.end]
            assert chunk.embedding.tolist() == vector(chunk.text)
    sent = [one for batch in server.batches for one in batch]
    assert set(sent) == {chunk.text for chunks in result for chunk in chunks}
    assert len(sent) == len(set(sent))


@pytest.mark.parametrize("blank", BLANKS, ids=lambda blank: f"U+{ord(blank):04X}")
def test_every_blank_alone_is_refused_and_parts_words(drive, server, make, blank):
    with pytest.raises(InputError, match="text 1: is empty or blank") as caught:
        drive.documents(make(), ["good", blank * 3, "good too"])
    assert caught.value.index == 1
    assert server.requests == []
    server.behave(vectors)
    [chunks] = drive.chunks(make(chunking_settings=WORDS), [f"word{blank}" * 30])
    assert len(chunks) == 2
    assert not any(chunk.text.endswith(blank) for chunk in chunks)


SURROGATES = [
    "\ud800",
    "\udfff",
    "a\udc80",
    "\ud83d\ude00",
    "\ude00\ud83d",
    "x" * 70_000 + "\ud800",
]


@pytest.mark.parametrize("text", SURROGATES, ids=ascii)
@pytest.mark.parametrize("chunking", [SENTENCES, WORDS, WHOLE], ids=["sentence", "word", "none"])
def test_a_lone_surrogate_is_named_by_index_and_place_and_nothing_is_sent(
    drive, server, make, text, chunking
):
    place = next(n for n, character in enumerate(text) if "\ud800" <= character <= "\udfff")
    words = f"text 2: holds a lone surrogate at character {place}"
    for method in ("documents", "array", "chunks"):
        with pytest.raises(InputError, match=words) as caught:
            getattr(drive, method)(make(chunking_settings=chunking), ["good", "better", text])
        assert caught.value.index == 2
    assert server.requests == []


def test_ten_thousand_tiny_texts(drive, server, make):
    server.behave(vectors)
    texts = [chr(0x4E00 + number) for number in range(10_000)]
    array = drive.array(make(rate_limit={"requests_per_minute": 100_000}), texts)
    assert np.array_equal(array, np.array([vector(text) for text in texts], np.float32))
    assert len(server.batches) == 313


@pytest.mark.parametrize("strategy", ["sentence", "word"])
def test_a_text_of_a_million_words(drive, server, make, strategy):
    server.behave(vectors)
    text = " ".join(map(str, range(1_000_000)))
    embeddings = make(
        chunking_settings={"strategy": strategy}, rate_limit={"requests_per_minute": 100_000}
    )
    [chunks] = drive.chunks(embeddings, [text])
    assert chunks[0].start == 0
    assert chunks[-1].end == len(text)
    assert 4_000 <= len(chunks) <= 6_667
    for before, after in pairwise(chunks):
        assert after.start <= before.end + 1  # nothing between them but a blank
    for chunk in chunks[:: len(chunks) // 50]:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.embedding.tolist() == vector(chunk.text)


def test_a_text_that_is_too_large_for_the_server_fails_alone(drive, server, make):
    def serve(request):
        too_large = sum(map(len, inputs_of(request))) > 2_000_000
        return answer(413, {"error": "too large"})(request) if too_large else vectors(request)

    server.behave(serve)
    texts = [*numbered(20), "a" * 5_000_000, *numbered(20, "more")]
    with pytest.raises(InputError) as caught:
        drive.documents(make(chunking_settings={"strategy": "none"}), texts)
    assert caught.value.index == 20
    assert list(caught.value.failures) == [20]
    assert caught.value.completed.keys() == {*range(41)} - {20}
    assert all(row == vector(texts[index]) for index, row in caught.value.completed.items())
