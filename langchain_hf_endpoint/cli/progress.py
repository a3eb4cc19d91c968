"""Count and show how far an ingest is: live lines in a terminal, elsewhere a line now and then."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from langchain_hf_endpoint._engine.progress import LoggedUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

_logger = logging.getLogger(__name__)


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


@contextmanager
def shown(stats: Stats, console: Console | None = None) -> Iterator[None]:
    """Show the stats while the block runs."""
    console = console or Console(stderr=True)
    if console.is_terminal:
        with Live(
            get_renderable=lambda: picture(stats),
            console=console,
            refresh_per_second=5,
            transient=True,
        ):
            yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    _logger.info("embedding begins")
    stats.say = lambda: _logger.info("%s", words(stats))
    try:
        yield
    finally:
        stats.say()
        _logger.removeHandler(handler)


def picture(stats: Stats) -> Group:
    """A bar, and under it a line of words."""
    total = stats.wanted / stats.fraction if stats.fraction else None
    share = f"{min(1.0, stats.embedded / total):.0%}" if total else ""
    bar = Table.grid(padding=(0, 1), expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right")
    bar.add_row(
        ProgressBar(total=total, completed=stats.embedded, pulse=total is None), Text(share, "bold")
    )
    return Group(bar, Text(words(stats), "dim", overflow="ellipsis", no_wrap=True))


def words(stats: Stats) -> str:
    """All that is known, shortest first; what is nothing is not said."""
    left, retries, limited = stats.seconds_left(), stats.retries.total(), stats.limiter_wait_seconds
    why, seconds = stats.waiting()
    parts = [
        f"{stats.embedded:,} of {stats.wanted:,} chunks",
        f"{stats.rate():,.0f}/s",
        f"{_clock(left)} left" if left is not None else "",
        f"{stats.known:,} known" if stats.known else "",
        f"{retries:,} retries" if retries else "",
        f"{why}, {seconds:.0f} s" if why else "",
        f"{limited:.0f} s at the rate limit" if limited >= 1 and not why else "",
    ]
    return " · ".join(filter(None, parts))


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
