"""How soon the gateway's `/health` answers while many callers ask, or one asks for something large.

All callers of a load send their request at the same time, each over a connection of its own; the
texts are the same for all or each caller's own. `/health` is asked every 10 ms by another process.
The server answers at once.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.children import Child
from benchmarks.gateways import OURS, gateway
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "callers"
LOADS = {
    "1,000 callers, 1 text each, their own": (1000, 1, False),
    "2,000 callers, the same 31 texts": (2000, 31, True),
    "600 callers, the same 1,023 texts": (600, 1023, True),
    "100 callers, 31 texts each, their own": (100, 31, False),
    "8 PUTs with 14 MB of unknown fields": (8, 0, True),
}


def run(address: str, callers: int, texts: int, *, same: bool) -> Record:
    """In the child: all callers at once. How many were answered with 200, and the seconds."""

    def request(caller: int) -> bytes:
        if texts:
            own = "" if same else f"{caller} "
            content: object = {"input": [f"text {own}{number}" for number in range(texts)]}
            line = "POST /_inference/measured"
        else:
            unknown = {f"field_{number}": number for number in range(650_000)}
            content = {"service": "hugging_face", "service_settings": unknown}
            line = "PUT /_inference/text_embedding/another"
        body = json.dumps(content).encode()
        head = (
            f"{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    shared = request(0)

    async def ask(caller: int) -> tuple[bytes, int]:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(shared if same else request(caller))
        status = await reader.readline()
        size = 0
        while part := await reader.read(1_000_000):
            size += len(part)
        writer.close()
        return status, size

    async def all_of_them() -> list[tuple[bytes, int]]:
        return await asyncio.gather(*map(ask, range(callers)))

    begin = time.perf_counter()
    answers = asyncio.run(all_of_them())
    return {
        "seconds": time.perf_counter() - begin,
        "answered": sum(b" 200 " in status for status, _ in answers),
        "largest_kb": max(size for _, size in answers) / 1000,
    }


def watch(address: str, seconds: float) -> Record:
    """In another child: `/health` again and again for so long; milliseconds."""
    taken: list[float] = []
    until = time.perf_counter() + seconds
    connection = http.client.HTTPConnection(address, timeout=120)
    while (begin := time.perf_counter()) < until:
        connection.request("GET", "/health")
        connection.getresponse().read()
        taken.append(time.perf_counter() - begin)
        time.sleep(0.01)
    cuts = quantiles(taken, n=100, method="inclusive")
    return {"p50_ms": 1e3 * cuts[49], "p99_ms": 1e3 * cuts[98], "max_ms": 1e3 * max(taken)}


def measure(scale: Scale) -> Topic:
    """Each load once a round, over a gateway of its own."""
    topic = Topic(NAME)
    with Server() as server, Child("benchmarks.callers:run", NAME) as load:
        server.behave(Behaviour(dimensions=384))
        for number in range(scale.of(3, 1)):
            for what, (callers, texts, same) in LOADS.items():
                say(f"callers, round {number + 1}: {what}")
                with (
                    gateway(OURS, server.url) as (address, _),
                    Child("benchmarks.callers:watch", "health") as health,
                ):
                    record = _both(load, health, address, scale.of(callers, 10), texts, same=same)
                    topic.row(what, "").add(record)
    return topic


def _both(  # noqa: PLR0913 - those of `run`
    load: Child, health: Child, address: str, callers: int, texts: int, *, same: bool
) -> Record:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(health.call, patience=300, address=address, seconds=15.0)
        time.sleep(0.5)
        record = load.call(patience=300, address=address, callers=callers, texts=texts, same=same)
        return record | watching.result()
