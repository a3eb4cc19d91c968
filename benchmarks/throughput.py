"""Texts per second and CPU time per 1,000 texts, next to a bare ``httpx.AsyncClient``.

    make bench        or        python benchmarks/throughput.py [--texts 10000] [--runs 5]

Every client runs in a process of its own against one TEI double (20 ms a batch + 0.2 ms an input,
32 inputs a batch, 64 batches at once), in turn, several times over; medians are printed, with the
ratio to the best bare client. The texts have about 200 words, the vectors 384 dimensions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "server"))

BATCH = 32
WORDS = "the of and a to in he that was it his is with as I for had you not be her on at by"


def make_texts(count: int) -> list[str]:
    chance = random.Random(7)
    return [
        f"{n} " + " ".join(chance.choices(WORDS.split(), k=chance.randint(150, 245)))
        for n in range(count)
    ]


def ours_sync(url: str, texts: list[str]) -> int:
    return len(_embeddings(url).embed_documents(texts))


def ours_async(url: str, texts: list[str]) -> int:
    return len(asyncio.run(_embeddings(url).aembed_documents(texts)))


def ours_array(url: str, texts: list[str]) -> int:
    return len(_embeddings(url).embed_array(texts))


def ours_base64_array(url: str, texts: list[str]) -> int:
    return len(_embeddings(url + "/v1/embeddings").embed_array(texts))


def _embeddings(url: str):  # noqa: ANN202 - imported here, so that the bare clients do not pay for it
    from langchain_hf_endpoint import HFEndpointEmbeddings  # noqa: PLC0415

    # The limiter is there and far above what the server can do.
    return HFEndpointEmbeddings(url=url, rate_limit={"requests_per_minute": 1_000_000})


def bare_serial(url: str, texts: list[str]) -> int:
    return asyncio.run(_bare(url, texts, at_once=1))


def bare_8(url: str, texts: list[str]) -> int:
    return asyncio.run(_bare(url, texts, at_once=8))


def bare_64(url: str, texts: list[str]) -> int:
    return asyncio.run(_bare(url, texts, at_once=64))


async def _bare(url: str, texts: list[str], at_once: int) -> int:
    """What a user writes by hand: no retries, no limit, no checks."""
    import httpx  # noqa: PLC0415

    gate = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def embed(batch: list[str]) -> list[list[float]]:
            async with gate:
                body = {"inputs": batch, "truncate": True}
                return (await client.post(url + "/embed", json=body)).json()

        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return sum(map(len, await asyncio.gather(*map(embed, batches))))


CLIENTS: dict[str, Callable[[str, list[str]], int]] = {
    client.__name__: client
    for client in (
        bare_serial,
        bare_8,
        bare_64,
        ours_sync,
        ours_async,
        ours_array,
        ours_base64_array,
    )
}


def run_client(name: str, url: str, count: int) -> None:
    """In the child process: one warm-up, then one measured run."""
    client, texts = CLIENTS[name], make_texts(count)
    client(url, texts[: 4 * BATCH])
    cpu, wall = time.process_time(), time.perf_counter()
    assert client(url, texts) == count
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--texts", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=5)
    options.add_argument("--client", nargs=2, metavar=("NAME", "URL"), help="used by itself")
    chosen = options.parse_args()
    if chosen.client:
        run_client(*chosen.client, chosen.texts)
        return

    from tei_double import TeiDouble  # noqa: PLC0415

    server = {"seconds_per_batch": 0.02, "seconds_per_input": 0.0002, "batches_at_once": 64}
    # So many permits that the bare clients, which take no notice of a 429, get none.
    server["max_concurrent_requests"] = 64 * BATCH
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    with TeiDouble() as double:
        for _ in range(chosen.runs):
            for name in CLIENTS:
                double.reset(**server)
                command = [sys.executable, __file__, "--texts", str(chosen.texts)]
                command += ["--client", name, double.url]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                measured[name].append(tuple(json.loads(output)))
    report(measured, chosen.texts)


def report(measured: dict[str, list[tuple[float, float]]], count: int) -> None:
    rates = {
        name: statistics.median(count / wall for wall, _ in runs) for name, runs in measured.items()
    }
    costs = {
        name: statistics.median(1e6 * cpu / count for _, cpu in runs)
        for name, runs in measured.items()
    }
    best = max(rate for name, rate in rates.items() if name.startswith("bare"))
    cheapest = min(cost for name, cost in costs.items() if name.startswith("bare"))
    print(f"{count:,} texts, medians of {len(next(iter(measured.values())))} interleaved runs\n")
    heads = ("texts/s", "of best bare", "CPU ms/1,000", "of cheapest bare")
    print(f"{'client':20}" + "".join(f"{head:>18}" for head in heads))
    for name, rate in rates.items():
        cost = costs[name]
        cells = (f"{rate:,.0f}", f"{rate / best:.2f}x", f"{cost:.1f}", f"{cost / cheapest:.2f}x")
        print(f"{name:20}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
