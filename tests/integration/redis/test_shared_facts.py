"""What one worker has found out of a server the others begin with, over a real Redis."""

import asyncio
import json
import multiprocessing
import threading
import time

import pytest
import redis
from arrivals import ENOUGH, are_right, numbered
from redis_workers import embed

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint
from langchain_hf_endpoint._session.session import close_sessions, private_session
from langchain_hf_endpoint._session.shared_facts import name_of
from langchain_hf_endpoint.gateway.batcher import DynamicBatcher
from langchain_hf_endpoint.redis.background import background
from langchain_hf_endpoint.testing import ScriptedEndpoint

SLOTS, LARGEST = 16, 8
HOUR = 3600e6  # microseconds


def wait_until_told():
    """Return when what this process has to tell is in Redis."""
    is_told = threading.Event()
    background.run_soon(is_told.set)
    assert is_told.wait(ENOUGH)


@pytest.fixture
def double(double_of_no_name):
    """It works on 16 texts at once, the others wait; on OpenAI's route it says nothing of that."""
    options = {"max_concurrent_requests": SLOTS, "max_client_batch_size": LARGEST}
    with ScriptedEndpoint(version="1.8.3", seconds_per_request=0.05, **options) as double:
        yield double


@pytest.fixture
def unlimited(limiter):
    """Limiters of this test's key that let everything through."""

    def make(**settings):
        return limiter(100_000, **{"burst": 100_000, "period": 60.0, **settings})

    return make


@pytest.fixture
def work(double):
    """Embed texts as a new process does, one in a request or as many as it takes."""

    def work(limiter, texts, *, is_async=False, **settings):
        close_sessions()
        first = len(double.arrivals)
        url = f"{double.url}/v1/embeddings"
        embeddings = HFEndpointEmbeddings(
            url=url, api_key="hf_secret", rate_limiter=limiter, **settings
        )
        if is_async:
            vectors = asyncio.run(embeddings.aembed_documents(texts))
        else:
            vectors = embeddings.embed_documents(texts)
        assert are_right(vectors, texts)
        wait_until_told()
        return double.arrivals[first:]

    return work


@pytest.fixture
def told(redis_server):
    """Return what was told of the only server, once this is there: nobody waits for it."""

    def told(limiter, name):
        deadline = time.monotonic() + ENOUGH
        with redis.Redis(port=redis_server.port, decode_responses=True) as client:
            while time.monotonic() < deadline:
                for facts in client.hvals(f"hf-endpoint:{{{limiter.key}}}:facts"):
                    if name in json.loads(facts):
                        return json.loads(facts)
                time.sleep(0.01)
        raise AssertionError(f"{name} is never told")

    return told


def before_a_reply(log):
    """How many requests came before one of them was answered."""
    replied = min(entry.finished for entry in log)
    return sum(entry.monotonic < replied for entry in log)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_width_is_found_once_and_the_others_begin_with_their_parts_of_it(
    double, unlimited, work, told, is_async
):
    shared, settings = unlimited(), {"dialect": "openai", "max_batch_size": 1}
    work(shared, numbered(800), is_async=is_async, **settings)
    width, _ = told(shared, "width")["width"]
    assert 4 <= width <= 6 * SLOTS  # as it was seen on the way up, if this machine is busy
    double.configure(seconds_per_request=1.0)
    log = work(shared, numbered(18), is_async=is_async, **settings)
    assert before_a_reply(log) == max(4, min(18, width // 2))
    # It is found anew, exactly; this machine may have been too busy to have seen it before.
    server = name_of(f"{double.url}/v1/embeddings", None, scores=False)
    shared.fact_sharing.tell_soon(server, {"width": SLOTS})
    wait_until_told()
    for part in (SLOTS // 2, SLOTS // 3):
        log = work(shared, numbered(10), is_async=is_async, **settings)
        assert before_a_reply(log) == part
    log = work(unlimited(key="of others"), numbered(5), is_async=is_async, **settings)
    assert before_a_reply(log) == 4


def test_of_eight_processes_one_is_refused_for_the_size_of_its_batch(double, unlimited, told):
    shared, url = unlimited(), f"{double.url}/v1/embeddings"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["redis_workers", "redis.asyncio"])
    with context.Pool(8) as pool:
        pool.apply_async(embed, (shared, url, numbered(40))).get(ENOUGH)
        told(shared, "batch_size")
        work = [(shared, url, numbered(40, f"of {number}")) for number in range(16)]
        pool.starmap_async(embed, work, chunksize=1).get(ENOUGH)
    sizes = [len(entry.texts) for entry in double.requests]
    assert [size for size in sizes if size > LARGEST] == [32]
    assert sum(sizes) == 17 * 40 + 32


async def test_of_several_gateways_one_is_refused(double, unlimited, told):
    shared, endpoint = unlimited(), InferenceEndpoint(url=f"{double.url}/v1/embeddings")
    for number in range(3):
        session = private_session(endpoint.service_settings)
        batcher = DynamicBatcher(endpoint, limiter=shared, session=session)
        texts = numbered(40, f"of {number}")
        assert are_right(await batcher.embed(texts), texts)
        await batcher.close()
        await session.aclose()
        await asyncio.to_thread(told, shared, "batch_size")
    sizes = [len(entry.texts) for entry in double.requests]
    assert [size for size in sizes if size > LARGEST] == [32]


def test_facts_are_told_seldom_and_show_neither_url_nor_key_nor_text(
    double, unlimited, work, told, own_redis
):
    shared = unlimited(url=own_redis.url)
    work(shared, numbered(300, "secret text"), max_batch_size=1)
    with redis.Redis(port=own_redis.port, decode_responses=True) as client:
        kept = [client.hgetall(name) for name in client.keys("*:facts")]
        asked = client.info("commandstats")["cmdstat_hget"]["calls"]
    assert len(kept) == 1
    assert "secret" not in str(kept)
    assert double.url.removeprefix("http://") not in str(kept)
    assert asked <= 20  # of about 300 requests


def test_a_fact_lapses_an_hour_after_it_was_found_out(double, unlimited, work, told, redis_server):
    shared = unlimited()
    work(shared, numbered(40))
    facts = told(shared, "batch_size")
    assert {len(entry.texts) for entry in work(shared, numbered(40))} == {LARGEST}
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        name = f"hf-endpoint:{{{shared.key}}}:facts"
        assert 0 < client.ttl(name) <= 3600
        (server,) = client.hkeys(name)
        size, moment = facts["batch_size"]
        client.hset(name, server, json.dumps({"batch_size": [size, moment - HOUR]}))
    double.configure(max_client_batch_size=32)
    assert max(len(entry.texts) for entry in work(shared, numbered(40))) == 32


@pytest.mark.parametrize(
    "kept",
    [
        *(b"garbage\xff{", "5", "null", '"a text"', "[[5, 1e300]]", '{"begun": [null, 5]}'),
        *('{"width": 1e308, "batch_size": null}', '{"width": [1e999, 1e300]}'),
        None,
    ],
)
def test_what_is_kept_and_cannot_be_read_is_no_fact(
    double, unlimited, work, told, redis_server, kept
):
    shared = unlimited()
    server = name_of(f"{double.url}/v1/embeddings", None, scores=False)
    with redis.Redis(port=redis_server.port) as client:
        name = f"hf-endpoint:{{{shared.key}}}:facts"
        if kept is None:
            client.set(name, "no hash")
        else:
            client.hset(name, server, kept)
    assert len(work(shared, numbered(40))[0].texts) == 32
    assert told(shared, "batch_size")["batch_size"][0] == LARGEST


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_while_redis_is_away_all_begin_as_ever(unlimited, work, own_redis, how, is_async):
    shared = unlimited(url=own_redis.url, on_failure="local", expected_workers=2, timeout=0.3)
    getattr(own_redis, how)()
    log = work(shared, numbered(40), is_async=is_async)
    assert len(log[0].texts) == 32
