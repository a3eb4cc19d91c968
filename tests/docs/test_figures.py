"""What the pages say of speed and of retrieval is what the benchmarks measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?")


@pytest.mark.parametrize(
    ("page", "heading", "report"),
    [
        ("README.md", "How fast", "RESULTS.md"),
        ("docs/chunking.md", "Which settings find best", "QUALITY.md"),
    ],
)
def test_every_figure_of_the_section_stands_in_the_report(
    page: str, heading: str, report: str
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    results = (ROOT / "benchmarks" / report).read_text(encoding="utf-8")
    measured = set(NUMBER.findall(results))
    quoted = NUMBER.findall(section)
    assert len(quoted) > 10
    assert [number for number in quoted if number not in measured] == []
