"""Whether chunking takes time in proportion to the text, for texts that nobody would write.

    python benchmarks/linearity.py [--sizes 1 10 50] [--json FILE] [--only WORD]

Prints processor seconds per MB (a million characters) of every kind of text, for the strategies
sentence and word, and how the largest size compares to the smallest: 1.0 is flat. The kind "book"
is prose, for comparison. The largest texts need up to 3 GB.

The JSON file holds ``{"sizes_mb": [1, 10, 50], "rows": [{"kind": "initials", "strategy":
"sentence", "seconds_per_mb": [0.3, 0.3, 0.3], "ratio": 1.0, "chunks": 200803}, …]}``; `chunks` are
those of the largest text.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path

from langchain_hf_endpoint.chunking import chunk

BOOK = Path(__file__).parents[1] / "examples/data/alice_in_wonderland.txt"
EVERY_BLANK = "".join(f"w{chr(code)}" for code in range(0x3001) if chr(code).isspace())
UNITS = {
    "book": BOOK.read_text("utf-8"),
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
    "every blank": EVERY_BLANK,
    "separators": "Hi.\x1c",
    "lone surrogates": "\ud800. ",
    "NUL": "\x00. ",
    "bidi marks": "\u202ea.\u202c ",
    "four bytes": "\U0001f600! ",
    "combining marks": "e\u0301\u0302\u0323. ",
    "right to left": "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd. ",
    "Chinese": "\u4e2d\u6587\u53e5\u5b50\u3002",
}
TINY = "tiny texts"


def seconds(kind: str, size: float, strategy: str) -> tuple[float, int]:
    """Processor time for so many MB, and how many chunks there were."""
    characters = int(size * 1_000_000)
    if kind == TINY:
        texts = ["Tiny text."] * (characters // 10)
    else:
        unit = UNITS[kind]
        texts = [(unit * (characters // len(unit) + 1))[:characters]]
    settings = {"strategy": strategy}
    gc.collect()
    begun = time.process_time()
    count = sum(len(chunk(text, settings)) for text in texts)
    return time.process_time() - begun, count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 10, 50], metavar="MB")
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    chunk("Warm up. " * 300)
    rows = []
    print(f"{'kind':24}{'strategy':10}" + "".join(f"{size:>9g} MB" for size in arguments.sizes))
    for kind in (name for name in [*UNITS, TINY] if arguments.only in name):
        for strategy in ("sentence", "word"):
            measured = [seconds(kind, size, strategy) for size in arguments.sizes]
            pairs = zip(measured, arguments.sizes, strict=True)
            per_mb = [taken / size for (taken, _), size in pairs]
            ratio = per_mb[-1] / per_mb[0]
            shown = "".join(f"{one:10.4f} s" for one in per_mb)
            print(f"{kind:24}{strategy:10}{shown}   x {ratio:.2f}", flush=True)
            row = {"kind": kind, "strategy": strategy, "seconds_per_mb": per_mb, "ratio": ratio}
            rows.append({**row, "chunks": measured[-1][1]})
    if arguments.json:
        arguments.json.write_text(json.dumps({"sizes_mb": arguments.sizes, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
