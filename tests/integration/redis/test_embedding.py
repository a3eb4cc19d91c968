"""Embeddings over a TEI double, with a limit that is kept in a real Redis."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from arrivals import ENOUGH, are_right, numbered, wait_for_posts

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    TransportError,
)
from langchain_hf_endpoint.testing import faults


@pytest.fixture
def connect(tei_double):
    def connect(limiter, **settings):
        settings = {"max_batch_size": 1, **settings}
        return HFEndpointEmbeddings(url=tei_double.url, rate_limiter=limiter, **settings)

    return connect


def test_threads_and_loops_keep_to_one_limit_in_redis(tei_double, connect, limiter):
    limit, period = 100, 2.0
    several = [connect(limiter(limit, burst=5)) for _ in range(2)]
    begun = time.monotonic()

    def call(number):
        embeddings, texts = several[number % 2], numbered(10, f"of {number}")
        if number % 4 < 2:
            return are_right(embeddings.embed_documents(texts), texts)
        return are_right(asyncio.run(embeddings.aembed_documents(texts)), texts)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(call, range(8), timeout=ENOUGH))
    log = tei_double.arrivals
    assert len(log) >= 81  # what it is asked about itself is a request as well
    for number, entry in enumerate(sorted(log, key=lambda entry: entry.monotonic), 1):
        assert number <= 5 + (entry.monotonic - begun) * limit / period + 1


def test_a_query_passes_the_documents_that_wait(tei_double, connect, limiter):
    embeddings = connect(limiter(20), max_concurrent_requests=4)
    texts = numbered(15)
    with ThreadPoolExecutor(1) as thread:
        documents = thread.submit(embeddings.embed_documents, texts)
        wait_for_posts(tei_double, 2)
        embeddings.embed_query("which?")
        assert are_right(documents.result(ENOUGH), texts)
    order = [entry.texts[0] for entry in tei_double.requests]
    assert order.index("which?") < 8


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_is_stopped_gives_its_places_back(
    tei_double, connect, limiter, wait_until_waiting, is_async
):
    shared = limiter(4, burst=3)
    embeddings = connect(shared)

    def stop_sync():
        stream = embeddings.stream_chunks(numbered(20))
        next(stream)
        stream.close()

    async def stop_async():
        stream = embeddings.astream_chunks(numbered(20))
        await anext(stream)
        await stream.aclose()

    asyncio.run(stop_async()) if is_async else stop_sync()
    wait_until_waiting(shared, 0)


def test_retries_that_would_wait_too_long_for_a_permit_are_not_made(tei_double, connect, limiter):
    shared = limiter(2, burst=2, period=100.0)  # one for the question what it is
    embeddings = connect(shared, max_wait=2)
    tei_double.script(*[faults.answer(500, {"error": "boom"})] * 10)
    with pytest.raises(EmbeddingError, match="boom"):
        embeddings.embed_documents(["a text"])
    assert len(tei_double.requests) <= 1


def test_what_the_server_asks_for_holds_for_all(tei_double, connect, limiter):
    shared = limiter(100, burst=100)
    wait = {"retry-after": "1"}
    tei_double.script(faults.answer(429, {"error": "slow"}, wait))
    embeddings = connect(shared, max_wait=30)
    with ThreadPoolExecutor(1) as thread:
        vectors = thread.submit(embeddings.embed_documents, ["a text"])
        deadline = time.monotonic() + ENOUGH
        while limiter(100, burst=100).acquire(blocking=False):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert are_right(vectors.result(ENOUGH), ["a text"])


@pytest.mark.parametrize("is_async", [False, True])
def test_without_redis_the_call_ends_with_what_it_has(
    tei_double, connect, limiter, own_redis, is_async
):
    shared = limiter(20, url=own_redis.url, timeout=0.3)
    embeddings = connect(shared, max_concurrent_requests=1)
    texts = numbered(30)

    def embed():
        if is_async:
            return asyncio.run(embeddings.aembed_documents(texts))
        return embeddings.embed_documents(texts)

    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(embed)
        wait_for_posts(tei_double, 3)
        own_redis.kill()
        with pytest.raises(TransportError, match="Redis that keeps the rate limit") as raised:
            call.result(ENOUGH)
    error = raised.value
    assert isinstance(error, EmbeddingError)
    done = sorted(error.completed)
    assert len(done) >= 2
    assert are_right([error.completed[index] for index in done], [texts[n] for n in done])
    assert sorted([*error.completed, *error.failures]) == list(range(30))


def test_on_failure_local_the_call_goes_on(tei_double, connect, limiter, own_redis):
    settings = {"on_failure": "local", "expected_workers": 1, "timeout": 0.3}
    shared = limiter(60, url=own_redis.url, **settings)
    embeddings = connect(shared)
    texts = numbered(30)
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(embeddings.embed_documents, texts)
        wait_for_posts(tei_double, 3)
        own_redis.kill()
        assert are_right(call.result(ENOUGH), texts)


def test_a_query_that_gets_no_permit_says_why(connect, limiter, own_redis):
    own_redis.kill()
    with pytest.raises(TransportError, match="Redis that keeps the rate limit"):
        connect(limiter(20, url=own_redis.url)).embed_query("which?")


async def test_waiting_leaves_the_loop_free(connect, limiter, own_redis):
    shared = limiter(20, url=own_redis.url, timeout=1.0)
    assert await shared.aacquire()
    own_redis.freeze()
    asking = asyncio.create_task(connect(shared).aembed_query("which?"))
    turns_of_the_loop = 0
    while not asking.done():
        await asyncio.sleep(0.01)
        turns_of_the_loop += 1
    own_redis.thaw()
    with pytest.raises(TransportError):
        await asking
    assert turns_of_the_loop > 10
