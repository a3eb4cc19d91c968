"""A model's vectors of a few fixed texts in a few bytes: by them another model shows."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hf_endpoint._package import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

# In lengths that differ for any tokenizer: no batch of them is one of equal lengths.
TEXTS = (
    "How long is a vector?",
    "The pilot counted seven grey ships and went home through the rain.",
    "Grüne Äpfel: 3,50 € das Kilo. 文章を数値に変換する。 def area(r): return 3.14159 * r ** 2",
)
"""What a fingerprint is made of. Another text, or another order, is another fingerprint."""

SAME = 0.99
"""The cosine from which two vectors of a text count as one model's: int8 of its weights has 0.997,
what is below is another model, or a quantisation that changes what is found."""

RELATED = 0.95
"""What one model's vectors have at least, whatever they share a batch with: where each batch is
quantised by itself they differ more."""

_COMPONENTS = 512
_HEADER = struct.Struct("<4sIB")
_MAGIC = b"hfm1"


@dataclass(frozen=True, slots=True)
class ModelFingerprint:
    """The vectors of `TEXTS` in so few bytes that they can be kept anywhere."""

    dimensions: int  # of the vectors
    rows: tuple[bytes, ...]  # for each text, or the first of them, at most 512 components as int8

    @classmethod
    def of(cls, vectors: NDArray[np.float32]) -> ModelFingerprint:
        """That of a model with these vectors of `TEXTS`, or of the first of them."""
        width = vectors.shape[1]
        places = np.linspace(0, width - 1, min(width, _COMPONENTS)).round().astype(int)
        parts = vectors[:, places].astype(np.float64)
        largest = np.maximum(np.abs(parts).max(axis=1, keepdims=True), np.finfo(float).tiny)
        codes = np.rint(parts / largest * 127).astype(np.int8)
        return cls(width, tuple(row.tobytes() for row in codes))

    def to_bytes(self) -> bytes:
        """Less than 2 kB, for a file or a database."""
        return _HEADER.pack(_MAGIC, self.dimensions, len(self.rows)) + b"".join(self.rows)

    @classmethod
    def from_bytes(cls, content: bytes) -> ModelFingerprint:
        """The reverse of `to_bytes`.

        Raises:
            ValueError: It is none of this version's.
        """
        width, size = 0, 0
        if len(content) >= _HEADER.size:
            magic, width, count = _HEADER.unpack_from(content)
            size = min(width, _COMPONENTS)
        if not size or magic != _MAGIC or not count or len(content) != _HEADER.size + count * size:
            raise ValueError("these bytes are no fingerprint of a model")
        starts = range(_HEADER.size, len(content), size)
        return cls(width, tuple(content[start : start + size] for start in starts))

    @property
    def id(self) -> str:
        """A name for exactly these bytes; the same model may give others another time."""
        return hashlib.blake2b(self.to_bytes(), digest_size=16).hexdigest()

    def similarity(self, other: ModelFingerprint) -> float:
        """The lowest cosine of the texts that both have; 0 where the dimensions differ."""
        if self.dimensions != other.dimensions:
            return 0.0
        return min(map(cosine, self._vectors(), other._vectors()))

    def matches(self, other: ModelFingerprint) -> bool:
        """Whether both are of one model, as far as retrieval goes."""
        return self.similarity(other) >= SAME

    def _vectors(self) -> list[NDArray[np.float64]]:
        return [np.frombuffer(codes, np.int8).astype(np.float64) for codes in self.rows]


def cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """How alike two vectors are: at most 1; 0 where one has no direction."""
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0
