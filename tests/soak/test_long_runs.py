"""What must not grow: descriptors over many calls, memory and look-ahead over a long stream.

``benchmarks/memory.py`` has the stream of a million texts.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from contextlib import aclosing, closing
from pathlib import Path

import pytest
from thoroughness import amount

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector

CALLS = amount(600, 2_000)
SETTINGS = {"rate_limit": {"requests_per_minute": 100_000_000}, "max_concurrent_requests": 8}
WIDTH = 16


@pytest.fixture(scope="module")
def server():
    with ScriptedEndpoint(dimensions=WIDTH) as server:
        yield server


@pytest.fixture
def embeddings(server):
    server.forget()
    return HFEndpointEmbeddings(url=server.url, **SETTINGS)


# Descriptors

DESCRIPTORS = Path("/proc/self/fd")


def _descriptors():
    gc.collect()
    return len(list(DESCRIPTORS.iterdir()))


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="counts in /proc")
def test_descriptors_stay_constant_over_thousands_of_calls(server, embeddings):
    """Sync and async by turns, in one loop and in many that come and go."""

    async def some(number):
        for each in range(number, number + 50):
            await embeddings.aembed_query(f"question {each}")

    def hundred(number):
        asyncio.run(some(number))
        for each in range(number + 50, number + 100):
            embeddings.embed_query(f"question {each}")

    hundred(0)
    before = _descriptors()
    counts = []
    for number in range(100, CALLS, 100):
        hundred(number)
        counts.append(_descriptors())
    assert max(counts) <= before
    assert len(server.requests) == CALLS
    # A loop that ends takes its connection with it; the threads' is kept.
    assert server.open_connections <= 2


# A long stream with a slow reader


TEXTS = 10_000
AHEAD = 64 * 32 + 16 * 32
"""64 batches may be unfinished behind a slow one, and 16 are gathered to be sorted."""


class Numbered:
    """Texts without end, each made when it is taken."""

    def __init__(self):
        self.taken = 0

    def __iter__(self):
        while self.taken < TEXTS:
            self.taken += 1
            yield f"text {self.taken - 1}"

    async def __aiter__(self):
        for text in self:
            yield text


class Reader:
    """Takes one chunk after another, checks it, and lets the rest get ahead now and then."""

    def __init__(self, source):
        self.source = source
        self.read = 0
        self.furthest = 0
        self.peaks = []

    def take(self, chunk):
        assert chunk.text_index == self.read
        self.read += 1
        self.furthest = max(self.furthest, self.source.taken - self.read)
        if self.read % 500 == 0:
            assert chunk.embedding.tolist() == expected_vector(chunk.text, WIDTH).tolist()
            self.peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_long_stream_holds_no_more_at_its_end_than_at_its_beginning(server, embeddings, way):
    source = Numbered()
    reader = Reader(source)

    def read():
        with closing(embeddings.stream_chunks(source)) as stream:
            for chunk in stream:
                reader.take(chunk)
                if reader.read % 500 == 0:
                    server.forget()  # its log is no part of what is measured
                    time.sleep(0.002)

    async def aread():
        async with aclosing(embeddings.astream_chunks(source)) as stream:
            async for chunk in stream:
                reader.take(chunk)
                if reader.read % 500 == 0:
                    server.forget()
                    await asyncio.sleep(0.002)

    tracemalloc.start()
    try:
        read() if way == "sync" else asyncio.run(aread())
    finally:
        tracemalloc.stop()
    assert reader.read == TEXTS
    assert reader.furthest <= AHEAD
    early, late = max(reader.peaks[:5]), max(reader.peaks[-5:])
    assert late < early * 1.2
