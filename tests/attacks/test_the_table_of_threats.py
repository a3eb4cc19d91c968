"""docs/security.md says what is promised and which tests hold it: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "security.md"
ROW = re.compile(
    r"^\| (caller|server|tenant|operator) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE
)
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("who", "whom", "promise", "tests"), ROWS)
def test_every_promise_has_tests_that_exist(who, whom, promise, tests):
    named = re.findall(r"`([^`]+)::(test_\w+)`", tests)
    assert named
    assert tests.count("`") == 2 * len(named)
    for file, test in named:
        source = (TESTS / file).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"


def test_everybody_is_protected_and_every_file_of_attacks_is_named():
    assert {row[0] for row in ROWS} == {"caller", "server", "tenant", "operator"}
    page = PAGE.read_text(encoding="utf-8")
    for file in Path(__file__).parent.glob("test_*.py"):
        assert file == Path(__file__) or f"attacks/{file.name}::" in page
