"""Texts a second and processor time per 1,000 texts, side by side, at three widths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.children import Cost, children
from benchmarks.clients import CLIENTS, client
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour
from benchmarks.texts import make_texts

if TYPE_CHECKING:
    from benchmarks.children import Child, Record
    from benchmarks.clients import Client
    from benchmarks.records import Scale

NAME = "throughput"
WIDTHS = (384, 1024, 4096)
_ENOUGH_SECONDS = 60.0


def texts_at(width: int, scale: Scale) -> int:
    """Fewer of the wide ones: a vector of 4,096 floats takes ten times as long as one of 384."""
    full = {384: 3200, 1024: 1600, 4096: 640}[width]
    return scale.of(full, full // 4)


def run(client_name: str, url: str, count: int, width: int) -> Record:
    """In the child: embed so many texts once."""
    embed, texts = client(client_name).load(), make_texts(count)
    with Cost() as cost:
        vectors = embed(url, texts)
    assert len(vectors) == count, f"{len(vectors)} vectors for {count} texts"
    assert len(vectors[0]) == width, f"vectors of {len(vectors[0])} dimensions"
    rates = {"texts_per_s": count / cost.seconds, "cpu_ms_per_1000": 1e6 * cost.cpu_seconds / count}
    return rates | cost.record()


def measure(scale: Scale) -> Topic:
    """All clients in turn, round by round."""
    topic = Topic(NAME, {"texts": {width: texts_at(width, scale) for width in WIDTHS}})
    held = {one.name: "benchmarks.throughput:run" for one in CLIENTS}
    with Server() as server, children(held) as crew:
        for width in WIDTHS:
            # As an endpoint with a good GPU, too wide for anyone here to fill.
            behaviour = Behaviour(
                dimensions=width, seconds_per_batch=0.02, seconds_per_input=0.0002, slots=64
            )
            topic.conditions["server"] = "20 ms a batch + 0.2 ms an input, 64 batches at once"
            count = texts_at(width, scale)
            for number in range(scale.runs + 1):
                say(f"throughput, {width} dimensions, {f'round {number}' if number else 'warm-up'}")
                for one in CLIENTS:
                    if not _is_measured(one, width, topic):
                        continue
                    server.behave(behaviour)
                    record = _turn(one, crew[one.name], server, (width, count if number else 128))
                    if number or "error" in record:
                        topic.row(one.name, str(width)).add(record)
    return topic


def _is_measured(one: Client, width: int, topic: Topic) -> bool:
    """Whether it has its turn: not after a failure; peers as they come at the first width only."""
    as_it_comes = one.kind == "peer, defaults" and width != WIDTHS[0]
    return not as_it_comes and not any(
        row.error for row in topic.rows if row.subject == one.name and row.setting == str(width)
    )


def _turn(one: Client, child: Child, server: Server, job: tuple[int, int]) -> Record:
    width, count = job
    count = max(64, int(count * one.part))
    before = server.report()["cpu"]
    record = child.call(
        patience=_ENOUGH_SECONDS, client_name=one.name, url=server.url, count=count, width=width
    )
    if "error" not in record:
        after = server.report()
        record["connections"] = after["connections"] - 2  # those that configured and asked
        record["server_cpu_share"] = (after["cpu"] - before) / record["seconds"]
    return record
