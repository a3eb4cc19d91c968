"""What the pages say of speed and of retrieval is what the benchmarks measured."""

from __future__ import annotations

import pytest

from benchmarks.readme import ROOT, unmeasured


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
    assert unmeasured(ROOT / page, heading, ROOT / "benchmarks" / report) == []


def test_a_figure_that_was_never_measured_is_found() -> None:
    other = ROOT / "benchmarks" / "QUALITY.md"
    assert len(unmeasured(ROOT / "README.md", "How fast", other)) > 10
