"""How fast text is cut, and whether the time grows with the text and no faster: 1 kB to 50 MB.

A MB is a million characters; the text is a novel, over and over. Rates are of processor time. A
size is left out for a contender that would need too long for it.
"""

from __future__ import annotations

import gc
from functools import lru_cache
from typing import TYPE_CHECKING

from benchmarks.children import Child, Cost
from benchmarks.records import Topic, say
from benchmarks.splitters import SPLITTERS, nltk_data, splitter
from benchmarks.texts import book

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale
    from benchmarks.splitters import Split

NAME = "chunking"
USUAL = 300_000
"""Characters of the text that all contenders cut in every round."""
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000)
_AT_LEAST = 100_000  # characters in a measurement: small texts are cut many times
_ONE_NAME = "ours, sentence boundaries"


@lru_cache(maxsize=1)
def _loaded(name: str) -> Split:
    return splitter(name).make()


def run(name: str, size: int) -> Record:
    """In the child: cut a text of so many characters, often enough to be measured."""
    split, text = _loaded(name), book(size)
    split(text[:2_000])
    times = max(1, _AT_LEAST // size)
    pieces = 0
    with Cost() as cost:
        for _ in range(times):
            pieces = len(split(text))
    cost.cpu_seconds = max(cost.cpu_seconds, 1e-6)
    return {"mb_per_s": size * times / 1e6 / cost.cpu_seconds, "pieces": pieces} | cost.record()


def compare(size: int) -> Record:
    """In a child: whether our boundaries are NLTK's, on the text that is measured."""
    from nltk.tokenize.punkt import PunktTokenizer

    text, ours = book(size), _loaded(_ONE_NAME)
    gc.collect()
    theirs = [start for start, _ in PunktTokenizer("english").span_tokenize(text)]
    return {"sentences": len(theirs), "identical": float(list(ours(text)) == theirs[1:])}


def measure(scale: Scale) -> Topic:
    """The usual text in rounds, then each contender on growing ones."""
    topic = Topic(NAME, {"usual characters": USUAL})
    environment = {"NLTK_DATA": str(nltk_data())}
    crew = {one.name: Child("benchmarks.chunking:run", one.name, environment) for one in SPLITTERS}
    try:
        for number in range(scale.runs + 1):
            say(f"chunking, {f'round {number}' if number else 'warm-up'}")
            for one in SPLITTERS:
                record = crew[one.name].call(name=one.name, size=USUAL)
                row = topic.row(one.name, "usual")
                row.note = one.does
                if number or "error" in record:
                    row.add(record)
        for one in SPLITTERS:
            say(f"chunking, growing texts: {one.name}")
            _grow(topic, one.name, crew[one.name], scale.of(5, 1))
    finally:
        for child in crew.values():
            child.close()
    with Child("benchmarks.chunking:compare", "compare", environment) as child:
        topic.row(_ONE_NAME, "identity").add(child.call(size=scale.of(5_000_000, 500_000)))
    return topic


def _grow(topic: Topic, name: str, child: Child, patience: float) -> None:
    """Ever longer texts, as long as the next will not take more seconds than there is patience."""
    ahead = 0.0
    for size in SIZES:
        if ahead > patience:
            return
        record = child.call(name=name, size=size, patience=60)
        topic.row(name, str(size)).add(record)
        if "error" in record:
            return
        following = next((later for later in SIZES if later > size), size)
        ahead = record["cpu_seconds"] * following / max(size, _AT_LEAST)
