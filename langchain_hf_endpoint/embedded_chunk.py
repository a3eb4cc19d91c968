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
