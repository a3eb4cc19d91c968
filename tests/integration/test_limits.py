"""The limit of requests per minute, counted where requests arrive."""

import asyncio
import logging
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from arrivals import ENOUGH, are_right, numbered, wait_for_posts
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter

from langchain_hf_endpoint import HFEndpointEmbeddings, RequestsPerMinuteLimiter
from langchain_hf_endpoint.testing import faults

AT_ONCE = [faults.answer(500, {"error": "boom"}, {"retry-after": "0"})] * 10


def _limited(requests_per_minute):
    return {"rate_limit": {"requests_per_minute": requests_per_minute}, "max_batch_size": 1}


def _assert_kept(entries, begun, requests_per_minute, burst):
    """At most the burst and the rate since `begun`, at each arrival.

    Whatever delays a request on its way only makes it later: this holds on a busy machine too.
    """
    for number, entry in enumerate(sorted(entries, key=lambda entry: entry.monotonic), 1):
        allowed = burst + (entry.monotonic - begun) * requests_per_minute / 60
        assert number <= allowed + 1e-3


def _mixed_calls(several):
    """Sync and async calls on these objects in turn, from eight threads; whether all is right."""

    def call(number):
        embeddings = several[number % len(several)]
        texts = numbered(3, f"of {number}")
        if number % 4 == 0:
            vectors = embeddings.embed_documents(texts)
        elif number % 4 == 1:
            vectors = asyncio.run(embeddings.aembed_documents(texts))
        elif number % 4 == 2:
            vectors = [embeddings.embed_query(text) for text in texts]
        else:
            vectors = [one.embedding for one in embeddings.stream_chunks(texts)]
        return are_right(vectors, texts)

    with ThreadPoolExecutor(8) as threads:
        return all(threads.map(call, range(8), timeout=ENOUGH))


def test_threads_loops_and_retries_keep_to_one_limit_together(tei_double, connect):
    embeddings = connect(**_limited(600))
    tei_double.script(*AT_ONCE)
    begun = time.monotonic()
    assert _mixed_calls([embeddings])
    log = tei_double.arrivals
    # Requests for information and retries are requests as well.
    assert Counter(entry.status for entry in log)[500] == 10
    assert len(log) >= 8 * 3 + 10 + 1
    _assert_kept(log, begun, 600, burst=10)


def test_two_objects_with_one_url_and_key_share_the_limit(tei_double, connect):
    two = [connect(api_key="a", **_limited(600)), connect(api_key="a", **_limited(600))]
    begun = time.monotonic()
    assert _mixed_calls(two)
    _assert_kept(tei_double.arrivals, begun, 600, burst=10)


@pytest.mark.usefixtures("double_of_no_name")
def test_another_key_has_a_limit_of_its_own(tei_double, connect):
    for key in ("a", "b", "c"):
        # The second request of a minute would wait for half of it.
        connect("/v1/embeddings", api_key=key, **_limited(2)).embed_query("a question")
    first, _, last = tei_double.arrivals
    assert last.monotonic - first.monotonic < 29


@pytest.mark.parametrize("order", [(6000, 600), (600, 6000)])
def test_the_lower_of_two_limits_holds_and_is_said_to_do_so_once(
    tei_double, connect, caplog, order
):
    two = [connect(api_key="the-key", **_limited(limit)) for limit in order]
    with caplog.at_level(logging.WARNING, "langchain_hf_endpoint"):
        for embeddings in two * 2:
            embeddings.embed_query("a question")
    [said] = [record.getMessage() for record in caplog.records]
    assert "127.0.0.1" in said
    assert f"{order[0]} and {order[1]} requests per minute: the lower holds for both" in said
    assert "the-key" not in said
    before = len(tei_double.arrivals)
    begun = time.monotonic()
    assert _mixed_calls(two)
    _assert_kept(tei_double.arrivals[before:], begun, 600, burst=10)


def test_calls_one_after_another_are_not_granted_a_burst_each(drive, tei_double, connect):
    embeddings = connect(**_limited(600))
    begun = time.monotonic()
    for number in range(4):
        texts = numbered(5, f"of {number}")
        assert are_right(drive.documents(embeddings, texts), texts)
    _assert_kept(tei_double.arrivals, begun, 600, burst=10)


# Limiters that users bring


class Counting(BaseRateLimiter):
    """Lets everybody through and writes down who asked when."""

    def __init__(self):
        self.asked = []

    def acquire(self, *, blocking=True):
        assert blocking
        self.asked.append(("sync", time.monotonic()))
        return True

    async def aacquire(self, *, blocking=True):
        assert blocking
        self.asked.append(("async", time.monotonic()))
        return True


def _under(limiter, connect, **settings):
    return HFEndpointEmbeddings(endpoint=connect(**settings).endpoint, rate_limiter=limiter)


@pytest.mark.parametrize("path", ["", "/v1/embeddings"])
def test_a_users_own_limiter_is_asked_before_each_request_instead_of_ours(
    drive, tei_double, connect, path
):
    limiter = Counting()
    # Ours would take an hour over it.
    embeddings = HFEndpointEmbeddings(
        endpoint=connect(path, **_limited(1)).endpoint, rate_limiter=limiter
    )
    tei_double.script(*AT_ONCE)
    texts = numbered(40)
    assert are_right(drive.documents(embeddings, texts), texts)
    assert are_right([drive.query(embeddings, "a question")], ["a question"])
    arrived = sorted(entry.monotonic for entry in tei_double.arrivals)
    assert len(arrived) == 1 + 40 + 10 + 1  # it is asked what it is once
    asked = sorted(moment for _, moment in limiter.asked)
    assert len(asked) == len(arrived)
    assert all(before < after for before, after in zip(asked, arrived, strict=True))


def test_a_users_own_limiter_is_asked_in_the_way_of_the_caller(connect):
    limiter = Counting()
    embeddings = _under(limiter, connect)
    embeddings.embed_documents(numbered(40))
    assert {way for way, _ in limiter.asked} == {"sync"}
    limiter.asked.clear()
    asyncio.run(embeddings.aembed_documents(numbered(40)))
    assert {way for way, _ in limiter.asked} == {"async"}


def test_langchains_own_limiter_holds(drive, tei_double, connect):
    limiter = InMemoryRateLimiter(
        requests_per_second=20, check_every_n_seconds=0.01, max_bucket_size=5
    )
    embeddings = _under(limiter, connect, max_batch_size=1)
    texts = numbered(20)
    begun = time.monotonic()
    assert are_right(drive.documents(embeddings, texts), texts)
    _assert_kept(tei_double.arrivals, begun, 20 * 60, burst=5)


def test_one_limiter_may_stand_before_two_endpoints(tei_double, connect):
    limiter = RequestsPerMinuteLimiter(1200, burst=1)
    two = [_under(limiter, connect, api_key=key, **_limited(100_000)) for key in ("a", "b")]
    begun = time.monotonic()
    assert _mixed_calls(two)
    _assert_kept(tei_double.arrivals, begun, 1200, burst=1)


class Refusing(BaseRateLimiter):
    """Fails, as one does whose store cannot be reached."""

    def acquire(self, *, blocking=True):
        raise LookupError("the store is gone")

    async def aacquire(self, *, blocking=True):
        raise LookupError("the store is gone")


def test_the_error_of_a_users_own_limiter_comes_out_and_nothing_is_sent(drive, tei_double, connect):
    embeddings = _under(Refusing(), connect)
    with pytest.raises(LookupError, match="the store is gone"):
        drive.documents(embeddings, numbered(100))
    assert tei_double.arrivals == []
    # It has left its place in the window.
    again = connect(max_concurrent_requests=1)
    assert are_right(drive.documents(again, numbered(100)), numbered(100))


# Queries before documents


def test_a_query_overtakes_the_documents_that_wait_for_the_limit(drive, tei_double, connect):
    embeddings = connect(**_limited(240))
    texts = numbered(12)
    sending = threading.Thread(target=drive.documents, args=(embeddings, texts))
    sending.start()
    wait_for_posts(tei_double, 5)
    asked = time.monotonic()
    drive.query(embeddings, "a question")
    sending.join(ENOUGH)
    log = tei_double.requests
    [query] = [entry for entry in log if entry.texts == ("a question",)]
    between = [entry for entry in log if asked < entry.monotonic < query.monotonic]
    after = [entry for entry in log if entry.monotonic > query.monotonic]
    # By turns it would come behind the four or more that have their places in the window.
    assert len(between) <= 2
    assert len(after) >= 3
