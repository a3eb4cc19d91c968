"""Vectors in the caller's vector_format, and one vector out of several."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from langchain_hf_endpoint._engine.vectors import ARRAYS, LISTS, MatrixRows, Rows, weighted_mean

FORMATS = {"lists": LISTS, "arrays": ARRAYS}
NUMBERS = st.floats(-1000, 1000, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-3)


@pytest.fixture(params=FORMATS)
def vector_format(request):
    return FORMATS[request.param]


def test_a_mean_is_weighted_by_words():
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert weighted_mean(rows, [3, 1], normalize=False).tolist() == [0.75, 0.25]
    assert weighted_mean(rows, [1, 1], normalize=False).tolist() == [0.5, 0.5]


def test_a_normalized_mean_has_length_one_and_the_same_direction():
    rows = np.array([[1.0, 0.0], [0.0, 1.0]])
    mean = weighted_mean(rows, [3, 1], normalize=True)
    assert np.linalg.norm(mean) == pytest.approx(1.0)
    assert mean[0] / mean[1] == pytest.approx(3.0)


def test_vectors_that_cancel_out_give_zeros_and_no_nan():
    rows = np.array([[1.0, -2.0], [-1.0, 2.0]])
    assert weighted_mean(rows, [5, 5], normalize=True).tolist() == [0.0, 0.0]


@settings(deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.tuples(st.lists(NUMBERS, min_size=width, max_size=width), st.integers(1, 300)),
            min_size=1,
            max_size=6,
        )
    ),
    st.booleans(),
)
def test_a_mean_is_what_plain_arithmetic_says(weighted_rows, normalize):
    rows, weights = zip(*weighted_rows, strict=True)
    total = sum(weights)
    plain = [
        math.fsum(row[place] * weight for row, weight in weighted_rows) / total
        for place in range(len(rows[0]))
    ]
    length = math.hypot(*plain)
    assume(length > 1e-3)
    expected = [number / length for number in plain] if normalize else plain
    mean = weighted_mean(np.array(rows), weights, normalize=normalize)
    assert mean.tolist() == pytest.approx(expected, abs=1e-9)
    for vector_format in FORMATS.values():
        kept = vector_format.mean(
            vector_format.rows([list(row) for row in rows]), weights, normalize=normalize
        )
        assert list(kept) == pytest.approx(expected, rel=1e-5, abs=1e-4)


def test_many_chunks_of_little_weight_are_summed_in_double_precision():
    rows = np.full((100_000, 1), 0.1, dtype=np.float32)
    mean = ARRAYS.mean(rows, [1] * len(rows), normalize=False)
    assert mean[0] == np.float32(0.1)


def test_lists_hold_python_floats_whatever_the_reply_was():
    for reply in ([[0.5, 1.0]], np.array([[0.5, 1.0]], dtype=np.float32)):
        (row,) = LISTS.rows(reply)
        assert row == [0.5, 1.0]
        assert type(row) is list
        assert all(type(number) is float for number in row)
    mean = LISTS.mean([[1.0, 0.0], [0.0, 1.0]], [1, 1], normalize=True)
    assert type(mean) is list
    assert all(type(number) is float for number in mean)


def test_arrays_are_of_single_precision_whatever_the_reply_was():
    for reply in ([[0.5, 1.0]], np.array([[0.5, 1.0]], dtype=np.float32)):
        (row,) = ARRAYS.rows(reply)
        assert (row.dtype, row.shape, row.tolist()) == (np.float32, (2,), [0.5, 1.0])
    mean = ARRAYS.mean(ARRAYS.rows([[1.0, 0.0], [0.0, 1.0]]), [1, 1], normalize=True)
    assert (mean.dtype, mean.shape) == (np.float32, (2,))


ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize("of_what", [Rows, lambda: MatrixRows(5)], ids=["lists", "matrix"])
def test_rows_are_had_by_the_index_of_a_text_or_the_negative_number_of_a_part(of_what):
    rows = of_what()
    rows.put([3, 0], ROWS[:2])
    rows.put([-2, 4, -1, 1], ROWS)
    held = {3: 0, 0: 1, -2: 0, 4: 1, -1: 2, 1: 3}
    assert {number: rows[number].tolist() for number in held} == {
        number: ROWS[row].tolist() for number, row in held.items()
    }
    assert [number for number in range(-3, 5) if number in rows] == [-2, -1, 0, 1, 3, 4]
    for missing in (2, -3):
        with pytest.raises(KeyError):
            rows[missing]


def test_the_rows_of_texts_are_a_matrix_that_holds_no_reply():
    reply = ROWS.copy()
    rows = MatrixRows(4)
    rows.put([2, 3, 0, 1], reply)
    reply[:] = 9
    assert rows.matrix.tolist() == ROWS[[2, 3, 0, 1]].tolist()
    assert not np.shares_memory(rows.matrix, reply)
    rows.put([-1, 0], reply[:2])
    assert not np.shares_memory(rows[-1], reply)


def test_a_copy_of_a_row_is_equal_and_not_shared():
    for rows in (MatrixRows(1), Rows()):
        rows.put([0], [[0.5, 1.0]])
        copied = rows.copy_of(0)
        copied[0] = 9.0
        assert list(rows[0]) == [0.5, 1.0]
        assert type(copied) is type(rows[0])
