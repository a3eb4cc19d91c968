"""What the README says of speed is what `make bench` measured."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def test_every_figure_of_the_readme_stands_in_the_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## How fast", 1)[1].split("\n## ", 1)[0]
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    measured = set(NUMBER.findall(results))
    quoted = NUMBER.findall(section)
    assert len(quoted) > 10
    assert [number for number in quoted if number not in measured] == []
