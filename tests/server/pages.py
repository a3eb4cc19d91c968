"""The README and the pages of the docs, and their Python blocks, run as a reader would.

A page whose blocks need more than the dependency group ``test`` says so in a comment,
``<!-- its code needs the dependency group stores -->``, and is run by the tests of that group.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GROUP = re.compile(r"^<!-- its code needs the dependency group (\S+) -->$", re.MULTILINE)


def blocks(page: Path) -> list[tuple[int, str]]:
    """The lines before each block, and its source."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in BLOCK.finditer(text)]


def group_of(page: Path) -> str:
    """The dependency group that the page's code needs."""
    found = _GROUP.search(page.read_text(encoding="utf-8"))
    return found[1] if found else "test"


def pages_of(group: str) -> list[Path]:
    """The pages with code that need this group."""
    return [page for page in PAGES if blocks(page) and group_of(page) == group]


def run(page: Path, given: Mapping[str, object]) -> None:
    """Run the blocks one after another. Each may speak of what is given, whatever came before."""
    names: dict[str, object] = {"__name__": "__page__"}
    for line, source in blocks(page):
        names.update(given)
        exec(compile("\n" * line + source, str(page), "exec"), names)
