"""Count how far an ingest is: texts, chunks, retries and waits."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.actions import WaitReason
from langchain_hf_endpoint._engine.usage import EmbeddingUsage

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint._engine.progress import TimedLog
    from langchain_hf_endpoint._messages import Cause

_WORTH_SAYING = 0.5  # seconds; shorter waits are the limiter's ordinary pace


@dataclass(slots=True)
class Counts:
    """The state of one moment."""

    texts: int = 0  # read from the sources
    planned: int = 0  # chunks that are to be embedded, as far as is known
    done: int = 0  # those that are embedded, or failed
    known: int = 0  # chunks whose vectors are there from before, or from an equal chunk
    fraction: float | None = None  # how much of the input is read, where that can be known
    retries: int = 0  # requests that were to be tried again
    refusals: int = 0  # those of them that the server refused to slow us down
    waits_for: str = ""  # what a request waits for at this moment, in words
    limited: float = 0.0  # seconds in which at least one request waited for the rate limit


class Stats(EmbeddingUsage):
    """Counts what happens from here on, and what it costs.

    Attributes:
        log: Is asked at every event whether it is time to say something.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        price_per_million_tokens: float | None = None,
        price_per_hour: float | None = None,
    ) -> None:
        super().__init__(price_per_million_tokens, price_per_hour, clock=clock)
        self.log: TimedLog | None = None
        self._counts = Counts()
        self._waits_until, self._why = clock(), ""
        self.begin()

    def planned(self, inputs: int, texts: int = 0, chunks: int = 0) -> None:  # noqa: ARG002 - see `read`
        """So many more chunks are to be embedded."""
        super().planned(inputs, 0, inputs)
        with self._lock:
            self._counts.planned += inputs

    def cached(self, inputs: int) -> None:
        """The vectors of so many were in a cache."""
        super().cached(inputs)
        with self._lock:
            self._counts.known += inputs
            self._counts.planned -= inputs  # none of those that are embedded
            self._counts.done -= inputs

    def done(self, inputs: int) -> None:
        """So many more of them are."""
        with self._lock:
            self._counts.done += inputs
        self._tick()

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:
        """A request waits."""
        super().waits(why, seconds, cause)
        until = self.clock() + seconds
        with self._lock:
            if seconds >= _WORTH_SAYING and until > self._waits_until:
                self._waits_until, self._why = until, why.value
            self._counts.retries += why is not WaitReason.LIMITER
            self._counts.refusals += why is WaitReason.REFUSED
        self._tick()

    def read(self, fraction: float | None) -> None:
        """One more text was read."""
        super().planned(0, 1)
        with self._lock:
            self._counts.texts += 1
            self._counts.fraction = fraction
        self._tick()

    def found(self) -> None:
        """The vector of one more chunk is there already."""
        super().planned(0, 0, 1)
        with self._lock:
            self._counts.known += 1

    def _tick(self) -> None:
        if self.log is not None:
            self.log.tick()

    def counts(self) -> Counts:
        """The state at this moment."""
        with self._lock:
            left = self._waits_until - self.clock()
            words = f"{self._why}, {left:.0f} s" if left > 0 and self._why else ""
            return replace(self._counts, waits_for=words, limited=self.limiter_wait_seconds)

    def rate(self) -> float:
        """Chunks embedded per second."""
        return self.counts().done / max(self.seconds, 1e-6)

    def seconds_left(self) -> float | None:
        """How long it will go on at the present rate; None where that cannot be told."""
        counts, rate = self.counts(), self.rate()
        if not counts.done or not counts.fraction:
            return None
        return max(0.0, counts.planned / counts.fraction - counts.done) / rate
