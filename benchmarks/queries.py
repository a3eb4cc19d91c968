"""How long a query takes, alone and during an ingestion.

First the ingestion uses up the limit of requests per minute. The server takes 20 ms per batch and
0.2 ms per input, and can do far more than the limit allows, so a query waits for a permit only.
Then no limit is in the way, and a query waits at a server that works off what comes in its order:
in times that one of its batches takes, without the query's own. Queries come at random moments.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate, count
from statistics import median, quantiles
from typing import TYPE_CHECKING

from benchmarks.children import Child
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from benchmarks.children import Record
    from benchmarks.records import Scale
    from langchain_hf_endpoint import HFEndpointEmbeddings

NAME = "queries"
LIMITS = (3000, 600)
"""Requests per minute; the first is the default."""
MODES = ("sync", "async")
SERVERS = ((1, 0.3, 20), (1, 1.0, 6), (4, 0.3, 24), (8, 0.1, 24))
"""Slots of a server, seconds that each of its batches takes, queries that it is asked."""
_SETTLED = 20, 6.0
"""Batch times, and seconds, after which the number of requests in flight has found its width."""
_SETTLING = 0.7
"""Seconds in which an ingestion uses up what it may send at once, before queries count."""
_GOLDEN = 0.618034
_ROUNDS = 3  # at most: each takes long
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


def run_at_a_server(url: str, seconds: float, queries: int) -> Record:
    """In the child: so many queries during an ingestion; the time of each, and when they began."""
    from langchain_hf_endpoint import HFEndpointEmbeddings

    no_limit = {"requests_per_minute": 10_000_000}
    embeddings = HFEndpointEmbeddings(url=url, api_key=f"call-{next(_calls)}", rate_limit=no_limit)
    with _ingestion(embeddings, max(_SETTLED[0] * seconds, _SETTLED[1])):
        begin = time.monotonic()
        # At moments that are spread evenly over the time of a batch, so that few are enough.
        taken = _ask(embeddings, [seconds * (0.2 + n * _GOLDEN % 1) for n in range(queries)])
        end = time.monotonic()
    return {"taken": taken, "begin": begin, "end": end}


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


def _ask(embeddings: HFEndpointEmbeddings, pauses: Iterable[float]) -> list[float]:
    taken = []
    for pause in pauses:
        time.sleep(pause)
        begin = time.perf_counter()
        embeddings.embed_query("Where is the cat?")
        taken.append(time.perf_counter() - begin)
    return taken


@contextmanager
def _ingestion(embeddings: HFEndpointEmbeddings, settling: float) -> Iterator[None]:
    """Ingest documents in another thread, from so many seconds before."""
    is_over = threading.Event()

    def ingest() -> None:
        for _ in embeddings.stream_chunks(_documents(is_over)):
            pass

    ingestion = threading.Thread(target=ingest)
    ingestion.start()
    time.sleep(settling)
    try:
        yield
    finally:
        is_over.set()
        ingestion.join()


def _threads(embeddings: HFEndpointEmbeddings, queries: int) -> tuple[list[float], list[float]]:
    embeddings.embed_query("warm-up")
    idle = _ask(embeddings, _pauses(queries))
    with _ingestion(embeddings, _SETTLING):
        return idle, _ask(embeddings, _pauses(queries))


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
    """Threads and tasks, with the default limit and a lower one, in turn; then busy servers."""
    topic = Topic(NAME, {"server": "20 ms a batch + 0.2 ms an input, 64 batches at once"})
    with Server() as server, Child("benchmarks.queries:run", NAME) as child:
        for number in range(min(scale.runs, _ROUNDS)):
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
    say("queries at busy servers")
    with ThreadPoolExecutor(len(SERVERS)) as pool:  # all at once: nearly all of it is waiting
        for (slots, seconds, _), record in zip(
            SERVERS, pool.map(lambda one: _at_a_server(*one), SERVERS), strict=True
        ):
            topic.row("a query", f"{slots} at once, {seconds} s a batch").add(record)
    return topic


def _at_a_server(slots: int, seconds: float, queries: int) -> Record:
    """Waits in times of a batch, and how many batches of documents were at the server."""
    with Server() as server, Child("benchmarks.queries:run_at_a_server", NAME) as child:
        server.behave(Behaviour(dimensions=384, seconds_per_batch=seconds, slots=slots))
        record = child.call(url=server.url, seconds=seconds, queries=queries)
        if "error" in record:
            return record
        waited = [taken / seconds - 1 for taken in record["taken"]]
        log = [one for one in server.log() if one.inputs > 1]  # without the queries themselves
    steps = sorted([(one.arrived, 1) for one in log] + [(one.ended, -1) for one in log])
    house = [
        count
        for (moment, _), count in zip(steps, accumulate(step for _, step in steps), strict=True)
        if record["begin"] <= moment <= record["end"]
    ]
    return {
        "slots": slots,
        "batches_p50": median(waited),
        "batches_max": max(waited),
        "house_p50": median(house),
        "house_max": max(house),
    }


def _used(server: Server, limit: int) -> float:
    """Permits used during the ingestion, of those that the limit allows in its time."""
    arrivals = [batch.arrived for batch in server.log()]
    last = arrivals[-1]
    first = last - min(1.0, last - arrivals[0])
    count_of = sum(first < moment <= last for moment in arrivals)
    return count_of / ((last - first) * limit / 60)
