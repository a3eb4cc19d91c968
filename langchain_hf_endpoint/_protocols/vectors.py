"""Check the rows of a response and turn them into vectors, or say what is wrong with them."""

from __future__ import annotations

from binascii import a2b_base64
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint._messages import Form, Vectors
    from langchain_hf_endpoint._protocols.base import JSON

LARGEST = 3.4028235677973366e38
"""From here on a number becomes infinite as a float32. The greatest float32 itself, written in
decimal digits and read as a double, may be a little above its exact value."""

_DOT, _MINUS, _BEFORE_LETTERS, _EXPONENT = b".-@e"
_HIGH_HALVES, _DIGITS = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x3030303030303030)


def to_vectors(
    rows: list[JSON], count: int, source: bytes | None = None, form: Form = "lists"
) -> Vectors | str:
    """Check the rows for ``count`` inputs and return them as vectors, or say what is wrong.

    Right are as many rows as inputs, all of one length of at least 1, every value a finite number
    that a float32 can hold.

    Args:
        rows: Lists of numbers, or strings in base64 where the protocol has those.
        count: How many inputs were sent.
        source: The JSON that the rows were read from, where they are one of its values as they
            stand. None where they were put together.
        form: How the vectors will be kept.
    """
    if len(rows) != count:
        return _wrong_count(rows, count)
    kinds = set(map(type, rows))
    if str in kinds:
        return _from_base64(rows) if kinds == {str} else _from_mixed(rows)
    if kinds != {list} or len(lengths := set(map(len, rows))) != 1 or 0 in lengths:
        return _fault(rows)
    if source is not None and form == "arrays":
        matrix = _matrix_of(rows, source)
        return _from_numbers(rows) if matrix is None else matrix
    if source is not None and _has_only_floats(source, count, lengths.pop()):
        return rows
    return _from_numbers(rows)


def _has_only_floats(source: bytes, rows: int, dimensions: int) -> bool:
    """Tell whether JSON, already known to hold ``rows`` lists of ``dimensions``, has floats there.

    False means no more than that it needs a closer look.
    """
    # Every response is checked, so the check of a good one has to cost next to nothing. Looking at
    # each parsed value costs ten times as much as counting in the text: 26.7 against 2.3 ms for
    # 1,000 texts of 384 dimensions.
    #
    # Without quotes from the first bracket on, neither field nor string follows it, so from there
    # on stand the rows alone: `rows * dimensions` values in all. With as many brackets as the rows
    # need none of the values is a list; without letters (but for small exponents) and braces, none
    # is null, true or an object. So all are numbers, a number has at most one dot, and if there are
    # as many dots as numbers, each is a float. Without a positive exponent, and without the 39
    # digits in a row that it takes, none comes near the end of float32.
    start, end = source.find(b"["), source.rfind(b"]") + 1
    if start < 0 or source.find(b'"', start) >= 0:
        return False
    characters = np.frombuffer(source, np.uint8, end - start, start)
    if np.count_nonzero(characters == _DOT) != rows * dimensions:
        return False
    exponents = np.count_nonzero(characters > _BEFORE_LETTERS) - 2 * (rows + 1)
    if exponents:
        where = np.flatnonzero(characters == _EXPONENT)
        if len(where) != exponents or (characters[where + 1] != _MINUS).any():
            return False
    # Of 31 digits in a row at least 24 are three whole words of eight; no honest float has so many.
    words = np.frombuffer(source, np.uint64, len(source) // 8)
    digits = (words & _HIGH_HALVES) == _DIGITS
    return not (digits[2:] & digits[1:-1] & digits[:-2]).any()


def _matrix_of(rows: list[JSON], source: bytes) -> NDArray[np.float32] | None:
    """Take rows of equal length at once, if there is nothing but numbers in them.

    numpy refuses lists and objects in the place of a number. It takes strings, true, false and null
    for numbers, so there must be none; and what is too large becomes infinite.
    """
    start = source.find(b"[")
    if any(source.find(mark, start) >= 0 for mark in (b'"', b"t", b"f", b"n")):
        return None
    try:
        with np.errstate(over="ignore"):
            matrix = np.array(rows, np.float32)
    except (TypeError, ValueError, OverflowError):
        return None
    is_table = matrix.ndim == 2  # noqa: PLR2004 - dimensions
    return matrix if is_table and np.isfinite(matrix).all() else None


def _from_numbers(rows: list[JSON]) -> Vectors | str:
    """Check every value of rows of equal length; whole numbers become floats."""
    vectors: list[list[float]] = []
    for row in rows:
        kinds = set(map(type, row))
        if not kinds <= {float, int} or min(row) <= -LARGEST or max(row) >= LARGEST:
            return _fault(rows)
        vector = row if kinds == {float} else list(map(float, row))
        # A NaN, which orjson does not let through but the fallback parser does, has no order.
        if not isfinite(sum(vector)):
            return _fault(rows)
        vectors.append(vector)
    return vectors


def _from_base64(rows: Sequence[str]) -> NDArray[np.float32] | str:
    """Decode rows of little-endian float32 into one matrix, which may be written to."""
    # Rows without padding are decoded as one, at a fifth of the cost. What is wrong with one of
    # them, padding included, is wrong with all together.
    are_alike = rows[0][-1:] != "=" and len(set(map(len, rows))) == 1
    decoded = from_base64("".join(rows)) if are_alike else None
    if not decoded or len(decoded) % (4 * len(rows)):
        parts = []
        for index, text in enumerate(rows):
            part = _bytes_of_floats(text)
            if part is None:
                return f"row {index} is not base64 of float32 numbers"
            parts.append(part)
        if len(set(map(len, parts))) != 1 or not parts[0]:
            return _wrong_lengths([len(part) // 4 for part in parts])
        decoded = b"".join(parts)
    matrix = np.frombuffer(bytearray(decoded), "<f4").reshape(len(rows), -1)
    matrix = matrix.astype(np.float32, copy=False)
    if not np.isfinite(matrix).all():
        row, position = np.argwhere(~np.isfinite(matrix))[0].tolist()
        return f"row {row} has {_named(float(matrix[row, position]))} at position {position}"
    return matrix


def _from_mixed(rows: list[JSON]) -> Vectors | str:
    """Take rows of which some are base64, the others lists of numbers."""
    unpacked: list[JSON] = []
    for index, row in enumerate(rows):
        part = _bytes_of_floats(row) if isinstance(row, str) else None
        if isinstance(row, str) and part is None:
            return f"row {index} is not base64 of float32 numbers"
        unpacked.append(row if part is None else np.frombuffer(part, "<f4").tolist())
    return to_vectors(unpacked, len(rows))


def _bytes_of_floats(text: str) -> bytes | None:
    decoded = from_base64(text)
    return decoded if decoded is not None and len(decoded) % 4 == 0 else None


def _wrong_count(rows: list[JSON], count: int) -> str:
    """Say how many rows there are, and what they may be instead."""
    if deep := _token_level(rows):
        return deep
    text = f"{len(rows)} vectors for {count} {'input' if count == 1 else 'inputs'}"
    if count == 1 and len(rows) > 1:
        text += " (one for each token? Then the server does not pool)"
    return text


def _fault(rows: list[JSON]) -> str:
    """Find out, at leisure, what is wrong with rows of the right number."""
    if not rows:
        return "no vectors"
    if deep := _token_level(rows):
        return deep
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            return f"row {index} is {_named(row)} instead of a list of numbers"
        for position, value in enumerate(row):
            if not _is_number(value):
                sparse = isinstance(value, dict) and {"index", "value"} <= value.keys()
                hint = ": sparse vectors, of a SPLADE model" if sparse else ""
                hint = ", which is how TEI writes NaN" if value is None else hint
                return f"row {index} has {_named(value)} at position {position}{hint}"
    return _wrong_lengths([len(row) for row in rows])


def _token_level(rows: list[JSON]) -> str:
    """Recognise a vector for each token instead of each text: three or four levels of lists.

    That is what a transformers ``feature-extraction`` pipeline returns, and TEI's ``/embed_all``.
    """
    levels, inner = 1, next((row for row in rows if isinstance(row, list) and row), None)
    while isinstance(inner, list) and inner:
        levels, inner = levels + 1, inner[0]
    if levels < 3:  # noqa: PLR2004 - texts, tokens, numbers
        return ""
    return (
        f"lists nested {levels} deep: token-level output, as a feature-extraction pipeline without "
        "pooling returns it. Deploy the model with Text Embeddings Inference, or with the task "
        "sentence-embeddings, to get one vector for each text"
    )


def _wrong_lengths(lengths: list[int]) -> str:
    """Name the first row whose length is not that of most."""
    usual = max(set(lengths), key=lambda length: (lengths.count(length), length))
    odd = next((index for index, length in enumerate(lengths) if length != usual), 0)
    if lengths[odd] == 0:
        return f"row {odd} is empty"
    return f"row {odd} has {lengths[odd]} numbers, the others {usual}"


def _is_number(value: JSON) -> bool:
    """Tell whether this is a number that a float32 can hold. True and false are none."""
    return type(value) in (float, int) and -LARGEST < value < LARGEST


def _named(value: JSON) -> str:
    """Say what this is without repeating it: it may be long, and it may be private."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (str, list, dict)):
        return {str: "a string", list: "a list", dict: "an object"}[type(value)]
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if value != value else "Infinity"  # noqa: PLR0124 - the definition of NaN
    return "a number" if _is_number(value) else "a number too large for float32"


try:
    from pybase64 import b64decode
except ImportError:
    b64decode = None  # type: ignore[assignment]  # which mypy cannot know


def from_base64(text: str) -> bytes | None:
    """Decode base64, or return None."""
    try:
        decoded = a2b_base64(text) if b64decode is None else b64decode(text, validate=True)
    except ValueError:
        return None
    # `a2b_base64` passes over characters that do not belong there, and over what follows the
    # padding: then the text is longer than what was decoded would be, encoded again.
    return decoded if len(text) == (len(decoded) + 2) // 3 * 4 else None
