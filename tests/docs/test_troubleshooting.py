"""The page on troubleshooting has a section for each public error, and no other."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import langchain_hf_endpoint.errors
import langchain_hf_endpoint.local
from langchain_hf_endpoint import HFEndpointError

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
SECTION = re.compile(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
MODULES = [langchain_hf_endpoint.errors, langchain_hf_endpoint.local]


def public_errors() -> set[str]:
    """The names of the errors that a user may catch, but for the root of all."""
    return {
        name
        for module in MODULES
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, HFEndpointError) and name[0] != "_"
    } - {"HFEndpointError"}


def test_each_error_has_a_section_that_says_what_to_do() -> None:
    sections = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))
    assert sections.keys() == public_errors()
    for name, text in sections.items():
        assert len(text.split()) > 15, name


def test_the_root_is_named() -> None:
    assert "`HFEndpointError`" in PAGE.read_text(encoding="utf-8")
