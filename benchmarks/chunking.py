"""How fast texts are cut: against NLTK's own sentences, and as texts grow.

Run it with ``python benchmarks/chunking.py``; add ``--large`` for 16 MB of every hostile text. All
figures are processor time; a MB is a million characters.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.chunking.punkt import sentence_starts
from langchain_hf_endpoint.chunking.punkt_tables import load_tables

if TYPE_CHECKING:
    from collections.abc import Callable

BOOK = Path(__file__).parents[1] / "examples/data/alice_in_wonderland.txt"
SENTENCE = {"strategy": "sentence"}
WORD = {"strategy": "word"}
HOSTILE = {
    "words": "word ",
    "blanks": " ",
    "one word": "a",
    "full stops": ". ",
    "initials": "J. ",
    "marks": "!!!!! ",
    "no-break": "Hi.\xa0",
}


def seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """The least processor time of a few runs."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def nltk_itself() -> PunktSentenceTokenizer:
    """What ``sent_tokenize`` uses, with the same tables."""
    tables = load_tables("english", [])
    parameters = PunktParameters()
    parameters.abbrev_types = set(tables.abbreviations)
    parameters.collocations = set(tables.collocations)
    parameters.sent_starters = set(tables.sentence_starters)
    parameters.ortho_context.update(tables.contexts)
    return PunktSentenceTokenizer(parameters)


def throughput() -> None:
    """A book, many times over."""
    book = BOOK.read_text("utf-8")
    tokenizer = nltk_itself()
    long = book * 30
    short = [line for line in book.split("\n\n") if line.strip()] * 30
    total, books = sum(map(len, short)), len(long) / 1e6
    reference = len(book) / 1e6 / seconds(lambda: tokenizer.tokenize(book))
    rows = {
        "NLTK's sent_tokenize": reference,
        "sentences alone": books / seconds(lambda: sentence_starts(long, "english")),
        "chunk, sentence": books / seconds(lambda: chunk(long, SENTENCE)),
        "chunk, word": books / seconds(lambda: chunk(long, WORD)),
        "chunk, word, no overlap": books / seconds(lambda: chunk(long, {**WORD, "overlap": 0})),
        "chunk, paragraphs": total / 1e6 / seconds(lambda: [chunk(text) for text in short]),
        "str.split()": books / seconds(long.split),
    }
    print(f"{'a book':24}{'MB/s':>8}{'of NLTK':>10}")
    for name, rate in rows.items():
        print(f"{name:24}{rate:8.1f}{rate / reference:9.1f}x")


def growth(sizes: tuple[int, ...]) -> None:
    """The time of each size, and of each MB of the largest as a multiple of one of the smallest."""
    for settings in (SENTENCE, WORD):
        heads = "".join(f"{size:>7} MB" for size in sizes)
        print(f"\n{settings['strategy']:14}{heads}   per MB, last / first")
        for name, unit in HOSTILE.items():
            texts = (unit * (size * 1_000_000 // len(unit)) for size in sizes)
            times = [seconds(partial(chunk, text, settings), 1) for text in texts]
            ratio = times[-1] / sizes[-1] / (times[0] / sizes[0])
            print(f"{name:14}{''.join(f'{taken:9.3f}s' for taken in times)}   {ratio:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="up to 16 MB, not 4")
    arguments = parser.parse_args()
    throughput()
    growth((1, 4, 16) if arguments.large else (1, 4))


if __name__ == "__main__":
    main()
