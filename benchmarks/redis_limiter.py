"""One limit for several processes, in a Redis: permits used, the fullest window, fairness, cost.

    python benchmarks/redis_limiter.py [--redis redis://…] [--seconds 6] [--json]

Without ``--redis`` a redis-server on the path is started. A "minute" is one second long here, so
that many windows pass. Peers that are not installed are skipped with a note: ``pip install
steindamm pyrate-limiter``. Both are given the burst B = N/10 and the rate N - B with which they
may keep to N in a window. The figures:

used      permits granted of those that the limit allows, after the first window
window    most permits in any window, as a multiple of the limit: above 1 breaks the promise.
          When a permit was had is read off the machine's clock, after the call
least     permits of the process that got the fewest, as a share of the mean
cpu       of all worker processes, of one core
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import shutil
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from langchain_hf_endpoint import RedisRequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Barrier

PROCESSES, THREADS = 8, 4
LIMITS = (50, 1000)
PERIOD = 1.0


def ours(url: str, key: str, limit: int) -> Callable[[], object]:
    return RedisRequestsPerMinuteLimiter(limit, url=url, key=key, period=PERIOD).acquire


def steindamm(url: str, key: str, limit: int) -> Callable[[], object]:
    from steindamm import SyncRedisTokenBucket

    burst = limit // 10
    client = redis.Redis.from_url(url)

    def acquire() -> None:
        # One for each call: an object keeps what it was asked for as its state.
        with SyncRedisTokenBucket(
            name=key,
            capacity=burst,
            refill_frequency=PERIOD / (limit - burst),
            refill_amount=1,
            max_sleep=0,
            expiry=3600,
            connection=client,
        ):
            pass

    return acquire


def pyrate(url: str, key: str, limit: int) -> Callable[[], object]:
    from pyrate_limiter import GCRA, Limiter, Rate, RedisStateStore, StateBucket

    burst = limit // 10
    rates = [Rate(limit - burst, int(PERIOD * 1000), burst=burst)]
    store = RedisStateStore(redis.Redis.from_url(url), key)
    limiter = Limiter(StateBucket(rates, GCRA(), store), buffer_ms=1)
    return lambda: limiter.try_acquire("x", blocking=True)


CONTESTANTS = {"ours": ours, "steindamm": steindamm, "pyrate-limiter": pyrate}
PACKAGES = {"steindamm": "steindamm", "pyrate-limiter": "pyrate_limiter"}


@dataclass(frozen=True)
class Run:
    """What each process is told."""

    name: str
    url: str
    key: str
    limit: int
    seconds: float
    barrier: Barrier


def work(run: Run) -> tuple[list[float], float]:
    """Take permits for so long; when each was had, and the CPU time spent."""
    acquire = CONTESTANTS[run.name](run.url, run.key, run.limit)
    run.barrier.wait(120)
    cpu, end = time.process_time(), time.time() + run.seconds

    def thread(_: int) -> list[float]:
        starts = []
        while time.time() < end:
            acquire()
            starts.append(time.time())
        return starts

    with ThreadPoolExecutor(THREADS) as pool:
        starts = [start for several in pool.map(thread, range(THREADS)) for start in several]
    return starts, time.process_time() - cpu


def most_in_a_window(starts: list[float]) -> int:
    first = most = 0
    for last, start in enumerate(starts):
        while starts[first] <= start - PERIOD:
            first += 1
        most = max(most, last - first + 1)
    return most


def measure(name: str, url: str, limit: int, seconds: float) -> dict[str, object]:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(PROCESSES) as pool:
        run = Run(name, url, uuid.uuid4().hex, limit, seconds, manager.Barrier(PROCESSES))
        results = pool.map(work, [run] * PROCESSES, chunksize=1)
    begin = min(start for starts, _ in results for start in starts)
    lists = [[start for start in starts if start < begin + seconds] for starts, _ in results]
    starts = sorted(start for several in lists for start in several)
    late = [start for start in starts if start >= begin + PERIOD]
    return {
        "limiter": name,
        "limit": limit,
        "used": len(late) / (limit * (seconds - PERIOD) / PERIOD),
        "window": most_in_a_window(starts) / limit,
        "least": min(map(len, lists)) / (len(starts) / PROCESSES),
        "cpu": sum(cpu for _, cpu in results) / seconds,
    }


@contextmanager
def redis_at(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    binary = shutil.which("redis-server")
    if binary is None:
        sys.exit("no redis-server on the path: install one, or name yours with --redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--appendonly", "no"]
    with subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL) as process:
        time.sleep(1)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--redis", help="its URL")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each run")
    parser.add_argument("--json", action="store_true", help="one object per line")
    asked = parser.parse_args()
    if not asked.json:
        print(f"{PROCESSES} processes of {THREADS} threads; a minute is {PERIOD:g} s")
        print(f"{'':16}{'limit':>6}{'used':>7}{'window':>8}{'least':>7}{'cpu':>6}")
    with redis_at(asked.redis) as url:
        for name in CONTESTANTS:
            if name in PACKAGES and importlib.util.find_spec(PACKAGES[name]) is None:
                print(f"{name} is not installed", file=sys.stderr)
                continue
            for limit in LIMITS:
                row = measure(name, url, limit, asked.seconds)
                if asked.json:
                    print(json.dumps(row), flush=True)
                else:
                    print(
                        f"{name:16}{limit:6}{row['used']:7.2f}{row['window']:8.2f}"
                        f"{row['least']:7.2f}{row['cpu']:6.0%}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
