"""Both decoders of base64 take the same texts for base64, and read the same in them."""

import base64
import binascii

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_hf_endpoint._protocols import vectors

ALPHABET = "ABCxyz019+/=-_ \n\0é本"
DECODERS = ["pybase64", "binascii"]


@pytest.fixture(params=DECODERS)
def decoder(request, monkeypatch):
    if request.param == "binascii":
        monkeypatch.setattr(vectors, "b64decode", None)
    else:
        pytest.importorskip("pybase64")
    return request.param


@pytest.mark.parametrize("length", [*range(20), 1536, 4096, 16384])
def test_what_was_encoded_is_read(decoder, length):
    value = bytes(place * 37 % 256 for place in range(length))
    assert vectors.from_base64(base64.b64encode(value).decode()) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "A",
            "AA",
            "AAA",
            "AAAA=",
            "AAAA==",
            "AA=A",
            "=AAA",
            "AAA=AAAA",
            "AA==AAAA",
            "A===",
            "====",
        ),
        *(
            " AAAA",
            "AAAA ",
            "AA AA",
            "AAAA\n",
            "AA\n==",
            "AA==\n",
            "AA-_",
            "AA\0A",
            "AAé=",
            "本AAA",
        ),
    ],
)
def test_what_is_no_base64_is_not_read(decoder, text):
    assert vectors.from_base64(text) is None


@given(st.text(ALPHABET, max_size=24) | st.text(max_size=12))
@example("AB==")  # bits that are left over
def test_both_agree_on_any_text(text):
    pytest.importorskip("pybase64")
    quick = vectors.from_base64(text)
    held, vectors.b64decode = vectors.b64decode, None
    try:
        assert vectors.from_base64(text) == quick
    finally:
        vectors.b64decode = held
    if quick is not None:
        assert binascii.a2b_base64(text) == quick
