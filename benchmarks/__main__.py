"""Measure all topics, or those named, then write RESULTS.md and the plots."""

from __future__ import annotations

import argparse
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.records import Scale, saved, say

if TYPE_CHECKING:
    from collections.abc import Sequence

TOPICS = (
    "imports",
    "chunking",
    "limiting",
    "queries",
    "memory",
    "capacity",
    "starting",
    "gateway",
    "throughput",
)
ON_REQUEST = ("linearity", "callers")
"""Measured where they are named only: they take minutes by themselves."""
PRINTED = ("structure", "sizes", "cache", "forecast")
"""Printed where they are named: no peer is needed, no report is written."""
QUALITY = "quality"
"""Measured where it is named only, with a report of its own, since nothing is timed."""


def main() -> None:
    """The command line."""
    known = (*TOPICS, *ON_REQUEST, *PRINTED, QUALITY)
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(known))
    options.add_argument("--quick", action="store_true", help="a minute or two; says little")
    options.add_argument("--runs", type=int, help="rounds (3, or 1 with --quick)")
    options.add_argument("--data", type=Path, help="for quality: the folder with its texts")
    options.add_argument("--report", action="store_true", help="only write what was measured")
    chosen = options.parse_args()
    if unknown := set(chosen.topics) - set(known):
        options.error(f"no topic: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in PRINTED:
        if name in chosen.topics:
            import_module(f"benchmarks.{name}").show()
    if QUALITY in chosen.topics:
        if chosen.data is None:
            options.error("quality needs --data; docs/chunking.md says where the set is")
        import_module("benchmarks.quality").write(chosen.data)
    timed = [name for name in chosen.topics if name not in (*PRINTED, QUALITY)]
    if timed or not chosen.topics:
        scale = Scale(chosen.quick, chosen.runs or (1 if chosen.quick else 3))
        measure(() if chosen.report else timed or TOPICS, scale)


def measure(names: Sequence[str], scale: Scale) -> None:
    """Measure topics, then report on all that were ever measured."""
    from benchmarks import plots, readme, report  # they need what `make bench` installs

    for name in names:
        begin = time.monotonic()
        topic = import_module(f"benchmarks.{name}").measure(scale)
        topic.seconds = time.monotonic() - begin
        topic.save()
        say(f"{name}: {topic.seconds:.0f} s")
    topics = {name: topic for name in (*TOPICS, *ON_REQUEST) if (topic := saved(name))}
    plots.draw(topics)
    say(f"written: {report.write(topics, scale.runs)}")
    if "throughput" in topics:
        readme.write(topics["throughput"])
    if stale := readme.unmeasured(readme.README, readme.HEADING, report.RESULTS):
        say(f"README.md, {readme.HEADING!r}, has figures of another run: {', '.join(stale)}")


if __name__ == "__main__":
    main()
