"""Texts from the caller, taken a handful at a time: of a list, a generator, an async iterable."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable

_MOST_CHARACTERS = 1_000_000  # at once, so that a look-ahead of books stays small
_MOST_SECONDS = 0.05  # at once, so that a slow source's first texts do not wait for its later ones


class _Ending:
    """How a source comes to its end."""

    is_exhausted = False
    is_slow = False  # whether the last handful was ended for taking long
    characters = 0  # of the last handful; what is no string, and will be refused, counts nothing
    error: Exception | None = None  # kept, since what came before it is to be embedded first

    def _end(self, error: Exception) -> None:
        self.is_exhausted = True
        if not isinstance(error, (StopIteration, StopAsyncIteration)):
            self.error = error


class Source(_Ending):
    """Texts of an iterable."""

    # Has them taken on the thread of a sync call; None where that is this one.
    on_their_thread: Callable[[Callable[[], None]], None] | None = None

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        # On a busy machine a list would seem slow, and its first batch be sent half full.
        self._may_be_slow = not isinstance(texts, (list, tuple))

    def take(self, most: float) -> list[str]:
        """Up to so many texts; fewer where they are long, or where there are no more."""
        taken: list[str] = []
        self.characters = 0
        begun, self.is_slow = time.monotonic(), False
        try:
            while len(taken) < most and self.characters < _MOST_CHARACTERS and not self.is_slow:
                text = next(self._texts)
                taken.append(text)
                self.characters += len(text) if isinstance(text, str) else 0
                self.is_slow = self._may_be_slow and time.monotonic() - begun > _MOST_SECONDS
        except Exception as error:  # noqa: BLE001 - raised when what came before it is done
            self._end(error)
        return taken

    async def atake(self, most: float) -> list[str]:
        """`take`, for an event loop; where it is not on their thread, it waits for that."""
        if self.on_their_thread is None:
            return self.take(most)
        taken: Future[list[str]] = Future()
        self.on_their_thread(lambda: taken.set_result(self.take(most)))
        return await asyncio.wrap_future(taken)


class AsyncSource(_Ending):
    """Texts of an async iterable, which is asked for one text at a time and never waited for long.

    To be left as a context manager: the question that is open then is taken back.
    """

    def __init__(self, texts: AsyncIterable[str]) -> None:
        self._texts = aiter(texts)
        self._asked: asyncio.Future[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asked is not None:
            self._asked.cancel()
            await asyncio.wait({self._asked})

    async def atake(self, most: float) -> list[str]:
        """Up to so many texts; fewer where they are long, keep us waiting, or are at an end."""
        taken: list[str] = []
        self.characters = 0
        begun, self.is_slow = time.monotonic(), False
        try:
            while len(taken) < most and self.characters < _MOST_CHARACTERS:
                if self._asked is None:
                    self._asked = asyncio.ensure_future(anext(self._texts))
                left = max(0.0, begun + _MOST_SECONDS - time.monotonic())
                done, _ = await asyncio.wait({self._asked}, timeout=left)
                if not done:
                    self.is_slow = True  # the answer, when it comes, is the first of the next take
                    break
                answered, self._asked = self._asked, None
                text = answered.result()
                taken.append(text)
                self.characters += len(text) if isinstance(text, str) else 0
        except Exception as error:  # noqa: BLE001 - raised when what came before it is done
            self._end(error)
        return taken
