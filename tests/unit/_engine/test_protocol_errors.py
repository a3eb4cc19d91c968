"""A reply of success that cannot be right: nothing of it is used, and nothing silently wrong."""

import base64

import numpy as np
import pytest
from scripted_server import answer, inputs_of, numbered, rows, spoilt, vector, vectors

from langchain_hf_endpoint import EmbeddingError, ProtocolError

OPENAI_URL = "https://embed.example.org/v1/embeddings"


def _first(value):
    """The right rows, but for the first value of the second."""
    return lambda matrix: [matrix[0], [value, *matrix[1][1:]], *matrix[2:]]


WRONG = {
    "a row too few": (lambda m: m[:-1], "2 vectors for 3 inputs"),
    "a row too many": (lambda m: [*m, m[0]], "4 vectors for 3 inputs"),
    "no rows": (lambda _: [], "0 vectors for 3 inputs"),
    "an empty row": (lambda m: [*m[:-1], []], "row 2 is empty"),
    "a narrow row": (lambda m: [*m[:-1], m[-1][:-1]], "row 2 has 15 numbers, the others 16"),
    "null": (_first(None), "row 1 has null at position 0"),
    "a row of nulls": (lambda m: [m[0], [None] * 16, m[2]], "row 1 has null"),
    "NaN": (_first(float("nan")), "row 1 has NaN"),
    "Infinity": (_first(float("inf")), "row 1 has Infinity"),
    "-Infinity": (_first(float("-inf")), "row 1 has Infinity"),
    "beyond float32": (_first(1e39), "row 1 has a number too large"),
    "true": (_first(value=True), "row 1 has true"),
    "a string": (_first("0.5"), "row 1 has a string"),
    "sparse": (lambda _: [[{"index": 3, "value": 0.5}]] * 3, "SPLADE"),
    "token level": (lambda m: [m, m, m], "3 deep: token-level"),
    "pipeline": (lambda m: [[m], [m], [m]], "4 deep: token-level"),
    "one flat vector": (lambda m: m[0], "flat list of 16 numbers for 3 inputs"),
    "an object": (lambda m: {"vectors": m}, "without embeddings"),
    "a number": (lambda _: 7, "a number instead of vectors"),
    "null alone": (lambda _: None, "null instead of vectors"),
    "an error": (lambda _: {"error": "no memory"}, "an error with a status of success: no memory"),
    "scores": (lambda _: [{"index": 0, "score": 0.9}], "list of objects"),
    "half": (lambda m: str(m).encode()[:100], "breaks off"),
    "a page": (lambda _: b"<html><title>Sign in</title></html>", "a web page.*Sign in"),
    "nothing": (lambda _: b"", "an empty body"),
    "no JSON": (lambda _: b"all is well", "not JSON"),
}


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG.keys())
def test_nothing_of_a_reply_that_cannot_be_right_is_used(drive, server, make, clock, change, words):
    server.script(vectors)
    whole, part = spoilt(change), answer(200, None)
    server.behave(lambda one: whole(one) if len(inputs_of(one)) == 3 else part(one))
    embeddings = make()
    drive.query(embeddings, "the server works")
    texts = numbered(3)
    with pytest.raises(ProtocolError, match=words) as caught:
        drive.documents(embeddings, texts)
    assert isinstance(caught.value, EmbeddingError)
    assert caught.value.completed == {}
    assert caught.value.failures.keys() == {0, 1, 2}
    assert caught.value.status == 200
    assert len(server.requests) <= 1 + 2 + 2 * 2


@pytest.mark.parametrize(("change", "words"), WRONG.values(), ids=WRONG.keys())
def test_one_reply_that_cannot_be_right_is_a_mishap(drive, server, make, clock, change, words):
    server.script(spoilt(change), vectors)
    texts = numbered(3)
    assert drive.documents(make(), texts) == [vector(text) for text in texts]
    assert server.batches == [texts] * 2


@pytest.mark.parametrize("method", ["array", "chunks"])
@pytest.mark.parametrize("name", ["a row too few", "a narrow row", "null", "NaN", "a row too many"])
def test_arrays_are_as_strict_as_lists(drive, server, make, clock, method, name):
    wrong = spoilt(WRONG[name][0])
    part = answer(200, [])
    server.behave(lambda one: wrong(one) if len(inputs_of(one)) == 3 else part(one))
    with pytest.raises(ProtocolError, match=WRONG[name][1]):
        getattr(drive, method)(make(), numbered(3))


def test_a_reply_that_is_wrong_costs_the_text_that_it_is_wrong_for(drive, server, make, clock):
    def serve(request):
        wrong = "text 3" in inputs_of(request)
        return (spoilt(lambda rows: [[None] * 16] * len(rows)) if wrong else vectors)(request)

    server.behave(serve)
    texts = numbered(8)
    embeddings = make(max_batch_size=2, max_concurrent_requests=1)
    drive.query(embeddings, "the server works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    assert caught.value.failures.keys() == {3}
    assert isinstance(caught.value, ProtocolError)
    assert caught.value.completed == {n: vector(texts[n]) for n in range(8) if n != 3}


def test_a_server_that_never_gave_a_right_answer_is_not_asked_on(drive, server, make, clock):
    server.behave(spoilt(lambda matrix: matrix[:-1]))
    with pytest.raises(ProtocolError):
        drive.documents(make(dialect="auto"), numbered(320))
    assert len(server.batches) <= 2 + 2 * 5


def test_a_width_that_changes_within_a_call_is_refused(drive, server, make):
    server.script(vectors, spoilt(lambda matrix: [row[:8] for row in matrix]))
    embeddings = make(OPENAI_URL, dialect="auto", max_batch_size=2)  # the first batch goes alone
    texts = numbered(4)
    with pytest.raises(ProtocolError, match="8 dimensions, those before had 16") as caught:
        drive.documents(embeddings, texts)
    assert len(caught.value.completed) == 2
    assert all(vector_ == vector(texts[n]) for n, vector_ in caught.value.completed.items())


@pytest.mark.parametrize("method", ["documents", "array", "chunks"])
def test_a_width_that_changes_between_calls_is_refused(drive, server, make, method):
    server.script(vectors, spoilt(lambda matrix: [[*row, *row] for row in matrix]))
    embeddings = make()
    assert embeddings.dimensions is None
    drive.query(embeddings, "one text")
    assert embeddings.dimensions == 16
    with pytest.raises(ProtocolError, match="32 dimensions, those before had 16"):
        getattr(drive, method)(make(), numbered(3))
    assert embeddings.dimensions == 16


def test_fewer_dimensions_than_asked_for_are_refused(drive, server, make):
    """TEI before 1.8 ignores the field without a word."""
    server.script(vectors)
    embeddings = make(task_settings={"dimensions": 8})
    assert embeddings.dimensions == 8
    with pytest.raises(ProtocolError, match="8 dimensions were asked for and 16 came"):
        drive.query(embeddings, "one text")


def test_shorter_vectors_and_the_models_own_are_two_widths_of_one_server(drive, server, make):
    server.behave(spoilt(lambda matrix: matrix))
    drive.query(make(), "one text")
    server.behave(spoilt(lambda matrix: [row[:8] for row in matrix]))
    short = make(task_settings={"dimensions": 8})
    assert drive.query(short, "one text") == vector("one text")[:8]
    assert (make().dimensions, short.dimensions) == (16, 8)


RIGHT = {
    "TEI": lambda m: m,
    "embeddings": lambda m: {"embeddings": m},
    "OpenAI": lambda m: {"data": [{"index": n, "embedding": row} for n, row in enumerate(m)]},
    "OpenAI reversed": lambda m: {
        "data": [{"index": n, "embedding": row} for n, row in enumerate(m)][::-1]
    },
    "base64 reversed": lambda m: {
        "data": [{"index": n, "embedding": _base64(row)} for n, row in enumerate(m)][::-1]
    },
    "integers": lambda m: [[int(value == max(row)) for value in row] for row in m],
}


def _base64(row):
    return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode()


@pytest.mark.parametrize("dialect", ["hugging_face", "tei", "openai", "auto"])
@pytest.mark.parametrize("shape", RIGHT.values(), ids=RIGHT.keys())
def test_every_known_shape_is_read_and_brought_into_order(drive, server, make, shape, dialect):
    server.behave(spoilt(shape))
    texts = numbered(5)
    result = drive.array(make(dialect=dialect), texts)
    expected = np.asarray([vector(text) for text in texts], np.float32)
    if shape is RIGHT["integers"]:
        expected = (expected == expected.max(axis=1, keepdims=True)).astype(np.float32)
    assert result.dtype == np.float32
    assert np.array_equal(result, expected)


@pytest.mark.parametrize("change", [lambda m: m[0], lambda m: {"embeddings": m[0]}])
def test_a_bare_vector_for_one_text_is_read(drive, server, make, change):
    server.behave(spoilt(change))
    assert drive.query(make(), "one text") == vector("one text")
    assert drive.documents(make(), ["one text"]) == [vector("one text")]


@pytest.mark.parametrize(
    "indexes", [[0, 0, 0], [1, 2, 3], [0, 1, None], [0, 1, 1], [0, 1, True], [0, 1, "2"]]
)
def test_items_whose_order_is_not_clear_are_refused(drive, server, make, clock, indexes):
    def serve(request):
        if len(inputs_of(request)) < 3:
            return answer(200, {"data": []})(request)
        items = [
            {"index": index, "embedding": row}
            for index, row in zip(indexes, rows(request), strict=True)
        ]
        return answer(200, {"data": items})(request)

    server.behave(serve)
    with pytest.raises(ProtocolError, match="index"):
        drive.documents(make(OPENAI_URL), numbered(3))


@pytest.mark.parametrize(
    "row", ["AAA", "!!!!", "AAAAA===", "AAAAAAAA", _base64([1.0, float("nan")])]
)
def test_base64_that_is_broken_or_no_number_is_refused(drive, server, make, clock, row):
    server.behave(answer(200, {"data": [{"index": 0, "embedding": row}]}))
    with pytest.raises(ProtocolError):
        drive.query(make(OPENAI_URL), "one text")
