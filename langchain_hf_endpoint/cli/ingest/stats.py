"""Count how far an ingest is: texts, chunks, retries and waits."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.actions import NullProgress, WaitReason

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Stats(NullProgress):
    """Counts what happens. Called from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = Counts()
        self._begun = clock()
        self._waits_until = self._limited_until = self._begun
        self._why = ""

    def planned(self, chunks: int) -> None:
        """So many chunks are to be embedded, as far as is known."""
        with self._lock:
            self._counts.planned = chunks

    def done(self, chunks: int) -> None:
        """So many more of them are."""
        with self._lock:
            self._counts.done += chunks

    def waits(self, why: WaitReason, seconds: float) -> None:
        """A request waits."""
        now = self._clock()
        with self._lock:
            counts, until = self._counts, now + seconds
            if seconds >= _WORTH_SAYING and until > self._waits_until:
                self._waits_until, self._why = until, why.value
            if why is WaitReason.LIMITER:
                # Requests wait at the same time: each second counts once.
                counts.limited += max(0.0, until - max(now, self._limited_until))
                self._limited_until = max(until, self._limited_until)
            else:
                counts.retries += 1
                counts.refusals += why is WaitReason.REFUSED

    def read(self, fraction: float | None) -> None:
        """One more text was read."""
        with self._lock:
            self._counts.texts += 1
            self._counts.fraction = fraction

    def found(self) -> None:
        """The vector of one more chunk is there already."""
        with self._lock:
            self._counts.known += 1

    @property
    def seconds(self) -> float:
        """How long it takes so far."""
        return self._clock() - self._begun

    def counts(self) -> Counts:
        """The state at this moment."""
        with self._lock:
            left = self._waits_until - self._clock()
            words = f"{self._why}, {left:.0f} s" if left > 0 and self._why else ""
            return replace(self._counts, waits_for=words)

    def rate(self) -> float:
        """Chunks embedded per second."""
        return self.counts().done / max(self.seconds, 1e-6)

    def seconds_left(self) -> float | None:
        """How long it will go on at the present rate; None where that cannot be told."""
        counts, rate = self.counts(), self.rate()
        if not counts.done or not counts.fraction:
            return None
        return max(0.0, counts.planned / counts.fraction - counts.done) / rate
