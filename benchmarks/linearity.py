"""Whether chunking takes time in proportion to the text, for texts that nobody would write.

Processor seconds per MB (a million characters) of one text of each kind. The kind "book" is prose,
for comparison.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import Child, Cost
from benchmarks.records import Topic, say

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "linearity"
STRATEGIES = ("sentence", "word")
SIZES = (1, 10, 50)
"""MB."""
_BOOK = Path(__file__).parents[1] / "examples/data/alice_in_wonderland.txt"
_EVERY_BLANK = "".join(f"w{chr(code)}" for code in range(0x3001) if chr(code).isspace())
KINDS = {
    "book": _BOOK.read_text("utf-8"),
    "words": "word ",
    "one word": "a",
    "full stops in a row": ".",
    "blanks": " ",
    "full stops": ". ",
    "exclamations": "!!!!! ",
    "exclamations in a row": "!!!!!",
    "initials": "J. ",
    "abbreviations": "e.g. ",
    "numbers": "1. ",
    "quotes": '." ',
    "brackets": "[.",
    "no-break spaces": "Hi.\xa0",
    "every blank": _EVERY_BLANK,
    "separators": "Hi.\x1c",
    "lone surrogates": "\ud800. ",
    "NUL": "\x00. ",
    "bidi marks": "\u202ea.\u202c ",
    "four bytes": "\U0001f600! ",
    "combining marks": "e\u0301\u0302\u0323. ",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd. ",
    "Chinese": "\u4e2d\u6587\u53e5\u5b50\u3002",
}
_TINY = "tiny texts"


def run(kind: str, strategy: str, size: int) -> Record:
    """In the child: cut a text of so many MB once."""
    from langchain_hf_endpoint.chunking import chunk

    characters = size * 1_000_000
    if kind == _TINY:
        texts = ["Tiny text."] * (characters // 10)
    else:
        unit = KINDS[kind]
        texts = [(unit * (characters // len(unit) + 1))[:characters]]
    settings = {"strategy": strategy}
    chunk("Warm up. " * 300, settings)
    gc.collect()
    with Cost() as cost:
        count = sum(len(chunk(text, settings)) for text in texts)
    return {f"{size} MB": cost.cpu_seconds / size, "chunks": count}


def measure(scale: Scale) -> Topic:
    """Once each: the sizes are far enough apart."""
    topic = Topic(NAME)
    with Child("benchmarks.linearity:run", "linearity") as child:
        for kind in [*KINDS, _TINY]:
            say(f"linearity: {kind}")
            for strategy in STRATEGIES:
                for size in SIZES[: scale.of(3, 2)]:
                    record = child.call(patience=900, kind=kind, strategy=strategy, size=size)
                    topic.row(kind, strategy).add(record)
    return topic


def growth(figures: dict[str, list[float]]) -> float:
    """Time per MB of the largest text against that of the smallest: 1 is flat."""
    per_mb = [figures[f"{size} MB"][0] for size in SIZES if f"{size} MB" in figures]
    return per_mb[-1] / per_mb[0] if per_mb else float("nan")
