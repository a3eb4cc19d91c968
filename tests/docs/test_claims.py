"""What pages say of waiting names the settings that bound it."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def test_the_page_on_performance_says_when_a_query_waits_and_what_bounds_it() -> None:
    section = PAGE.read_text(encoding="utf-8").split("## Queries during an ingestion", 1)[1]
    section = section.split("\n## ", 1)[0]
    assert "**a query does wait**" in section
    assert "`max_concurrent_requests`" in section
    assert "`max_batch_size`" in section
