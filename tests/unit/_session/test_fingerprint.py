"""A model's fingerprint: few bytes, by which the same model is known and another refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint


def vectors(width: int, seed: int = 1, texts: int = len(TEXTS)) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((texts, width)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def near(rows: np.ndarray, cosine: float) -> np.ndarray:
    """Rows of exactly this cosine to the others."""
    noise = vectors(rows.shape[1], seed=2)
    noise -= (noise * rows).sum(axis=1, keepdims=True) * rows
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return cosine * rows + np.sqrt(1 - cosine**2) * noise


@given(st.integers(1, 5000), st.integers(1, len(TEXTS)))
def test_bytes_are_few_and_bring_the_same_fingerprint_back(width, texts):
    made = ModelFingerprint.of(vectors(width, texts=texts))
    content = made.to_bytes()
    assert len(content) < 2000
    assert ModelFingerprint.from_bytes(content) == made
    assert ModelFingerprint.from_bytes(content).id == made.id
    assert made.matches(made)


@given(st.binary(max_size=3000))
def test_other_bytes_are_refused(content):
    with pytest.raises(ValueError, match="fingerprint"):
        ModelFingerprint.from_bytes(content)


@pytest.mark.parametrize("cut", [0, 3, 8, 9, 100, -1])
def test_torn_bytes_are_refused(cut):
    with pytest.raises(ValueError, match="fingerprint"):
        ModelFingerprint.from_bytes(ModelFingerprint.of(vectors(384)).to_bytes()[:cut])


@pytest.mark.parametrize("width", [8, 384, 768, 1024, 4096])
@pytest.mark.parametrize(("cosine", "is_same"), [(1, 1), (0.999, 1), (0.997, 1), (0.98, 0), (0, 0)])
def test_the_same_weights_as_int8_match_and_coarser_ones_do_not(width, cosine, is_same):
    rows = vectors(width)
    found = ModelFingerprint.of(near(rows, cosine).astype(np.float32))
    assert ModelFingerprint.of(rows).matches(found) is bool(is_same)
    assert found.matches(ModelFingerprint.of(rows)) is bool(is_same)


def test_one_text_that_differs_is_enough():
    rows = vectors(384)
    other = rows.copy()
    other[1] = vectors(384, seed=9)[1]
    assert not ModelFingerprint.of(rows).matches(ModelFingerprint.of(other))


def test_other_dimensions_are_another_model():
    assert not ModelFingerprint.of(vectors(384)).matches(ModelFingerprint.of(vectors(385)))


def test_of_fewer_texts_those_are_compared_that_both_have():
    rows = vectors(384)
    assert ModelFingerprint.of(rows[:1]).matches(ModelFingerprint.of(rows))
    assert not ModelFingerprint.of(rows[1:2]).matches(ModelFingerprint.of(rows))


def test_length_does_not_matter_and_a_vector_of_zeros_is_no_model():
    rows = vectors(384)
    assert ModelFingerprint.of(rows).matches(ModelFingerprint.of(rows * 1e-6))
    zeros = ModelFingerprint.of(np.zeros((3, 384), np.float32))
    assert not zeros.matches(ModelFingerprint.of(rows))


def test_the_texts_have_certainly_different_lengths():
    lengths = [len(text.split()) for text in TEXTS]
    assert len(set(lengths)) == len(lengths)
