"""One object, used from several threads, loops and processes."""

import asyncio
import threading
import time

import numpy as np
from arrivals import most_at_once

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector


def _wait_for_a_post(double):
    while not double.requests:
        time.sleep(0.01)


def _texts(count):
    return [f"text {number}" for number in range(count)]


def _right(vectors, texts):
    return np.array_equal(
        np.asarray(vectors, np.float32), np.stack([expected_vector(text) for text in texts])
    )


def test_a_sync_call_inside_a_loop_keeps_to_max_concurrent_requests(tei_double, connect):
    """As in every notebook."""
    tei_double.configure(seconds_per_request=0.2)
    embeddings = connect(max_concurrent_requests=2, max_batch_size=8)
    texts = _texts(64)

    async def cell():
        return embeddings.embed_documents(texts)

    assert _right(asyncio.run(cell()), texts)
    assert most_at_once(tei_double.requests) == 2


def test_a_sync_call_inside_a_loop_keeps_to_the_servers_permits(tei_double, connect):
    tei_double.configure(seconds_per_request=0.2, max_concurrent_requests=64)
    embeddings = connect()
    texts = _texts(320)

    async def cell():
        return embeddings.embed_documents(texts)

    assert _right(asyncio.run(cell()), texts)
    assert {entry.status for entry in tei_double.requests} == {200}


def test_a_sync_call_inside_a_loop_does_not_wait_for_that_loops_own_requests(tei_double, connect):
    tei_double.configure(seconds_per_request=0.05)
    embeddings = connect(max_concurrent_requests=1, max_batch_size=8, timeout=5.0)
    texts = _texts(40)

    async def cell():
        under_way = [asyncio.create_task(embeddings.aembed_documents(texts)) for _ in range(3)]
        await asyncio.to_thread(_wait_for_a_post, tei_double)
        here = embeddings.embed_documents(texts)
        return [here, *await asyncio.gather(*under_way)]

    assert all(_right(vectors, texts) for vectors in asyncio.run(cell()))


def test_describe_inside_a_loop_does_not_wait_for_that_loops_own_requests():
    """Nor where it asks for the models, besides its probe."""
    described = []

    async def cell(double):
        embeddings = HFEndpointEmbeddings(url=f"{double.url}/v1", max_concurrent_requests=1)
        under_way = [asyncio.create_task(embeddings.aembed_query("text")) for _ in range(3)]
        await asyncio.to_thread(_wait_for_a_post, double)
        described.append(embeddings.endpoint.describe())
        await asyncio.gather(*under_way)

    with ScriptedEndpoint(shape="openai", seconds_per_request=0.2) as double:
        thread = threading.Thread(target=lambda: asyncio.run(cell(double)), daemon=True)
        thread.start()
        thread.join(60)
    assert [one.dialect for one in described] == ["openai"]
