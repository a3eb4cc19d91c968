"""Vectors as the caller wants them, lists or arrays, and the mean of those of several chunks."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint._messages import Form, Vectors
    from langchain_hf_endpoint.errors import HFEndpointError

    Vector: TypeAlias = list[float] | NDArray[np.float32]

RowT = TypeVar("RowT")

_HALF_PRECISION = 0.02


class VectorFormat(Protocol, Generic[RowT]):
    """Keeps vectors in one form from the reply to the result."""

    @property
    def form(self) -> Form:
        """Which form that is."""

    def rows(self, rows: Vectors) -> Sequence[RowT]:
        """Bring the rows of a reply into this form."""

    def mean(self, rows: Sequence[RowT], weights: Sequence[int], *, normalize: bool) -> RowT:
        """Pool the rows of one text's chunks."""


class _Lists:
    """Python floats, which every vector store takes."""

    form: Form = "lists"

    def rows(self, rows: Vectors) -> Sequence[list[float]]:
        return rows if isinstance(rows, list) else rows.tolist()

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

    def mean(
        self, rows: Sequence[NDArray[np.float32]], weights: Sequence[int], *, normalize: bool
    ) -> NDArray[np.float32]:
        return weighted_mean(np.asarray(rows), weights, normalize=normalize).astype(np.float32)


class _AsReceived:
    """Lists of what came as digits, with all of them; float32 arrays of what came in base64."""

    form: Form = "lists"

    def rows(self, rows: Vectors) -> Sequence[Vector]:
        return rows  # type: ignore[return-value]

    def mean(self, rows: Sequence[Vector], weights: Sequence[int], *, normalize: bool) -> Vector:
        return ARRAYS.mean(np.asarray(rows, dtype=np.float32), weights, normalize=normalize)  # type: ignore[arg-type]


LISTS: VectorFormat[list[float]] = _Lists()
ARRAYS: VectorFormat[NDArray[np.float32]] = _Arrays()
AS_RECEIVED: VectorFormat[Vector] = _AsReceived()


class Rows(dict[int, RowT]):
    """The vectors of a call, by number: that of a text is its index, that of a part negative."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: dict[int, HFEndpointError] = {}  # of those inputs that have no vector

    def put(self, numbers: Sequence[int], rows: Sequence[RowT]) -> None:
        """Enter as many rows as numbers."""
        self.update(zip(numbers, rows, strict=True))

    def copy_of(self, number: int) -> RowT:
        """One of them, not shared with whoever has the original."""
        return copy(self[number])


class MatrixRows(Rows["NDArray[np.float32]"]):
    """Those of texts in one matrix: a batch is copied into it at once, and its reply can be freed.

    Args:
        texts: How many there are.
    """

    def __init__(self, texts: int) -> None:
        super().__init__()
        self._has = np.zeros(texts, dtype=bool)
        self.matrix: NDArray[np.float32] = np.empty((0, 0), dtype=np.float32)

    def put(self, numbers: Sequence[int], rows: Sequence[NDArray[np.float32]]) -> None:
        places, matrix = np.array(numbers), np.asarray(rows)
        if not self.matrix.size:
            self.matrix = np.empty((len(self._has), matrix.shape[1]), dtype=np.float32)
        of_texts = places >= 0
        if not of_texts.all():
            super().put(places[~of_texts].tolist(), matrix[~of_texts])  # type: ignore[arg-type]
            places, matrix = places[of_texts], matrix[of_texts]
        self.matrix[places] = matrix
        self._has[places] = True

    def __contains__(self, number: object) -> bool:
        if isinstance(number, int) and number >= 0:
            return bool(self._has[number])
        return super().__contains__(number)

    def __missing__(self, number: int) -> NDArray[np.float32]:
        if number not in self:
            raise KeyError(number)
        row: NDArray[np.float32] = self.matrix[number]
        return row


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


def row_of_zeros(rows: Vectors) -> int | None:
    """The first row without any number but 0; most rows are seen at their first number."""
    if not isinstance(rows, list) and rows[:, 0].all():
        return None
    return next((index for index, row in enumerate(rows) if not (row[0] or any(row))), None)


def is_unit_length(length: float) -> bool:
    """Whether a vector of this length was normalized, as far as half precision can tell."""
    return abs(length - 1) <= _HALF_PRECISION
