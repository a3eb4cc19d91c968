"""Make up vectors that depend on the text alone, so that a swapped or shifted reply shows.

A vector is put together from segments of 16 values, picked by a hash of the text from 4096 that are
formatted in advance; so a row costs about a microsecond, as numbers, JSON or base64, with nothing
cached per text. Any two texts are nearly orthogonal.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEGMENT = 16
_SEGMENTS = 4096
RAW_LENGTH = 2.0
"""The length of every vector that was asked for with ``normalize: false``."""


class _Pool(NamedTuple):
    values: NDArray[np.float32]
    json: tuple[bytes, ...]
    raw: tuple[bytes, ...]


@cache
def _segments() -> NDArray[np.float64]:
    """Segments of length 1."""
    segments = np.random.default_rng(384).standard_normal((_SEGMENTS, _SEGMENT))
    scaled: NDArray[np.float64] = segments / np.linalg.norm(segments, axis=1, keepdims=True)
    return scaled


@cache
def _pool(dimensions: int, length: float) -> _Pool:
    values = (_segments() * (length / np.sqrt(dimensions / _SEGMENT))).astype(np.float32)
    option = orjson.OPT_SERIALIZE_NUMPY
    return _Pool(
        values,
        tuple(orjson.dumps(segment, option=option)[1:-1] for segment in values),
        tuple(segment.tobytes() for segment in values),
    )


def _picks(text: str, dimensions: int) -> list[int]:
    """One number a segment. Fewer for a shorter vector, the same ones: as with MRL models."""
    count = -(-dimensions // _SEGMENT)
    digest = hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(2 * count)
    picks: list[int] = (np.frombuffer(digest, "<u2") % _SEGMENTS).tolist()
    return picks


def expected_vector(
    text: str, dimensions: int = 384, *, normalize: bool = True
) -> NDArray[np.float32]:
    """The vector that the endpoint answers for a text, prompt included.

    A vector of fewer dimensions is the front of the full one, brought back to the same length. Two
    given texts share a vector with a chance of 1 in 4096 for each 16 dimensions: so use 32 or more
    where a swap has to show.

    Args:
        text: The text, as it is sent.
        dimensions: Values in the vector.
        normalize: Whether it has length 1; else it has `RAW_LENGTH`.
    """
    length = 1.0 if normalize else RAW_LENGTH
    if dimensions % _SEGMENT:
        whole = _segments()[_picks(text, dimensions)].reshape(-1)[:dimensions]
        row: NDArray[np.float32] = (whole * (length / np.linalg.norm(whole))).astype(np.float32)
        return row
    return _pool(dimensions, length).values[_picks(text, dimensions)].reshape(-1)


def similar_vector(text: str, dimensions: int, cosine: float) -> NDArray[np.float32]:
    """A vector of length 1 that has this cosine to `expected_vector`: another model's."""
    right, other = (
        expected_vector(one, dimensions).astype(np.float64) for one in (text, f"other {text}")
    )
    other -= (other @ right) * right
    mixed = cosine * right + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    row: NDArray[np.float32] = mixed.astype(np.float32)
    return row


def json_row(text: str, dimensions: int, *, normalize: bool = True) -> bytes:
    """``expected_vector`` as a JSON array."""
    if dimensions % _SEGMENT:
        row = expected_vector(text, dimensions, normalize=normalize)
        return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
    pool = _pool(dimensions, 1.0 if normalize else RAW_LENGTH).json
    return b"[%b]" % b",".join([pool[pick] for pick in _picks(text, dimensions)])


def base64_row(text: str, dimensions: int) -> bytes:
    """``expected_vector`` as a JSON string of base64, little-endian float32."""
    if dimensions % _SEGMENT:
        raw = expected_vector(text, dimensions).astype("<f4").tobytes()
    else:
        pool = _pool(dimensions, 1.0).raw
        raw = b"".join([pool[pick] for pick in _picks(text, dimensions)])
    return b'"%b"' % base64.b64encode(raw)


def expected_score(query: str, text: str) -> float:
    """The score of a text from a server that reranks: high where it has the words of the query.

    Between 0 and 1, and no two texts have the same.
    """
    words = set(re.findall(r"\w+", query.lower()))
    share = len(words & set(re.findall(r"\w+", text.lower()))) / max(1, len(words))
    digest = hashlib.shake_128(f"{query}\n{text}".encode("utf-8", "surrogatepass")).digest(4)
    return 0.01 + 0.9 * share + 0.05 * int.from_bytes(digest) / 2**32
