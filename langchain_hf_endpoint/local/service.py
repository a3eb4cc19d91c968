"""Requests for vectors against one model: admitted, tokenised, run in worker threads.

It knows permits and threads. It must not know HTTP.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
import numpy as np

from langchain_hf_endpoint.local.protocol import MAX_CONCURRENT_INPUTS, overloaded, too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from langchain_hf_endpoint.local.model import Model
    from langchain_hf_endpoint.local.protocol import EmbedRequest, Input

_Result = TypeVar("_Result")


@dataclass(slots=True)
class Embedded:
    """The answer to one request.

    Attributes:
        rows: One vector for each input.
        tokens: Tokens that were run.
        characters: Characters that were given.
    """

    rows: NDArray[np.float32]
    tokens: int
    characters: int


@dataclass
class Service:
    """A model and the right to use it.

    Attributes:
        model: The model.
        threads: Inputs run at the same time.
        inputs_in_flight: Inputs admitted and not yet answered.
    """

    model: Model
    threads: int
    inputs_in_flight: int = field(default=0, init=False)

    @cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        """Made late: it belongs to the event loop that runs."""
        return anyio.CapacityLimiter(self.threads)

    @contextmanager
    def admitted(self, count: int) -> Iterator[None]:
        """Hold a permit for each input.

        Raises:
            RefusedError: There are not enough of them; nothing is waited for.
        """
        if self.inputs_in_flight + count > MAX_CONCURRENT_INPUTS:
            raise overloaded()
        self.inputs_in_flight += count
        try:
            yield
        finally:
            self.inputs_in_flight -= count

    async def embed(self, request: EmbedRequest) -> Embedded:
        """Embed the inputs of a request; cancelled, it leaves what has not begun.

        Raises:
            RefusedError: An input is over the limit and not to be cut.
        """
        with self.admitted(len(request.inputs)):
            ids = await self.in_thread(partial(self._tokenized, request))
            rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(ids)

            async def run(place: int) -> None:
                rows[place] = await self.in_thread(partial(self.model.embed, ids[place]))

            async with anyio.create_task_group() as tasks:
                for place in range(len(ids)):
                    tasks.start_soon(run, place)
        return Embedded(
            rows=finished(np.stack(rows), request),
            tokens=sum(map(len, ids)),
            characters=sum(len(each) for each in request.inputs if isinstance(each, str)),
        )

    async def in_thread(self, work: Callable[[], _Result]) -> _Result:
        """Do the work where the model's is done, no more at a time than `threads`."""
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _tokenized(self, request: EmbedRequest) -> list[list[int]]:
        return [self._ids(each, request) for each in request.inputs]

    def _ids(self, given: Input, request: EmbedRequest) -> list[int]:
        text = given if isinstance(given, str) else self.model.text_of(given)
        if request.truncate:
            return self.model.ids(text, cut=True, keep_end=request.keep_end)
        info = self.model.info
        if len(text) > info.max_input_characters:
            raise too_long(info.max_input_characters, len(text), "characters")
        ids = self.model.ids(text, cut=False)
        if len(ids) > info.max_input_tokens:
            raise too_long(info.max_input_tokens, len(ids))
        return ids


def finished(rows: NDArray[np.float32], request: EmbedRequest) -> NDArray[np.float32]:
    """Cut to the dimensions asked for, then brought to length 1 if so wished."""
    rows = rows[:, : request.dimensions]
    if request.normalize:
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows, dtype=np.float32)
