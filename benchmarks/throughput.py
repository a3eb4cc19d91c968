"""Texts a second and processor time per 1,000 texts, side by side, at three widths and over TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.children import Cost, children
from benchmarks.clients import CLIENTS, LIMITED, client
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour
from benchmarks.texts import make_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.children import Child, Record
    from benchmarks.clients import Client
    from benchmarks.records import Scale
    from benchmarks.serving import Served

NAME = "throughput"
WORDS = 192
AS_AN_ENDPOINT = {"seconds_per_batch": 0.02, "seconds_per_input": 0.0002, "slots": 64}
"""As one with a good GPU, too wide for nearly all that are measured here to fill."""
_MOST_RUNS = 3
_WARM_UP = 128  # texts
_ENOUGH_SECONDS = 60.0
_TO_START = 300.0  # all of them begin to import at once


@dataclass(frozen=True)
class Setting:
    """What is asked of all clients.

    Attributes:
        name: As the tables call it.
        width: Of the vectors.
        texts: So many that the start counts little; fewer of the wide ones, since a vector of 4,096
            floats takes ten times as long as one of 384.
        is_encrypted: Over TLS, with those clients that are measured so.
        has_all: With the slow clients and the peers' defaults as well.
    """

    name: str
    width: int
    texts: int
    is_encrypted: bool = False
    has_all: bool = False

    def has(self, one: Client) -> bool:
        """Whether a client is measured here."""
        if self.is_encrypted:
            return one.is_encrypted
        left_out = one.is_slow or one.kind == "peer, defaults" or one is LIMITED
        return self.has_all or not left_out


PLAIN = Setting("384 dimensions", 384, 32_000, has_all=True)
ENCRYPTED = Setting("384 dimensions over TLS", 384, 32_000, is_encrypted=True)
WIDEST = Setting("4096 dimensions", 4096, 3_200)
SETTINGS = (PLAIN, ENCRYPTED, Setting("1024 dimensions", 1024, 3_200), WIDEST)


def run(client_name: str, url: str, count: int, width: int) -> Record:
    """In the child: embed so many texts once."""
    embed, texts = client(client_name).load(), make_texts(count, WORDS)
    with Cost() as cost:
        vectors = embed(url, texts)
    assert len(vectors) == count, f"{len(vectors)} vectors for {count} texts"
    assert len(vectors[0]) == width, f"vectors of {len(vectors[0])} dimensions"
    rates = {"texts_per_s": count / cost.seconds, "cpu_ms_per_1000": 1e6 * cost.cpu_seconds / count}
    return rates | cost.record()


def measure(scale: Scale) -> Topic:
    """All clients in turn, round by round."""
    topic = Topic(NAME, {"texts": {}, "runs": min(scale.runs, _MOST_RUNS)})
    function = "benchmarks.throughput:run"
    plain = {one.name: function for one in CLIENTS}
    encrypted = {one.name: function for one in CLIENTS if one.is_encrypted}
    with (
        Server() as server,
        children(plain) as crew,
        children(encrypted, {"SSL_CERT_FILE": server.authority}) as trusting,
    ):
        for setting in SETTINGS:
            topic.conditions["texts"][setting.name] = scale.of(setting.texts, setting.texts // 5)
            _measure_in(setting, topic, trusting if setting.is_encrypted else crew, server)
    return topic


def _measure_in(setting: Setting, topic: Topic, crew: Mapping[str, Child], server: Server) -> None:
    held = [one for one in CLIENTS if setting.has(one)]
    for number in range(topic.conditions["runs"] + 1):
        say(f"throughput, {setting.name}, {f'round {number}' if number else 'warm-up'}")
        count = topic.conditions["texts"][setting.name] if number else 0
        for one in held:
            row = topic.row(one.name, setting.name)
            if row.error:
                continue
            record = _turn(one, crew[one.name], server, setting, count)
            if number or "error" in record:
                row.add(record)


def _turn(one: Client, child: Child, server: Server, setting: Setting, count: int) -> Record:
    if one is LIMITED and count:
        count = one.most
    count = min(count, one.most) or _WARM_UP
    server.behave(Behaviour(dimensions=setting.width, **AS_AN_ENDPOINT))
    before = server.report()["cpu"]
    url = server.encrypted_url if setting.is_encrypted else server.url
    record = child.call(
        patience=_TO_START if count == _WARM_UP else _ENOUGH_SECONDS,
        client_name=one.name,
        url=url,
        count=count,
        width=setting.width,
    )
    if "error" not in record:
        after = server.report()
        record["connections"] = after["connections"] - 2  # those that configured and asked
        record["server_cpu_share"] = (after["cpu"] - before) / record["seconds"]
        if one is LIMITED and count > _WARM_UP:
            record["texts_per_s"] = _rate_when_steady(server.log())
    return record


def _rate_when_steady(log: Sequence[Served]) -> float:
    """Of the second half: a limit lets a second's worth through at once, before its pace."""
    half = log[len(log) // 2 :]
    texts = sum(batch.inputs for batch in half[1:])
    return texts / (half[-1].arrived - half[0].arrived)
