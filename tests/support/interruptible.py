"""A child that makes one call after another and may be interrupted in any of them.

It reads the name of a way, says ``go``, makes the call and says ``done`` or ``interrupted``; then,
when none of its threads can send any more, what is left over, and whether a call that is made
thereafter has right vectors.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
import threading

import numpy as np

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint._session.session import session_for
from langchain_hf_endpoint.testing import expected_vector

TEXTS = [f"text {number}" for number in range(80)]
FOLLOWING = [f"following {number}" for number in range(8)]
SETTINGS = {
    "max_batch_size": 4,
    "max_concurrent_requests": 4,
    "rate_limit": {"requests_per_minute": 6_000_000},
    "timeout": 60.0,
}


def _say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


async def _gathered(embeddings):
    await asyncio.gather(*(embeddings.aembed_documents(TEXTS[n::3]) for n in range(3)))


async def _astreamed(embeddings):
    async for _ in embeddings.astream_chunks(TEXTS):
        pass


def _fast(embeddings):
    url = str(embeddings.endpoint.service_settings.url)
    return HFEndpointEmbeddings(url=url, transport="aiohttp", **SETTINGS)


async def _inside(embeddings):
    return embeddings.embed_documents(TEXTS)


def _in_loop_of_ours(coroutine):
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


WAYS = {
    "documents": lambda embeddings: embeddings.embed_documents(TEXTS),
    "array": lambda embeddings: embeddings.embed_array(TEXTS),
    "queries": lambda embeddings: [embeddings.embed_query(text) for text in TEXTS],
    "stream": lambda embeddings: list(embeddings.stream_chunks(TEXTS)),
    "async documents": lambda embeddings: asyncio.run(embeddings.aembed_documents(TEXTS)),
    "async calls": lambda embeddings: asyncio.run(_gathered(embeddings)),
    "async stream": lambda embeddings: asyncio.run(_astreamed(embeddings)),
    "over aiohttp": lambda embeddings: _fast(embeddings).embed_array(TEXTS),
    "stream over aiohttp": lambda embeddings: list(_fast(embeddings).stream_chunks(TEXTS)),
    "async over aiohttp": lambda embeddings: asyncio.run(_fast(embeddings).aembed_array(TEXTS)),
    # As in a notebook's cell.
    "sync inside a loop": lambda embeddings: _in_loop_of_ours(_inside(embeddings)),
}


def _interrupted(call, embeddings) -> bool:
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            _say("go")
            call(embeddings)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        return True
    return False


def _left_over(embeddings) -> list[str]:
    """What is still there, when all threads that could send have ended."""
    left = []
    for thread in threading.enumerate():
        if thread.name == "hf-endpoint" and thread.ident is not None:  # else it never begins
            thread.join(30)
            if thread.is_alive():
                left.append("a thread")
    gc.collect()
    runtime = session_for(embeddings.endpoint.service_settings)
    if ": 0 in flight with 0 inputs, 0 waiting>" not in repr(runtime.window):
        left.append(repr(runtime))
    return left


def main(url: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    embeddings = HFEndpointEmbeddings(url=url, **SETTINGS)
    for line in sys.stdin:
        was = _interrupted(WAYS[line.strip()], embeddings)
        _say("interrupted" if was else "done")
        _say(_left_over(embeddings))
        sys.stdin.readline()
        wanted = [expected_vector(text, 16) for text in FOLLOWING]
        _say(bool(np.array_equal(embeddings.embed_array(FOLLOWING), wanted)))


if __name__ == "__main__":
    main(sys.argv[1])
