"""Whatever a server sends: vectors that are right, or a failure. Never an exception."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import orjson
import pytest
from both_forms import read_in_both_forms
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import any_reply, any_wait, assert_all_readers_settle, assert_right, assert_settled
from seeds import WORDS, seeds
from thoroughness import amount

from langchain_hf_endpoint._messages import Cause, Failure, InputOptions, Response
from langchain_hf_endpoint._protocols import DIALECTS, candidates, info_request, models_request
from langchain_hf_endpoint._protocols.base import as_json

DIALECT = st.sampled_from(list(DIALECTS.values()))
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
SHAPE = st.sampled_from(["list", "embeddings", "embeddings and more", "data", "base64"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["embeddings", "data", "embedding", "index", "error", "detail", "loc"])
            | st.sampled_from(["msg", "message", "estimated_time", "model_type", "id"])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
JSON_BODIES = JSON_VALUES.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "ratelimit", "date", "location", "content-type"]),
    st.text(max_size=40)
    | st.sampled_from(['"api";r=0;t=5', "Thu, 09 Oct 2025 12:00:30 GMT", "1e400", "http://[x"]),
)
REPLIES = st.builds(
    Response,
    status=st.sampled_from([200, 200, 200, 204, 307, 400, 401, 413, 422, 429, 503])
    | st.integers(100, 599),
    headers=HEADERS,
    body=st.binary(max_size=80) | JSON_BODIES | st.text(max_size=80).map(str.encode),
)


@st.composite
def matrices(draw, most=5):
    """Vectors as a model makes them: float32 values."""
    width = draw(st.integers(1, most))
    return draw(
        st.lists(st.lists(FLOAT32, min_size=width, max_size=width), min_size=1, max_size=most)
    )


def base64_of(row):
    return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode()


def answer_of(rows, shape):
    """Put rows into one of the shapes that servers answer in."""
    if shape == "list":
        return rows
    if shape == "embeddings":
        return {"embeddings": rows}
    if shape == "embeddings and more":
        return {"model": "v1.5", "embeddings": rows, "took": 0.25}
    if shape == "base64":
        rows = [base64_of(row) for row in rows]
    items = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    return {"object": "list", "data": items, "model": "v1.5", "usage": {"total_tokens": 3}}


def reply_of(answer, dumps=orjson.dumps):
    body = dumps(answer)
    return Response(200, {}, body.encode() if isinstance(body, str) else body)


@given(REPLIES, st.integers(0, 4))
def test_any_reply_is_settled_by_whoever_reads_it(reply, count):
    assert_all_readers_settle(reply, count)


@given(JSON_VALUES, st.integers(0, 4), SHAPE, st.booleans())
def test_anything_in_the_place_of_rows_is_settled(value, count, shape, standard):
    if shape == "base64" or (shape == "data" and not isinstance(value, list)):
        answer = {"data": value}
    else:
        answer = answer_of(value, shape)
    reply = reply_of(answer, orjson.dumps if standard else json.dumps)
    assert_settled(read_in_both_forms(DIALECTS["openai"], reply, count), count)


SEEDS = st.sampled_from([seeds(law)[name] for law in ("reply", "wait") for name in seeds(law)])
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 12),
        st.sampled_from([word.encode() for word in (*WORDS["reply"], *WORDS["wait"])])
        | st.binary(max_size=3),
    ),
    max_size=6,
)


@settings(max_examples=amount(100, 300))
@given(SEEDS, EDITS)
def test_a_recorded_reply_with_pieces_cut_out_and_put_in_is_settled(data, edits):
    for place, cut, put in edits:
        at = int(place * len(data))
        data = data[:at] + put + data[at + cut :]
    any_reply(data)
    any_wait(data)


@given(st.text(max_size=60))
def test_no_url_raises(url):
    assert candidates(url)
    info_request(url)
    models_request(url)


@given(matrices(), SHAPE, DIALECT)
def test_good_replies_come_back_unchanged(rows, shape, dialect):
    result = read_in_both_forms(dialect, reply_of(answer_of(rows, shape)), len(rows))
    assert_right(result, len(rows))
    if shape == "base64":
        assert np.array_equal(result, np.asarray(rows, np.float32))
    else:
        assert result == rows


@given(matrices(), st.sampled_from(["data", "base64"]), st.randoms())
def test_the_order_of_items_is_that_of_their_indexes(rows, shape, random):
    answer = answer_of(rows, shape)
    random.shuffle(answer["data"])
    result = read_in_both_forms(DIALECTS["openai"], reply_of(answer), len(rows))
    assert np.array_equal(np.asarray(result, np.float32), np.asarray(rows, np.float32))


@given(matrices(), SHAPE, st.data())
def test_rows_too_few_or_too_many_are_refused(rows, shape, data):
    count = len(rows)
    at = data.draw(st.integers(0, count - 1))
    wrong = [*rows[:at], *rows[at + 1 :]] if data.draw(st.booleans()) else [rows[at], *rows]
    result = read_in_both_forms(DIALECTS["tei"], reply_of(answer_of(wrong, shape)), count)
    assert isinstance(result, Failure)
    assert result.cause is Cause.PROTOCOL


@given(matrices(), SHAPE, st.data())
def test_a_row_of_another_width_is_refused(rows, shape, data):
    rows = [*rows, rows[0]]
    at = data.draw(st.integers(0, len(rows) - 1))
    rows[at] = data.draw(st.sampled_from([rows[at][1:], [*rows[at], 0.5]]))
    result = read_in_both_forms(DIALECTS["tei"], reply_of(answer_of(rows, shape)), len(rows))
    assert isinstance(result, Failure)
    assert "row" in result.text


@given(
    matrices(),
    st.sampled_from(["list", "embeddings", "embeddings and more", "data"]),
    st.sampled_from([None, True, False, "0.5", "", [], [0.5], {}, {"value": 0.5}])
    | st.sampled_from([3.5e38, -1e300, math.nan, math.inf, -math.inf]),
    st.data(),
)
def test_a_value_that_is_no_number_is_refused_and_found(rows, shape, value, data):
    row = data.draw(st.integers(0, len(rows) - 1))
    position = data.draw(st.integers(0, len(rows[0]) - 1))
    rows = [list(each) for each in rows]
    rows[row][position] = value
    result = read_in_both_forms(
        DIALECTS["tei"], reply_of(answer_of(rows, shape), json.dumps), len(rows)
    )
    assert isinstance(result, Failure)
    assert result.cause is Cause.PROTOCOL
    if value not in ([], [0.5]):
        assert f"row {row} has " in result.text
        assert f" at position {position}" in result.text


@given(matrices(), st.sampled_from([math.nan, math.inf, -math.inf]), st.data())
def test_a_value_that_is_not_finite_is_found_in_base64(rows, value, data):
    row = data.draw(st.integers(0, len(rows) - 1))
    position = data.draw(st.integers(0, len(rows[0]) - 1))
    rows = [list(each) for each in rows]
    rows[row][position] = value
    result = read_in_both_forms(DIALECTS["openai"], reply_of(answer_of(rows, "base64")), len(rows))
    assert isinstance(result, Failure)
    assert f"row {row} has " in result.text
    assert result.text.endswith(f"at position {position}")


@given(matrices(), st.sampled_from(["data", "base64"]), st.data())
def test_a_changed_index_is_refused(rows, shape, data):
    answer = answer_of(rows, shape)
    at = data.draw(st.integers(0, len(rows) - 1))
    wrong = data.draw(st.integers(-3, 8).filter(lambda index: index != at) | st.none())
    answer["data"][at]["index"] = wrong
    result = read_in_both_forms(DIALECTS["openai"], reply_of(answer), len(rows))
    assert isinstance(result, Failure)
    assert "index" in result.text


@given(matrices(), SHAPE, st.data())
def test_a_reply_that_breaks_off_is_refused(rows, shape, data):
    body = orjson.dumps(answer_of(rows, shape))
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    result = read_in_both_forms(DIALECTS["tei"], Response(200, {}, cut), len(rows))
    assert isinstance(result, Failure)
    assert result.cause is Cause.PROTOCOL


@settings(max_examples=amount(100, 300))
@given(matrices(), SHAPE, st.data())
def test_one_changed_byte_is_settled(rows, shape, data):
    body = bytearray(orjson.dumps(answer_of(rows, shape)))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.sampled_from(b'0159.,-+eE[]{}"ntf \x00\xff') | st.integers(0, 255))
    assert_settled(
        read_in_both_forms(DIALECTS["tei"], Response(200, {}, bytes(body)), len(rows)), len(rows)
    )


@pytest.mark.parametrize("name", list(DIALECTS))
@given(
    inputs=st.lists(st.text(), min_size=1, max_size=4),
    options=st.builds(
        InputOptions,
        prompt_name=st.none() | st.text(),
        truncate=st.booleans(),
        normalize=st.booleans(),
        dimensions=st.none() | st.integers(1, 4096),
    ),
)
def test_what_is_asked_is_what_arrives(name, inputs, options):
    request = DIALECTS[name].encode("http://h", as_json(inputs), options)
    fields = json.loads(request.body)
    assert fields.pop("input" if name == "openai" else "inputs") == inputs
    assert fields.get("dimensions") == options.dimensions
    carried = {"prompt_name", "truncate", "normalize"} & fields.keys()
    named = {field for field, _ in DIALECTS[name].unsupported(options)}
    assert not carried & named
    for field in carried:
        assert fields[field] == getattr(options, field)
