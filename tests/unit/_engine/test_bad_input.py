"""Input that cannot be embedded: refused by name, before anything is sent."""

import itertools
import time

import numpy as np
import pytest
from scripted_server import numbered, vector, vectors

from langchain_hf_endpoint import EmbeddingError, InputError

METHODS = ("documents", "array", "chunks")
WRONG = {
    "None": (None, "must be a string, not NoneType"),
    "bytes": (b"text", "must be a string, not bytes"),
    "a number": (7, "must be a string, not int"),
    "NaN": (float("nan"), "must be a string, not float"),
    "a list": (["text"], "must be a string, not list"),
    "empty": ("", "is empty or blank"),
    "blank": (" \t\r\n", "is empty or blank"),
    "a no-break space": ("\u00a0\u2003\u3000", "is empty or blank"),
    "half an emoji": ("bad \ud83d text", "lone surrogate at character 4"),
    "the other half": ("\ude00", "lone surrogate at character 0"),
}
wrong = pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
no_list = pytest.mark.parametrize(
    "texts",
    ["a single text", b"bytes", None, 7, object()],
    ids=["string", "bytes", "None", "number", "object"],
)


@pytest.mark.parametrize("method", METHODS)
@wrong
def test_a_text_that_cannot_be_embedded_is_named_before_anything_is_sent(
    drive, server, make, method, case
):
    text, words = case
    with pytest.raises(InputError, match=words) as caught:
        getattr(drive, method)(make(), ["good", "good too", text, "never looked at", None])
    assert caught.value.index == 2
    assert "text 2" in str(caught.value)
    assert not isinstance(caught.value, EmbeddingError)
    assert caught.value.advice
    assert server.requests == []


@wrong
def test_a_query_that_cannot_be_embedded_is_refused_before_anything_is_sent(
    drive, server, make, case
):
    text, words = case
    with pytest.raises(InputError, match=words):
        drive.query(make(), text)
    assert server.requests == []


@wrong
def test_a_stream_leaves_out_what_cannot_be_embedded_and_names_it_at_its_end(
    drive, server, make, case
):
    text, words = case
    server.behave(vectors)
    seen = []
    with pytest.raises(EmbeddingError, match=words) as caught:
        drive.stream(make(), iter(["good", text, "good too"]), each=seen.append)
    assert [chunk.text_index for chunk in seen] == [0, 2]
    assert [chunk.embedding.tolist() for chunk in seen] == [vector("good"), vector("good too")]
    assert caught.value.failures.keys() == {1}
    assert caught.value.failures[1].index == 1
    assert isinstance(caught.value, InputError)


@pytest.mark.parametrize("method", [*METHODS, "stream"])
@no_list
def test_what_is_no_list_of_texts_is_refused(drive, server, make, method, texts):
    with pytest.raises(InputError, match="several strings") as caught:
        getattr(drive, method)(make(), texts)
    assert caught.value.index is None
    assert server.requests == []


def test_a_text_is_never_repeated_in_the_message(drive, server, make):
    with pytest.raises(InputError) as caught:
        drive.documents(make(), ["my private \ud83d text"])
    assert "private" not in f"{caught.value}{caught.value!r}{caught.value.__context__!r}"


@pytest.mark.parametrize("method", ["documents", "chunks"])
def test_no_texts_are_no_request(drive, server, make, method):
    assert getattr(drive, method)(make(), []) == []
    assert drive.stream(make(), []) == []
    assert server.requests == []


def test_an_array_of_no_texts_has_the_width_where_it_is_known(drive, server, make):
    embeddings = make()
    nothing = drive.array(embeddings, [])
    assert (nothing.shape, nothing.dtype) == ((0, 0), np.float32)
    server.script(vectors)
    drive.query(embeddings, "one text")
    assert drive.array(embeddings, []).shape == (0, 16)
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", METHODS)
def test_any_iterable_of_texts_will_do(drive, server, make, method):
    server.behave(vectors)
    texts = numbered(5)
    expected = drive.documents(make(), texts)
    for given in (tuple(texts), iter(texts), (text for text in texts), dict.fromkeys(texts)):
        result = getattr(drive, method)(make(), given)
        found = [one[0].embedding if method == "chunks" else one for one in result]
        assert np.allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_an_iterable_that_raises_does_so_before_anything_is_sent(drive, server, make, method):
    def texts():
        yield "good"
        raise LookupError("the file is gone")

    with pytest.raises(LookupError, match="the file is gone"):
        getattr(drive, method)(make(), texts())
    assert server.requests == []


def test_the_callers_texts_and_results_stay_the_callers(drive, server, make):
    server.behave(vectors)
    texts = ["same", "same", " same "]
    result = drive.documents(make(), texts)
    assert texts == ["same", "same", " same "]
    result[0][0] = 99.0
    assert result[1] == result[2] == vector("same")
    array = drive.array(make(), texts)
    array[0] = 99.0
    assert array[1].tolist() == vector("same")
    chunks = drive.chunks(make(), texts)
    assert chunks[2][0].start == 1
    assert not np.shares_memory(chunks[0][0].embedding, chunks[1][0].embedding)
    assert server.batches == [["same"]] * 3


@pytest.mark.parametrize("url", ["https://embed.example.org", "https://embed.example.org/v1"])
def test_a_chunks_vector_may_be_changed_whatever_the_protocol(drive, server, make, url):
    server.behave(vectors)
    dialect = "openai" if url.endswith("v1") else "hugging_face"
    for [chunk] in drive.chunks(make(url, dialect=dialect), numbered(3)):
        assert chunk.embedding.dtype == np.float32
        assert chunk.embedding.flags.writeable


@pytest.mark.parametrize(
    "text",
    ["x" * 1_500_000, "no.blank,anywhere!" * 80_000, "\uff41" * 400_000, "a\u0301" * 300_000],
    ids=["letters", "sentences", "wide", "combining"],
)
def test_a_huge_text_without_a_blank_is_sent_in_pieces_and_takes_no_longer_for_it(
    drive, server, make, text
):
    server.behave(vectors)
    begun = time.process_time()
    [chunks] = drive.chunks(make(rate_limit={"requests_per_minute": 60_000}), [text])
    assert time.process_time() - begun < 10
    assert max(len(chunk.text) for chunk in chunks) <= 1000
    assert (chunks[0].start, chunks[-1].end) == (0, len(text))
    assert all(one.end >= other.start for one, other in itertools.pairwise(chunks))


def test_a_query_of_100_000_words_is_sent_whole_and_in_one_piece(drive, server, make):
    query = " ".join(f"word{number}" for number in range(100_000))
    server.script(vectors)
    assert drive.query(make(), query) == vector(query)
    assert server.batches == [[query]]


def test_control_characters_and_every_plane_of_unicode_arrive_unchanged(drive, server, make):
    texts = ["nul \0 in it", "\U0001f600 as one", "a\u0301"]
    texts += ["\ufeffbom", "line\u2028sep", 'quote " and \\', "\U0010ffff", "\x7f\x80"]
    server.behave(vectors)
    assert drive.documents(make(), texts) == [vector(text) for text in texts]
    assert {text for batch in server.batches for text in batch} == set(texts)


@pytest.mark.parametrize("method", METHODS)
def test_an_async_iterable_is_taken_by_the_async_stream_alone(drive, server, make, method):
    async def texts():
        yield "good"

    with pytest.raises(InputError):
        getattr(drive, method)(make(), texts())
