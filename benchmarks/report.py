"""RESULTS.md: the machine, the goals, a table for each topic. It knows no figure by itself."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.goals import all_goals
from benchmarks.plots import PICTURES
from benchmarks.tables import TABLES, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.records import Topic

RESULTS = Path(__file__).parent / "RESULTS.md"
_PACKAGES = (
    "langchain-hf-endpoint",
    "langchain-core",
    "httpx",
    "aiohttp",
    "pyqwest",
    "orjson",
    "numpy",
    "nltk",
    "baseten-performance-client",
    "langchain-openai",
    "litellm",
    "openai",
    "pydantic-ai-slim",
    "llama-index-embeddings-text-embeddings-inference",
    "haystack-ai",
    "huggingface-api-haystack",
    "huggingface-hub",
    "langchain-text-splitters",
    "semchunk",
    "chonkie",
    "semantic-text-splitter",
    "aiolimiter",
    "pyrate-limiter",
    "limits",
)
_VERDICTS = {True: "met", False: "**not met**", None: "not measured"}
_HEAD = """# How fast it is

Written by `make bench`; not edited by hand. Figures are medians of {runs} interleaved runs, with
the least and the greatest in brackets; every contender runs in a process of its own, the server in
another. Absolute figures hold for one machine; compare those of one run with each other.
"""


def write(topics: Mapping[str, Topic], runs: int) -> Path:
    """Write the report on all topics that were measured."""
    parts = [_HEAD.format(runs=runs), _machine(topics), "\n## Goals\n", _goals(topics)]
    for name, (title, make) in TABLES.items():
        if name in topics:
            files = PICTURES.get(name, ())
            pictures = "".join(
                f"\n![{title}](../docs/figures/benchmarks/{file})\n" for file in files
            )
            parts += [f"\n## {title}\n", make(topics[name]), pictures]
    RESULTS.write_text("\n".join(parts), encoding="utf-8")
    return RESULTS


def _goals(topics: Mapping[str, Topic]) -> str:
    rows = [[goal.what, goal.bound, goal.value, _VERDICTS[goal.met]] for goal in all_goals(topics)]
    return table(("what", "goal", "measured", ""), rows)


def _machine(topics: Mapping[str, Topic]) -> str:
    """Where and with what; nothing that tells whose machine it is."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    seconds = sum(topic.seconds for topic in topics.values())
    facts = (
        f"{day}; {_processor()}, {os.cpu_count()} cores, {_memory_gib()}; "
        f"{platform.system()} {platform.release().split('-')[0]}; "
        f"{platform.python_implementation()} {platform.python_version()}. "
        f"Measured in {seconds / 60:.0f} minutes.\n"
    )
    return facts + "\n" + ", ".join(_versions()) + ".\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB"


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} (not installed)")
    return found
