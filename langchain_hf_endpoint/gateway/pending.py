"""Keep the books of merged batches: whose texts are in which batch, and who has got what."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._engine.failures import named
from langchain_hf_endpoint._protocols import tokens_reported
from langchain_hf_endpoint.errors import EmbeddingError, HFEndpointError, RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from langchain_hf_endpoint._engine.vectors import Vector
    from langchain_hf_endpoint._messages import Response
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import TaskSettings


class QueueFullError(RateLimitedError):
    """So many requests wait for this endpoint that no more are taken."""

    def __init__(self, waiting: int, host: str, retry_after: float) -> None:
        self.retry_after = retry_after  # seconds, 1 to 60
        super().__init__(
            f"{waiting} requests wait for this endpoint already",
            advice=f"Try again in {retry_after:.0f} s.",
            host=host,
        )


class PendingRequest:
    """One caller's request."""

    def __init__(
        self, texts: Sequence[str], lane: Lane, task: TaskSettings, arrival: int = 0
    ) -> None:
        self.lane: Lane = lane
        self.task = task
        # Once for each request: `suits` compares it with every waiting one whenever a batch is cut.
        self.kind = hash(task)
        self.arrival = arrival  # its number among all that came
        self.unsent = deque(dict.fromkeys(texts))  # unique texts that are in no batch
        self.done = asyncio.Event()  # when every text has its vector or its error
        self.tokens: int | None = None  # as far as the server counted them
        self._texts = texts
        self._missing = len(self.unsent)
        self._results: dict[str, Vector | HFEndpointError] = {}
        self._defect: Exception | None = None

    def settle(self, text: str, result: Vector | HFEndpointError) -> None:
        """Enter the result of one of its texts."""
        if text not in self._results:
            self._results[text] = result
            self._missing -= 1
        if not self._missing:
            self.done.set()

    def fail(self, error: Exception) -> None:
        """Every text without a result has this one."""
        if isinstance(error, HFEndpointError):
            for text in dict.fromkeys(self._texts):
                self.settle(text, self._results.get(text, error))
        else:
            self._defect = error
            self.done.set()

    def vectors(self) -> list[Vector]:
        """The result of each text, in order."""
        if self._defect is not None:
            raise self._defect
        failures: dict[int, HFEndpointError] = {}
        vectors: dict[int, Vector] = {}
        for index, text in enumerate(self._texts):
            result = self._results[text]
            if isinstance(result, HFEndpointError):
                failures[index] = named(result, index)
            else:
                vectors[index] = result
        if failures:
            raise EmbeddingError.of(vectors, failures)
        return list(vectors.values())


class MergedBatch:
    """The unique texts of one request to the server, and who asked for each.

    Whatever is done for one caller takes time by that caller's texts, not by how many others share
    the batch.

    Args:
        lane: Of all who are in it.
        task: Of all who are in it.
        most: Inputs that it may have.
        most_bytes: Bytes that they may have; a text of more goes alone.
        arrivals: How many requests had come when it was cut.
    """

    def __init__(
        self, lane: Lane, task: TaskSettings, most: int, most_bytes: int, arrivals: int = 0
    ) -> None:
        self.lane: Lane = lane
        self.task = task
        self.arrivals = arrivals
        self._kind = hash(task)
        self._most = most
        self._bytes_left = most_bytes
        # Dicts for their order; a set would not keep that of arrival.
        self._asked_by: dict[str, dict[PendingRequest, None]] = {}
        self._texts_of: dict[PendingRequest, list[str]] = {}
        self.is_full = False
        self._tokens = 0

    @property
    def texts(self) -> list[str]:
        """Its inputs, without prompts."""
        return list(self._asked_by)

    @property
    def size(self) -> int:
        """How many inputs it has."""
        return len(self._asked_by)

    @property
    def askers(self) -> Collection[PendingRequest]:
        """Everyone who has a text in it, once, in order of arrival."""
        return self._texts_of.keys()

    def suits(self, asked: PendingRequest) -> bool:
        """Whether the same happens to this caller's texts as to those in it."""
        return asked.kind == self._kind and (asked.task is self.task or asked.task == self.task)

    def take_from(self, asked: PendingRequest) -> None:
        """Take as many of its texts as fit; those that are in the batch already cost nothing."""
        while asked.unsent:
            text = asked.unsent[0]
            if text not in self._asked_by:
                if self.is_full:
                    return
                self._bytes_left -= len(orjson.dumps(text)) + 1
                if self._asked_by and self._bytes_left < 0:
                    self.is_full = True
                    return
            self._asked_by.setdefault(text, {})[asked] = None
            self._texts_of.setdefault(asked, []).append(text)
            asked.unsent.popleft()
            self.is_full = self.is_full or self.size >= self._most

    def count(self, reply: Response) -> None:
        """Add the tokens that a reply says it took."""
        if reply.status < 300:  # noqa: PLR2004 - a success
            self._tokens += tokens_reported(reply) or 0

    def share_tokens(self) -> None:
        """Tell everyone how many of the tokens are theirs: a share by characters."""
        if not self._tokens:
            return
        per_character = self._tokens / sum(map(len, self._asked_by))
        for asked, texts in self._texts_of.items():
            asked.tokens = (asked.tokens or 0) + round(sum(map(len, texts)) * per_character)

    def settle(self, start: int, stop: int, result: Sequence[Vector] | HFEndpointError) -> None:
        """Enter the results of the inputs ``[start:stop]``."""
        for place, text in enumerate(self.texts[start:stop]):
            one = result if isinstance(result, HFEndpointError) else result[place]
            for asked in self._asked_by[text]:
                asked.settle(text, one)

    def forget(self, gone: PendingRequest) -> bool:
        """Nobody waits there any more. Its texts stay; returns whether one is wanted by nobody."""
        texts = self._texts_of.pop(gone, ())
        for text in texts:
            del self._asked_by[text][gone]
        return not all(self._asked_by[text] for text in texts)

    def give_back(self) -> list[PendingRequest]:
        """Undo the batch: everyone has the texts back that were in it."""
        for asked, texts in self._texts_of.items():
            asked.unsent.extendleft(reversed(texts))
        askers = list(self._texts_of)
        self._asked_by, self._texts_of = {}, {}
        return askers
