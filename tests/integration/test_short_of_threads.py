"""A machine that has no more threads or memory in the middle of a call."""

import asyncio
import threading

import numpy as np
import pytest
from langchain_core.stores import BaseStore, InMemoryByteStore

from langchain_hf_endpoint import EmbeddingError, HFEndpointEmbeddings, _messages
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector

TEXTS = [f"text {number}" for number in range(40)]
SETTINGS = {"dialect": "tei", "max_batch_size": 2, "max_concurrent_requests": 8, "max_wait": 20}


@pytest.fixture
def server():
    with ScriptedEndpoint(dimensions=16) as server:
        yield server


@pytest.fixture
def no_more_than(monkeypatch, server):
    """Threads of ours that can be started, of which there are none; the server needs no more."""

    def no_more_than(most):
        real, started = threading.Thread.start, []

        def start(thread):
            if not thread.name.startswith(("hf-endpoint", "endpoint-pool", "asyncio")):
                return real(thread)
            if len(started) >= most:
                raise RuntimeError("can't start new thread")
            started.append(thread)
            return real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)

    return no_more_than


@pytest.mark.parametrize("most", [0, 1, 3])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_call_goes_on_with_the_threads_there_are(server, no_more_than, most, host):
    no_more_than(most)
    url = server.url.replace("127.0.0.1", host)
    vectors = HFEndpointEmbeddings(url=url, **SETTINGS).embed_documents(TEXTS)
    wanted = [expected_vector(text, 16) for text in TEXTS]
    assert np.array_equal(np.asarray(vectors, np.float32), wanted)


async def embed(embeddings, texts=TEXTS, *, is_async):
    if is_async:
        return await embeddings.aembed_documents(texts)
    return embeddings.embed_documents(texts)


class SyncStore(InMemoryByteStore):
    """Has LangChain's async methods, each of which takes a thread of the loop's."""

    amget, amset = BaseStore.amget, BaseStore.amset


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("most", [0, 1, 2])
@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize("store", [None, InMemoryByteStore, SyncStore])
def test_a_call_with_a_cache_goes_on_with_the_threads_there_are(
    server, no_more_than, most, transport, store, is_async, tmp_path
):
    kept = store() if store else tmp_path / "cache"
    embeddings = HFEndpointEmbeddings(url=server.url, transport=transport, cache=kept, **SETTINGS)
    long = [f"{text} " * 1500 for text in TEXTS]  # in a loop they are cut in a thread
    no_more_than(most)
    first = asyncio.run(embed(embeddings, long, is_async=is_async))
    sent = len(server.requests)
    assert asyncio.run(embed(embeddings, long, is_async=is_async)) == first
    assert len(server.requests) == sent


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_what_is_done_is_kept_where_memory_ends(server, monkeypatch, is_async):
    embeddings = HFEndpointEmbeddings(url=server.url, **SETTINGS | {"max_concurrent_requests": 1})
    real, replies = _messages.Response, []

    def reply(*args):
        replies.append(args)
        if len(replies) == 6:
            raise MemoryError
        return real(*args)

    monkeypatch.setattr("langchain_hf_endpoint._http.httpx_transport.Response", reply)
    with pytest.raises(EmbeddingError, match="no memory left") as caught:
        await embed(embeddings, is_async=is_async)
    assert len(caught.value.completed) >= 8
    for index, vector in caught.value.completed.items():
        assert np.array_equal(np.asarray(vector, np.float32), expected_vector(TEXTS[index], 16))
