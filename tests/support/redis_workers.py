"""What the processes do that share a limit. A worker gets the limiter as a pickle."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from langchain_hf_endpoint import HFEndpointEmbeddings

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

    from langchain_hf_endpoint import RedisRequestsPerMinuteLimiter


def start_once(limiter: RedisRequestsPerMinuteLimiter) -> float:
    """Take a permit with this thread; when it was taken, by the server's clock."""
    turn = limiter.reserve(random.choice(["query", "document"]))
    while seconds := turn.wait():
        time.sleep(seconds)
    assert turn.started_at is not None
    return turn.started_at


async def astart_once(limiter: RedisRequestsPerMinuteLimiter) -> float:
    """Take a permit with this task."""
    turn = limiter.reserve(random.choice(["query", "document"]))
    while seconds := await turn.await_():  # noqa: ASYNC110 - as its docstring says
        await asyncio.sleep(seconds)
    assert turn.started_at is not None
    return turn.started_at


def leave_once(limiter: RedisRequestsPerMinuteLimiter) -> None:
    """Line up, and think better of it."""
    turn = limiter.reserve()
    if turn.wait():
        turn.give_back()


def take(limiter: RedisRequestsPerMinuteLimiter, barrier: Barrier, each: int) -> list[float]:
    """Two threads and two tasks take `each` permits; some line up and leave again."""

    def with_thread(number: int) -> list[float]:
        starts = []
        for turn in range(each):
            if turn % 5 == number:
                leave_once(limiter)
            starts.append(start_once(limiter))
        return starts

    async def with_task() -> list[float]:
        return [await astart_once(limiter) for _ in range(each)]

    async def with_tasks() -> list[list[float]]:
        return list(await asyncio.gather(with_task(), with_task()))

    barrier.wait(60)
    with ThreadPoolExecutor(3) as pool:
        tasks = pool.submit(lambda: asyncio.run(with_tasks()))
        lists = [*pool.map(with_thread, range(2)), *tasks.result()]
    return [start for starts in lists for start in starts]


def line_up_and_stay(limiter: RedisRequestsPerMinuteLimiter, places: int) -> None:
    """Take places in the line, say so, and never come back for them."""
    turns = []
    while len(turns) < places:
        turn = limiter.reserve()
        if turn.wait():
            turns.append(turn)
    sys.stdout.write(f"{len(turns)}\n")
    sys.stdout.flush()
    time.sleep(3600)


def embed(limiter: RedisRequestsPerMinuteLimiter, url: str, texts: list[str]) -> None:
    """Embed texts; by every second process with the async method."""
    embeddings = HFEndpointEmbeddings(url=url, rate_limiter=limiter)
    if os.getpid() % 2:
        embeddings.embed_documents(texts)
    else:
        asyncio.run(embeddings.aembed_documents(texts))
