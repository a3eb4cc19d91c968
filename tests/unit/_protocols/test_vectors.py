import gzip

import numpy as np
import orjson
import pytest
from both_forms import read_in_both_forms
from wire_samples import HTML, NGINX_502, TEI_HEADERS, TEXT, b64, openai_body, reply

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols import DIALECTS

DIALECT = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
ROWS = [[0.25, -0.5, 1.0], [0.125, 1e-7, -2.5e-8], [3.0, 0.0, -0.0]]


def decode(body, count=3, headers=None):
    return read_in_both_forms(DIALECTS["tei"], reply(body, headers=headers), count)


def refusal(body, count=3, headers=None):
    failure = decode(body, count, headers)
    assert isinstance(failure, Failure), failure
    assert failure.cause is Cause.PROTOCOL
    assert failure.status == 200
    return failure.text


# --- every shape, in every dialect ---------------------------------------------------------------


@DIALECT
@pytest.mark.parametrize(
    "body",
    [
        ROWS,
        {"embeddings": ROWS},
        {"embeddings": ROWS, "model": "all-MiniLM-L6-v2.5"},
        openai_body(ROWS),
        openai_body(ROWS, order=[2, 0, 1]),
    ],
    ids=["tei", "hf-serve", "with more fields", "openai", "openai permuted"],
)
def test_decimal_digits_come_back_as_they_were(dialect, body):
    assert dialect.decode(reply(body, headers=TEI_HEADERS), 3) == ROWS


@DIALECT
@pytest.mark.parametrize("order", [None, [1, 2, 0]])
def test_base64_comes_back_as_one_matrix(dialect, order):
    matrix = dialect.decode(reply(openai_body(list(map(b64, ROWS)), order=order)), 3)
    assert isinstance(matrix, np.ndarray)
    assert matrix.dtype == np.float32
    assert matrix.dtype.isnative
    assert matrix.flags.writeable
    assert np.array_equal(matrix, np.asarray(ROWS, np.float32))


@DIALECT
def test_base64_and_digits_in_one_reply(dialect):
    rows = [ROWS[0], b64(ROWS[0]), ROWS[2]]
    assert dialect.decode(reply(openai_body(rows)), 3) == [ROWS[0], ROWS[0], ROWS[2]]


@DIALECT
@pytest.mark.parametrize("body", [[0.5, 0.25], {"embeddings": [0.5, 0.25]}])
def test_a_bare_vector_is_right_for_a_single_input(dialect, body):
    assert dialect.decode(reply(body), 1) == [[0.5, 0.25]]
    failure = dialect.decode(reply(body), 2)
    assert isinstance(failure, Failure)
    assert "flat list of 2 numbers for 2 inputs" in failure.text


def test_white_space_is_no_matter():
    assert decode(orjson.dumps(ROWS, option=orjson.OPT_INDENT_2)) == ROWS
    assert decode(b" \n" + orjson.dumps({"embeddings": ROWS}) + b"\n") == ROWS


def test_whole_numbers_become_floats():
    for body in (b"[[1,0],[0.5,2]]", b'{"embeddings":[[1,0],[0.5,2]]}'):
        rows = decode(body, 2)
        assert rows == [[1.0, 0.0], [0.5, 2.0]]
        assert {type(value) for row in rows for value in row} == {float}


def test_exponents_and_the_ends_of_float32():
    body = b"[[1e-5,2.5E-3,1.5e+3],[3.4028235e38,-3.4028235e38,1e0]]"
    assert decode(body, 2) == [[1e-5, 2.5e-3, 1.5e3], [3.4028235e38, -3.4028235e38, 1.0]]


def test_a_dimension_of_one():
    assert decode(b"[[0.5],[0.25]]", 2) == [[0.5], [0.25]]


def test_an_error_field_that_is_null_is_no_error():
    assert decode({"embeddings": ROWS, "error": None}) == ROWS


@pytest.mark.parametrize(
    "body",
    [
        b"[[0.5,[0.25,0.5]],[null,0.5]]",
        b"[[0.5,0.5],[null,[0.5]]]",
        b'[[0.5,0.5],["0.5",0.5]]',
        b'[[0.5,"a.b"],[1,0.5]]',
        b'[[0.5,0.5],[{"a":0.5},0.5]]',
        b"[[0.5,0.5],[true,0.5]]",
        b"[[0.5,0.5],[1.5E39,0.5]]",
        b"[[0.5,1.5e+39],[-1.5e+39,0.5]]",
        b"[[0.5,1.5e39],[-1.5e39,0.5]]",
    ],
)
def test_the_quick_check_is_not_taken_in(body):
    for text in (body, b'{"embeddings":' + body + b"}", b'{"e":[1.5],"embeddings":' + body + b"}"):
        assert "row " in refusal(text, 2)


@pytest.mark.parametrize("digits", [39, 40, 47, 300])
def test_a_number_of_many_digits_is_found_wherever_it_stands(digits):
    for before in range(1, 17):
        row = b"[" + b"0.5," * 3 + b"9" * digits + b".5]"
        body = b'{"a":' + b" " * before + b'1,"embeddings":[' + row + b"," + row + b"]}"
        assert "row 0 has a number too large for float32 at position 3" in refusal(body, 2)
        last = b"[[0.5,0." + b"1" * before + b"],[0.5,-" + b"9" * digits + b".5]]"
        assert "row 1 has a number too large for float32 at position 1" in refusal(last, 2)


def test_a_field_twice_is_not_taken_in_either():
    assert {
        type(value) for value in decode(b'{"embeddings":[[1.5]],"embeddings":[[1]]}', 1)[0]
    } == {float}


# --- what is no right answer, and says so --------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "count", "text"),
    [
        ([[0.5]], 2, "1 vectors for 2 inputs"),
        ([], 2, "0 vectors for 2 inputs"),
        ([[0.5], [0.5], [0.5]], 1, "one for each token"),
        (openai_body([[0.5]]), 2, "1 vectors for 2 inputs"),
        ([[0.5, 1.0], [0.5], [0.5, 1.0]], 3, "row 1 has 1 numbers, the others 2"),
        ([[0.5, 1.0], []], 2, "row 1 is empty"),
        ([[], []], 2, "row 0 is empty"),
        ([[0.5], None], 2, "row 1 is null instead of a list"),
        ([[0.5], 0.5], 2, "row 1 is a number instead of a list"),
        ([[0.5], {"a": 1}], 2, "row 1 is an object instead of a list"),
        ([[0.5], "abc"], 2, "row 1 is not base64"),
        ([[0.5, None], [0.5, 0.5]], 2, "row 0 has null at position 1, which is how TEI writes NaN"),
        ([[0.5, 0.5], [0.5, True]], 2, "row 1 has true at position 1"),
        ([[0.5, 0.5], [0.5, False]], 2, "row 1 has false at position 1"),
        ([[0.5, 0.5], [0.5, "0.5"]], 2, "row 1 has a string at position 1"),
        ([[0.5, 0.5], [0.5, [0.5]]], 2, "row 1 has a list at position 1"),
        ([[0.5, 0.5], [0.5, {}]], 2, "row 1 has an object at position 1"),
        ([[0.5, 0.5], [0.5, 1e39]], 2, "row 1 has a number too large for float32 at position 1"),
        ([[1.5e39, -1.5e39], [0.5, 0.5]], 2, "row 0 has a number too large"),
        ([[{"index": 3, "value": 0.5}]], 1, "sparse vectors"),
        ([{"index": 0, "score": 0.9}], 1, "list of objects (fields: index, score)"),
        ([[{"label": "a", "score": 0.9}]], 1, "row 0 has an object"),
        ([{"index": 0, "embedding": [[0.5]]}], 1, "list of objects (fields: index, embedding)"),
        (["a", "b"], 2, "list of strings"),
        ({"status": "ok"}, 1, "an object without embeddings (fields: status)"),
        ({}, 1, "an object without embeddings (fields: none)"),
        ({"embeddings": {"float": [[0.5]]}}, 1, "an object without embeddings"),
        ({"error": "CUDA out of memory"}, 1, "an error with a status of success: CUDA out of"),
        ({"error": {"message": "no"}, "data": []}, 1, "an error with a status of success: no"),
        ({"error": True}, 1, "an error with a status of success: no explanation"),
        ("null", 1, "null instead of vectors"),
        ("true", 1, "true or false instead of vectors"),
        ('"hello"', 1, "a string instead of vectors"),
        ("3.5", 1, "a number instead of vectors"),
    ],
)
@DIALECT
def test_refusals(dialect, body, count, text):
    failure = dialect.decode(reply(body), count)
    assert isinstance(failure, Failure)
    assert (failure.cause, failure.status) == (Cause.PROTOCOL, 200)
    assert text in failure.text


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ([[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5]]], 2),
        ([[[0.5, 0.5], [0.5, 0.5]]], 1),
        ([[[0.5, 0.5], [0.5, 0.5]]], 7),
        ([[[[0.5, 0.5], [0.5, 0.5]]], [[[0.5, 0.5]]]], 2),
        ({"embeddings": [[[0.5], [0.5]]]}, 1),
        (openai_body([[[0.5], [0.5]]]), 1),
    ],
)
def test_token_level_output_is_called_by_its_name(body, count):
    text = refusal(body, count)
    assert "token-level" in text
    assert "Text Embeddings Inference" in text
    assert "sentence-embeddings" in text


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        (b"", {}, "an empty body"),
        (b" \n", {}, "an empty body"),
        (orjson.dumps(ROWS)[:-9], None, "JSON that breaks off after"),
        (b'{"embeddings":[[0.5,0.2', None, "JSON that breaks off after 23 bytes"),
        ("<!doctype html><title>Sign in &amp; go</title>", HTML, "a web page instead of vectors: "),
        (NGINX_502, HTML, "502 Bad Gateway"),
        ("Ok", TEXT, "not JSON"),
        (gzip.compress(b"[[0.5]]", mtime=0), None, "gzip"),
        (b"[[0.5,NaN],[0.5,0.5],[1.0,1.0]]", None, "row 0 has NaN at position 1"),
        (b"[[0.5,0.5],[0.5,-Infinity],[1.0,1.0]]", None, "row 1 has Infinity at position 1"),
        (b"[[0.5,0.5],[0.5,0.5],[1.0,1e999]]", None, "row 2 has Infinity at position 1"),
        (b"[[0.5,NaN],[0.5,0.5]]", None, "2 vectors for 3 inputs"),
        (b"\xff\xfe", None, "not JSON"),
        (b"[" * 200_000 + b"]" * 200_000, None, "not JSON"),
    ],
)
def test_what_is_not_json(body, headers, text):
    assert text in refusal(body, 3, headers)


@pytest.mark.parametrize(
    ("indexes", "text"),
    [
        ([0, 0, 0], "two items of data have the index 0"),
        ([0, 1, 3], "item 2 of data has the index 3, with 3 inputs"),
        ([0, -1, 2], "item 1 of data has the index -1"),
        ([0, None, 2], "item 1 of data has no index"),
        ([0.0, 1, 2], "item 0 of data has no index"),
        ([False, True, 2], "item 0 of data has no index"),
        (["0", 1, 2], "item 0 of data has no index"),
    ],
)
def test_indexes_that_cannot_be_right(indexes, text):
    body = openai_body(ROWS)
    for item, index in zip(body["data"], indexes, strict=True):
        item["index"] = index
    assert text in refusal(body)


def test_items_that_are_none():
    body = openai_body(ROWS)
    del body["data"][1]["embedding"]
    assert "item 1 of data has no embedding" in refusal(body)
    body["data"][1] = 5
    assert "item 1 of data has no embedding" in refusal(body)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (b64(ROWS[1])[:-1], "row 1 is not base64"),
        (b64(ROWS[1]) + "AAAA", "row 1 is not base64"),
        ("*" + b64(ROWS[1])[1:], "row 1 is not base64"),
        (b64(ROWS[1]) + "\n", "row 1 is not base64"),
        ("ž" * 16, "row 1 is not base64"),
        (b64([0.5, 0.5]), "row 1 has 2 numbers, the others 3"),
        ("", "row 1 is empty"),
        (b64([0.5, np.nan, 0.5]), "row 1 has NaN at position 1"),
        (b64([0.5, 0.5, -np.inf]), "row 1 has Infinity at position 2"),
        (None, "row 1 is null"),
    ],
)
def test_base64_that_cannot_be_right(row, text):
    assert text in refusal(openai_body([b64(ROWS[0]), row, b64(ROWS[2])]))
    # The same with a row of digits in the reply, which takes another way.
    assert text in refusal(openai_body([ROWS[0], row, b64(ROWS[2])]))


def test_long_names_of_fields_are_cut():
    assert len(refusal({"x" * 100_000: 1})) < 200
    assert len(refusal([{"x" * 100_000: 1}], 1)) < 200


@pytest.mark.parametrize("status", [200, 201, 206, 299])
def test_every_success_is_read(status):
    assert DIALECTS["tei"].decode(reply(ROWS, status), 3) == ROWS
