"""Draw what a minute's window holds under two limiters: ours, and a token bucket.

    python docs/figures/draw_grants.py            # writes docs/figures/grants.svg

Both are the real classes, run by a clock of our own, so that minutes take a moment. The bucket is
LangChain's `InMemoryRateLimiter` with as many tokens as the limit, which lets an idle minute be
made up for.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from langchain_core import rate_limiters
from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_hf_endpoint import RequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 600  # a minute
START, END = 90.0, 270.0  # idle, then as many requests as may be had
OURS, BUCKET = "#2a6fdb", "#d9480f"


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def ours() -> list[float]:
    clock = Clock()
    limiter = RequestsPerMinuteLimiter(LIMIT, clock=clock.monotonic, sleep=clock.sleep)
    return grants(clock, limiter.acquire)


def bucket() -> list[float]:
    clock = Clock()
    with patch.object(rate_limiters, "time", clock):
        limiter = InMemoryRateLimiter(
            requests_per_second=LIMIT / 60, check_every_n_seconds=0.005, max_bucket_size=LIMIT
        )
        limiter.acquire()  # it begins to fill with its first use
        return grants(clock, limiter.acquire)


def grants(clock: Clock, acquire: Callable[[], bool]) -> list[float]:
    clock.now = START
    starts = []
    while clock.now < END:
        acquire()
        starts.append(clock.now)
    return starts


def in_last_minute(starts: list[float], moment: float) -> int:
    return bisect_right(starts, moment) - bisect_right(starts, moment - 60)


def main() -> None:
    moments = [START - 10 + step / 4 for step in range(int((END - START + 10) * 4))]
    plt.rcParams.update({"svg.hashsalt": "grants", "font.family": "sans-serif", "font.size": 11})
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for name, starts, colour in (
        ("token bucket of 600 tokens", bucket(), BUCKET),
        ("RequestsPerMinuteLimiter(600)", ours(), OURS),
    ):
        counts = [in_last_minute(starts, moment) for moment in moments]
        since = [moment - START for moment in moments]
        axes.plot(since, counts, colour, label=f"{name}: at most {max(counts)}")
    axes.axhline(LIMIT, color="grey", linestyle="--", linewidth=1)
    axes.text(178, LIMIT + 25, "the limit", color="grey", ha="right")
    axes.set(xlabel="seconds since the end of an idle time", ylabel="requests in the last 60 s")
    axes.set_ylim(0, 1300)
    axes.set_xlim(-10, 180)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    out = Path(__file__).with_name("grants.svg")
    figure.savefig(out, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
