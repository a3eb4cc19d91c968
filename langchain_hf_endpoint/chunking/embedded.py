"""A chunk with its vector.

It knows what belongs together. It must not know how a vector was made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hf_endpoint.chunking import Chunk

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedChunk(Chunk):
    """A part of a text and its embedding. Two are equal only if they are the same object.

    Attributes:
        text: The chunk, an exact substring of its text.
        start: Its first character's offset in the text.
        end: The offset behind its last character: ``source[start:end] == text``.
        embedding: Float32, shape ``(dimensions,)``.
        text_index: Which of the texts passed it is a part of.
    """

    embedding: NDArray[np.float32]
    text_index: int

    def __repr__(self) -> str:
        """The chunk, and of its vector the width and the length: a debugger asks often."""
        vector = self.embedding
        length = float(vector @ vector) ** 0.5
        return (
            f"EmbeddedChunk(text={self.text!r}, start={self.start}, end={self.end}, "
            f"embedding=<{vector.size} x {vector.dtype}, length {length:.4g}>, "
            f"text_index={self.text_index})"
        )
