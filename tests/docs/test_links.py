"""Links lead somewhere: between pages, to headings, to pictures; and the site names every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "ARCHITECTURE.md",
    *sorted(DOCS.glob("*.md")),
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
NAMED_PAGE = re.compile(r'= "([\w-]+\.md)"')


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The headings' names, as the site and code forges make them."""
    plain = (
        re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in HEADING.findall(prose(page))
    )
    return {re.sub(r"[ -]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_page_leads_somewhere(page: Path) -> None:
    for target, anchor in LINK.findall(prose(page)):
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name}: {target}#{anchor}"
        if page.parent == DOCS:
            assert DOCS in [found, *found.parents], f"{target} is not on the site"


@pytest.mark.parametrize(
    "start", [ROOT / "README.md", DOCS / "index.md"], ids=lambda page: page.name
)
def test_every_page_is_found_from_the_start(start: Path) -> None:
    linked = {(start.parent / target).resolve() for target, _ in LINK.findall(prose(start))}
    left_out = {DOCS / "index.md", DOCS / "reference.md"}  # the site's own start, and generated
    assert set(DOCS.glob("*.md")) - left_out <= linked


def test_the_site_names_every_page_and_no_other() -> None:
    named = NAMED_PAGE.findall((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md"))
