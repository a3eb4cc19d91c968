"""Look up what is known of the words of a text by their places, without making strings of them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    _Offsets: TypeAlias = "NDArray[np.intp]"

_BLOCK = 1 << 15  # words that are hashed in one go: what is made of them stays near the processor
_SLOTS = 1 << 18
_LONGEST = 128  # bytes; longer words hardly ever come twice
_NUMBER = np.uint64((1 << 16) - 1)  # the bits of an entry's number
_FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)
# Drawn anew in each process, so that nobody can make words that have the same hash.
_SEED, _MULTIPLIER = (secrets.randbits(63) << 1 | 1 for _ in range(2))


class KnownWords:
    """Numbers of words, each worked out once, or again where two words share a place in the table.

    An entry of the table has the number in its lowest bits, and the word's hash in the others, the
    lowest bits of which are the place. So no thread ever sees the hash of one word with the number
    of another.
    """

    def __init__(self) -> None:
        self._table = np.zeros(_SLOTS, np.uint64)

    def numbers(
        self,
        text: str,
        starts: _Offsets,
        ends: _Offsets,
        of_words: Callable[[list[str]], Sequence[int]],
    ) -> NDArray[np.int64]:
        """The number of each word.

        Args:
            text: The text.
            starts: Where its words start, ascending.
            ends: Where they end.
            of_words: Works out the numbers of words that are not known.
        """
        numbers = np.empty(len(starts), np.int64)
        for first in range(0, len(starts), _BLOCK):
            some = slice(first, first + _BLOCK)
            hashes, is_long = _hashes(text, starts[some], ends[some])
            slots = (hashes & np.uint64(_SLOTS - 1)).view(np.int64)
            entries = self._table[slots]
            found = (entries & _NUMBER).view(np.int64)
            new = np.flatnonzero(((entries ^ hashes) > _NUMBER) | is_long)
            if len(new):
                places = zip(starts[some][new].tolist(), ends[some][new].tolist(), strict=True)
                found[new] = of_words([text[start:end] for start, end in places])
                kept = new[(found[new] <= int(_NUMBER)) & ~is_long[new]]
                self._table[slots[kept]] = hashes[kept] & ~_NUMBER | found[kept].astype(np.uint64)
            numbers[some] = found
        return numbers


def _hashes(
    text: str, starts: _Offsets, ends: _Offsets
) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """The hash of each word, made of eight bytes at a time, and which are too long to have one."""
    part = text[int(starts[0]) : int(ends[-1])]
    width = 1 if part.isascii() else 4
    encoded = part.encode("ascii" if width == 1 else "utf-32-le", "surrogatepass") + bytes(8)
    eights = np.ndarray(len(encoded) - 7, "<u8", encoded, strides=(1,))  # from each byte on
    places, left = (starts - starts[0]) * width, (ends - starts) * width
    is_long = left > _LONGEST
    hashes = left.astype(np.uint64) * np.uint64(_SEED) + np.uint64(width)
    some: slice | NDArray[np.intp] = slice(None)
    for start in range(0, _LONGEST, 8):
        eight = eights[places[some] + start] & _FIRST_BYTES[np.minimum(left[some] - start, 8)]
        mixed = (hashes[some] ^ eight) * np.uint64(_MULTIPLIER)
        hashes[some] = mixed ^ (mixed >> np.uint64(32))
        some = np.flatnonzero(left > start + 8)
        if not len(some):
            break
    return hashes, is_long
