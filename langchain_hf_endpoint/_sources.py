"""Texts from the caller, taken a handful at a time: of a list, a generator, an async iterable.

It knows how much is taken at once. It must not know what the texts are for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

_MOST_CHARACTERS = 1_000_000  # at once, so that a look-ahead of books stays small


class _Ending:
    """How a source comes to its end.

    Attributes:
        is_exhausted: Whether it has no more texts.
        error: What it raised; kept, since what came before it is to be embedded first.
    """

    def __init__(self) -> None:
        self.is_exhausted = False
        self.error: Exception | None = None

    def _end(self, error: Exception) -> None:
        self.is_exhausted = True
        if not isinstance(error, (StopIteration, StopAsyncIteration)):
            self.error = error


class Source(_Ending):
    """Texts of an iterable."""

    def __init__(self, texts: Iterable[str]) -> None:
        super().__init__()
        self._texts = iter(texts)

    def take(self, most: float) -> list[str]:
        """Up to so many texts; fewer where they are long, or where there are no more."""
        taken: list[str] = []
        characters = 0
        try:
            while len(taken) < most and characters < _MOST_CHARACTERS:
                taken.append(next(self._texts))
                characters += total_length(taken[-1:])
        except Exception as error:  # noqa: BLE001 - raised when what came before it is done
            self._end(error)
        return taken


class AsyncSource(_Ending):
    """Texts of an async iterable."""

    def __init__(self, texts: AsyncIterable[str]) -> None:
        super().__init__()
        self._texts = aiter(texts)

    async def take(self, most: float) -> list[str]:
        """Up to so many texts; fewer where they are long, or where there are no more."""
        taken: list[str] = []
        characters = 0
        try:
            while len(taken) < most and characters < _MOST_CHARACTERS:
                taken.append(await anext(self._texts))
                characters += total_length(taken[-1:])
        except Exception as error:  # noqa: BLE001 - raised when what came before it is done
            self._end(error)
        return taken


def total_length(texts: list[str]) -> int:
    """Characters in all; what is no string, and will be refused, counts nothing."""
    return sum(len(text) for text in texts if isinstance(text, str))
