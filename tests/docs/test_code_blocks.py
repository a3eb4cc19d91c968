"""Every Python block of the README and the docs is run, page by page, as a reader would."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from own_tracing import own_tracing
from pages import PAGES, ROOT, blocks, group_of, pages_of, run

from langchain_hf_endpoint._runtime import forget_runtimes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_hf_endpoint.local import LocalServer

RUN_BY = {"test": "tests/docs/test_code_blocks.py", "stores": "tests/stores/test_pages.py"}


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    with own_tracing():
        yield
    forget_runtimes()


@pytest.mark.parametrize("page", pages_of("test"), ids=lambda page: page.name)
def test_every_block_of_the_page_runs(page: Path, local_server: LocalServer) -> None:
    # A page may speak of `server` where the README has introduced it.
    run(page, {"server": local_server})


def test_a_page_has_no_block_that_is_not_run() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```python") == len(blocks(page))


def test_each_page_is_run_by_the_tests_of_its_group() -> None:
    assert {group_of(page) for page in PAGES} <= set(RUN_BY)
    for group, tests in RUN_BY.items():
        assert f'pages_of("{group}")' in (ROOT / tests).read_text(encoding="utf-8")
