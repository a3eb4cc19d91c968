"""How long a query takes, alone and while an ingestion uses up the limit of requests per minute.

The server takes 20 ms per batch and 0.2 ms per input, and can do far more than the limit allows, so
a query waits for a permit only. Queries come at random moments.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from itertools import count
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.children import Child
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from benchmarks.children import Record
    from benchmarks.records import Scale
    from langchain_hf_endpoint import HFEndpointEmbeddings

NAME = "queries"
LIMITS = (3000, 600)
"""Requests per minute; the first is the default."""
MODES = ("sync", "async")
_SETTLING = 0.7
"""Seconds in which an ingestion uses up what it may send at once, before queries count."""
_calls = count()


def run(url: str, mode: str, limit: int, queries: int) -> Record:
    """In the child: so many queries alone, then as many during an ingestion; milliseconds."""
    from langchain_hf_endpoint import HFEndpointEmbeddings

    embeddings = HFEndpointEmbeddings(
        url=url, api_key=f"call-{next(_calls)}", rate_limit={"requests_per_minute": limit}
    )
    measured = _threads(embeddings, queries) if mode == "sync" else _tasks(embeddings, queries)
    idle, busy = measured
    return {
        "interval_ms": 60_000 / limit,
        "idle_p50_ms": _cut(idle, 50),
        "idle_p99_ms": _cut(idle, 99),
        "busy_p50_ms": _cut(busy, 50),
        "busy_p99_ms": _cut(busy, 99),
    }


def _cut(seconds: list[float], percent: int) -> float:
    return 1e3 * quantiles(seconds, n=100, method="inclusive")[percent - 1]


def _documents(is_over: threading.Event) -> Iterator[str]:
    for number in count():
        if is_over.is_set():
            return
        yield f"document {number}"


def _pauses(queries: int) -> Iterator[float]:
    """Moments between queries: some tenths of what the limit allows."""
    chance = random.Random(3)
    return (chance.uniform(0.02, 0.18) for _ in range(queries))


def _threads(embeddings: HFEndpointEmbeddings, queries: int) -> tuple[list[float], list[float]]:
    def ask() -> list[float]:
        taken = []
        for pause in _pauses(queries):
            time.sleep(pause)
            begin = time.perf_counter()
            embeddings.embed_query("Where is the cat?")
            taken.append(time.perf_counter() - begin)
        return taken

    embeddings.embed_query("warm-up")
    idle, is_over = ask(), threading.Event()

    def ingest() -> None:
        for _ in embeddings.stream_chunks(_documents(is_over)):
            pass

    ingestion = threading.Thread(target=ingest)
    ingestion.start()
    time.sleep(_SETTLING)
    try:
        return idle, ask()
    finally:
        is_over.set()
        ingestion.join()


def _tasks(embeddings: HFEndpointEmbeddings, queries: int) -> tuple[list[float], list[float]]:
    async def ask() -> list[float]:
        taken = []
        for pause in _pauses(queries):
            await asyncio.sleep(pause)
            begin = time.perf_counter()
            await embeddings.aembed_query("Where is the cat?")
            taken.append(time.perf_counter() - begin)
        return taken

    async def documents(is_over: threading.Event) -> AsyncIterator[str]:
        for text in _documents(is_over):
            yield text

    async def both() -> tuple[list[float], list[float]]:
        await embeddings.aembed_query("warm-up")
        idle, is_over = await ask(), threading.Event()

        async def ingest() -> None:
            async for _ in embeddings.astream_chunks(documents(is_over)):
                pass

        ingestion = asyncio.create_task(ingest())
        await asyncio.sleep(_SETTLING)
        busy = await ask()
        is_over.set()
        await ingestion
        return idle, busy

    return asyncio.run(both())


def measure(scale: Scale) -> Topic:
    """Threads and tasks, with the default limit and a lower one, in turn."""
    topic = Topic(NAME, {"server": "20 ms a batch + 0.2 ms an input, 64 batches at once"})
    with Server() as server, Child("benchmarks.queries:run", NAME) as child:
        for number in range(scale.runs):
            say(f"queries, round {number + 1}")
            for limit in LIMITS:
                for mode in MODES:
                    server.behave(
                        Behaviour(dimensions=384, seconds_per_batch=0.02, seconds_per_input=0.0002)
                    )
                    queries = scale.of(10 if limit == LIMITS[1] else 16, 10)
                    record = child.call(url=server.url, mode=mode, limit=limit, queries=queries)
                    if "error" not in record:
                        record["permits_used"] = _used(server, limit)
                    topic.row(mode, str(limit)).add(record)
    return topic


def _used(server: Server, limit: int) -> float:
    """Permits used during the ingestion, of those that the limit allows in its time."""
    arrivals = [batch.arrived for batch in server.log()]
    last = arrivals[-1]
    first = last - min(1.0, last - arrivals[0])
    count_of = sum(first < moment <= last for moment in arrivals)
    return count_of / ((last - first) * limit / 60)
