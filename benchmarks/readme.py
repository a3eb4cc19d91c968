"""The table of README's "How fast", from what was measured, and figures that no report has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.throughput import PLAIN

if TYPE_CHECKING:
    from benchmarks.records import Topic

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
HEADING = "How fast"
_NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?")
_ROWS = {
    "aiohttp and orjson by hand, 64 batches at once, arrays": "aiohttp, 64 at once, arrays",
    "httpx by hand, 16 batches at once, arrays": "httpx, 16 at once, arrays",
    "`baseten-performance-client` (Rust), batches of 32, 64 at once, arrays": (
        "baseten-performance-client, batches of 32, 64 at once, arrays"
    ),
    "`baseten-performance-client`, batches of 32, 64 at once, lists": (
        "baseten-performance-client, batches of 32, 64 at once"
    ),
    "`baseten-performance-client`, default settings, lists": "baseten-performance-client",
    "`pydantic-ai` by hand, 64 batches at once": (
        "pydantic-ai Embedder, gather by hand, 64 at once"
    ),
    "`openai` by hand, 64 batches at once": "openai, gather by hand, 64 at once",
    "`huggingface_hub` by hand, 64 batches at once": "huggingface_hub, gather by hand, 64 at once",
    "Haystack's embedder, async, 64 batches at once": "haystack async, 64 at once",
    "Haystack's embedder, async, default settings": "haystack async",
    "LlamaIndex's TEI embedder, async, batches of 32, 16 workers": (
        "llama-index TEI async, batches of 32, 16 workers"
    ),
    "`langchain-openai`, async, batches of 32": "langchain-openai async, batches of 32, no tokens",
    "LiteLLM by hand, 64 batches at once": "LiteLLM, gather by hand, 64 at once",
    "**`embed_documents`**": "ours, sync",
    "**`aembed_documents`**": "ours, async",
    "**`embed_array`**": "ours, sync, arrays",
    "**`aembed_array`**": "ours, async, arrays",
    '**`embed_array`, `transport="aiohttp"`**': "ours, sync, fast, arrays",
    '**`aembed_array`, `transport="aiohttp"`**': "ours, async, fast, arrays",
}


def write(throughput: Topic) -> None:
    """Put the medians of the last run into the table."""
    lines = README.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        label = line.removeprefix("| ").partition(" | ")[0]
        if label in _ROWS:
            row = throughput.row(_ROWS[label], PLAIN.name)
            rate, cost = row.median("texts_per_s"), row.median("cpu_ms_per_1000")
            lines[number] = f"| {label} | {rate:,.0f} | {cost:,.1f} |"
    README.write_text("\n".join(lines), encoding="utf-8")


def unmeasured(page: Path, heading: str, report: Path) -> list[str]:
    """The figures of a section that its report does not have."""
    section = page.read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    measured = set(_NUMBER.findall(report.read_text(encoding="utf-8")))
    return [number for number in _NUMBER.findall(section) if number not in measured]
