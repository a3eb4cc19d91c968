"""How much slower a first call is, which knows nothing of its server, than the next one.

6,400 texts at 384 dimensions, to the server of the throughput. The first call opens its connections
and learns how many requests the server can work on; the next one of the process has both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.children import Child
from benchmarks.clients import ours
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour
from benchmarks.texts import make_texts
from benchmarks.throughput import AS_AN_ENDPOINT, WORDS

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "starting"
TEXTS = 6_400


def run(url: str, count: int) -> Record:
    """In the child: both calls."""
    first, second = ours.first_and_second(url, make_texts(count, WORDS))
    return {"first_per_s": count / first, "next_per_s": count / second, "share": second / first}


def measure(scale: Scale) -> Topic:
    """Several times, each with a server that nobody knows."""
    topic = Topic(NAME)
    with Server() as server, Child("benchmarks.starting:run", NAME) as child:
        for number in range(scale.runs + 1):
            say(f"starting, {f'round {number}' if number else 'warm-up'}")
            server.behave(Behaviour(dimensions=384, **AS_AN_ENDPOINT))
            record = child.call(url=server.url, count=TEXTS if number else 128)
            if number or "error" in record:
                topic.row("ours, async, arrays").add(record)
    return topic
