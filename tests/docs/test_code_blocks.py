"""Every page's Python blocks run as pasted, from top to bottom, in an interpreter of their own."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from pages import PAGES, ROOT, blocks, group_of, not_named, pages_of, run
from warm_interpreter import WarmInterpreter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN_BY = {"test": "tests/docs/test_code_blocks.py", "stores": "tests/compat/stores/test_pages.py"}
RUN_HERE = pytest.mark.parametrize("page", pages_of("test"), ids=lambda page: page.name)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[WarmInterpreter]:
    with WarmInterpreter() as interpreter:
        yield interpreter


@RUN_HERE
def test_the_blocks_of_the_page_run_as_pasted(
    page: Path, tmp_path: Path, interpreter: WarmInterpreter
) -> None:
    done = run(page, tmp_path, interpreter=interpreter)
    assert done.returncode == 0, done.stderr
    # No warning, nothing that was left open; how far a command is, is said where no terminal is.
    assert re.sub(r"^\S+ \S+ INFO .*\n", "", done.stderr, flags=re.MULTILINE) == ""


@RUN_HERE
def test_the_page_names_what_its_blocks_need(page: Path) -> None:
    assert not_named(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_extra_that_the_page_names_exists(page: Path) -> None:
    # The package is not on PyPI yet: from a clone it is ".[extra]".
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"pip install \"(?:\.|langchain-hf-endpoint)\[([^]]+)\]", text)
    known = metadata.metadata("langchain-hf-endpoint").get_all("Provides-Extra") or []
    assert {extra for extras in named for extra in extras.split(",")} <= set(known)


@pytest.mark.parametrize("name", ["README.md", "docs/index.md"])
def test_a_start_page_says_how_to_install_without_pypi(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    first = re.findall(r"^```console\n(.*)$", text, re.MULTILINE)[0]
    assert first in {"pip install .", 'pip install ".[local]"'}
    assert "not on PyPI yet" in text.partition("```console")[0]


def test_a_page_has_no_block_that_is_not_run() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```python") == len(blocks(page))


def test_each_page_is_run_by_the_tests_of_its_group() -> None:
    assert {group_of(page) for page in PAGES} <= set(RUN_BY)
    for group, tests in RUN_BY.items():
        assert f'pages_of("{group}")' in (ROOT / tests).read_text(encoding="utf-8")
