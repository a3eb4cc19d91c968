"""Every Python block of the README and the docs is run, page by page, as a reader would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_hf_endpoint._runtime import forget_runtimes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hf_endpoint.local import LocalServer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    forget_runtimes()


def blocks(page: Path) -> list[tuple[int, str]]:
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in BLOCK.finditer(text)]


@pytest.mark.parametrize("page", [*filter(blocks, PAGES)], ids=lambda page: page.name)
def test_every_block_of_the_page_runs(page: Path, local_server: LocalServer) -> None:
    # A page may speak of `server` where the README has introduced it.
    names: dict[str, object] = {"__name__": "__page__", "server": local_server}
    for line, source in blocks(page):
        code = compile("\n" * line + source, str(page), "exec")
        exec(code, names)
        names["server"] = local_server


def test_a_page_has_no_block_that_is_not_run() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("```python") == len(blocks(page))
