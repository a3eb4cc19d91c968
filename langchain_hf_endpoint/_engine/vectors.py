"""Vectors as the caller wants them, lists or arrays, and the mean of those of several chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint._messages import Form, Vectors

RowT = TypeVar("RowT")

_HALF_PRECISION = 0.02


class VectorFormat(Protocol, Generic[RowT]):
    """Keeps vectors in one form from the reply to the result."""

    @property
    def form(self) -> Form:
        """Which form that is."""

    def rows(self, rows: Vectors) -> Sequence[RowT]:
        """Bring the rows of a reply into this form."""

    def again(self, row: RowT) -> RowT:
        """A row for a second text that is the same, not shared with the first."""

    def mean(self, rows: Sequence[RowT], weights: Sequence[int], *, normalize: bool) -> RowT:
        """Pool the rows of one text's chunks."""


class _Lists:
    """Python floats, which every vector store takes."""

    form: Form = "lists"

    def rows(self, rows: Vectors) -> Sequence[list[float]]:
        return rows if isinstance(rows, list) else rows.tolist()

    def again(self, row: list[float]) -> list[float]:
        return row.copy()

    def mean(
        self, rows: Sequence[list[float]], weights: Sequence[int], *, normalize: bool
    ) -> list[float]:
        mean: list[float] = weighted_mean(np.asarray(rows), weights, normalize=normalize).tolist()
        return mean


class _Arrays:
    """Float32 arrays: a tenth of the memory of lists."""

    form: Form = "arrays"

    def rows(self, rows: Vectors) -> Sequence[NDArray[np.float32]]:
        matrix: Sequence[NDArray[np.float32]] = np.asarray(rows, dtype=np.float32)  # type: ignore[assignment]
        return matrix

    def again(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.array(row)

    def mean(
        self, rows: Sequence[NDArray[np.float32]], weights: Sequence[int], *, normalize: bool
    ) -> NDArray[np.float32]:
        return weighted_mean(np.asarray(rows), weights, normalize=normalize).astype(np.float32)


LISTS: VectorFormat[list[float]] = _Lists()
ARRAYS: VectorFormat[NDArray[np.float32]] = _Arrays()


def weighted_mean(
    rows: NDArray[np.floating], weights: Sequence[int], *, normalize: bool
) -> NDArray[np.float64]:
    """Pool the vectors of one text's chunks into one.

    Args:
        rows: Shape ``(chunks, dimensions)``.
        weights: How much each chunk counts: its number of words.
        normalize: Bring the mean back to length 1. A mean of length 0 has no direction and is
            returned as it is.

    Returns:
        Shape ``(dimensions,)``.
    """
    mean = np.average(rows.astype(np.float64), axis=0, weights=weights)
    length = float(np.linalg.norm(mean))
    return mean / length if normalize and length > 0 else mean


def is_unit_length(length: float) -> bool:
    """Whether a vector of this length was normalized, as far as half precision can tell."""
    return abs(length - 1) <= _HALF_PRECISION
