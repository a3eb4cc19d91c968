"""Count how far an ingest is: texts, chunks, retries and waits."""

from __future__ import annotations

from langchain_hf_endpoint._engine.progress import LoggedUsage


class Stats(LoggedUsage):
    """Counts what happens from here on, and what it costs.

    Attributes:
        fraction: How much of the input is read, where that can be known.
    """

    fraction: float | None = None

    @property
    def known(self) -> int:
        """Chunks whose vectors are there from before, or from an equal chunk."""
        return self.repeats_saved + self.cache_hits

    @property
    def wanted(self) -> int:
        """Chunks that are to be embedded, as far as is known."""
        return self.chunks - self.known

    @property
    def embedded(self) -> int:
        """Those of them that are embedded, or failed."""
        return self._done - self.cache_hits

    def planned(self, inputs: int, texts: int = 0, chunks: int = 0) -> None:  # noqa: ARG002 - see `read`
        """So many more chunks are to be embedded."""
        super().planned(inputs, 0, inputs)

    def read(self, fraction: float | None) -> None:
        """One more text was read."""
        super().planned(0, 1)
        self.fraction = fraction
        self.tick()

    def found(self) -> None:
        """The vector of one more chunk is there already."""
        super().planned(0, 0, 1)

    def seconds_left(self) -> float | None:
        """How long it will go on at the present rate; None where that cannot be told."""
        if not (self.embedded and self.fraction):
            return None
        return max(0.0, self.wanted / self.fraction - self.embedded) / self.rate()
