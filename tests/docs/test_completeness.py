"""Pages that list something list all of it: the settings, the errors, the public names."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

import langchain_hf_endpoint
from langchain_hf_endpoint import HFEndpointError, InferenceEndpoint, errors, local
from langchain_hf_endpoint.settings import RateLimit, TlsSettings

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| ([^|]*)\|([^|]*)\|", re.MULTILINE)
SECTIONS = {"service_settings", "chunking_settings", "task_settings"}
NESTED = {"rate_limit": RateLimit, "tls": TlsSettings}
LEAF = re.compile(r"[├└]── (\w+) +(?:\((\w+)\))?")
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)
# What readers look for, and the heading under which they find it.
FOUND = {
    "timeout": ("limits-and-retries.md", "Timeouts"),
    "retry": ("limits-and-retries.md", "Retries"),
    "cold start": ("limits-and-retries.md", "Cold start"),
    "batch size": ("limits-and-retries.md", "Batch size"),
    "rate limit": ("limits-and-retries.md", "Rate limits"),
    "concurrency": ("limits-and-retries.md", "Concurrency: requests in flight"),
    "async": ("async-servers.md", "FastAPI and other async servers"),
    "prompts": ("endpoint.md", "Prompts"),
    "proxy": ("security.md", "Proxies"),
    "certificate": ("security.md", "TLS certificates"),
}


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def settings() -> set[str]:
    """Every field, as `section.field` or as `field` of the top."""
    top = set(InferenceEndpoint.model_fields) - SECTIONS
    fields = {f"{name}" for name in top}
    for section in SECTIONS:
        model = InferenceEndpoint.model_fields[section].annotation
        for name in model.model_fields:
            inner = NESTED.get(name)
            names = [f"{name}.{one}" for one in inner.model_fields] if inner else [name]
            fields |= {f"{section}.{one}" for one in names}
    return fields


def test_the_table_of_settings_has_every_field_and_no_other():
    table = read("endpoint.md").split("## Settings", 1)[1].split("\n## ", 1)[0]
    named, section = set(), ""
    for first, second in ROW.findall(table):
        section = first.strip() or section
        prefix = "" if section == "(top)" else section.strip("`") + "."
        named |= {prefix + name for name in re.findall(r"`([\w.]+)`", second)}
    assert named == settings()


def test_the_tree_of_errors_has_every_error_with_what_else_it_is():
    tree = dict(LEAF.findall(read("errors.md")))
    public = {
        name: found
        for module in (errors, local)
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, HFEndpointError)
    }
    del public["HFEndpointError"]
    assert tree.keys() == public.keys()
    for name, other in tree.items():
        builtin = [base.__name__ for base in public[name].__mro__ if base.__module__ == "builtins"]
        assert (builtin[0] if builtin[0] != "Exception" else "") == other, name


def test_the_reference_names_what_there_is_and_every_public_name():
    named = DIRECTIVE.findall(read("reference.md"))
    for name in named:
        assert resolve_name(name) is not None  # or it raises
    last = {name.rpartition(".")[2] for name in named}
    listed = {name for name in langchain_hf_endpoint.__all__ if not name.startswith("__")}
    assert {name for name in listed if not name.endswith("Error")} <= last
    assert "langchain_hf_endpoint.errors" in named


@pytest.mark.parametrize("words", FOUND)
def test_a_heading_has_the_words_that_readers_look_for(words):
    page, heading = FOUND[words]
    assert re.search(f"^#+ {re.escape(heading)}$", read(page), re.MULTILINE)
