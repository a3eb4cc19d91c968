"""Sync calls with the transport aiohttp: many batches are sent from a loop of the call's own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from contextlib import closing

import httpx
import pytest
from arrivals import ENOUGH, are_right, numbered, wait_for_posts
from langchain_core.rate_limiters import BaseRateLimiter

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    HFEndpointEmbeddings,
    HFEndpointError,
    RequestsPerMinuteLimiter,
)
from langchain_hf_endpoint.testing import faults

TEXTS = numbered(200)[100:]  # all of one length, so that batches have them in their order
KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRy"


@pytest.fixture
def connect(connect):
    """Embeddings over the double, in batches of four."""

    def over_aiohttp(**settings):
        return connect(**{"transport": "aiohttp", "max_batch_size": 4, **settings})

    return over_aiohttp


@pytest.fixture
def is_all_closed(tei_double):
    """Whether a call's threads and connections end soon; that which asked for /info stays."""

    def is_all_closed():
        deadline = time.monotonic() + ENOUGH
        while own_threads() or tei_double.open_connections > 1:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    return is_all_closed


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("hf-endpoint")]


def libraries(double):
    return {
        request.headers["user-agent"].split(" ")[1].split("/")[0] for request in double.requests
    }


# Which way a call goes


@pytest.mark.parametrize("method", ["embed_documents", "embed_array"])
def test_many_batches_go_over_aiohttp(tei_double, connect, is_all_closed, method):
    embeddings = connect()
    assert are_right(getattr(embeddings, method)(TEXTS), TEXTS)
    assert libraries(tei_double) == {"aiohttp"}
    assert is_all_closed()
    assert are_right(getattr(embeddings, method)(TEXTS), TEXTS)


def test_chunks_and_streams_go_over_aiohttp(tei_double, connect):
    embeddings = connect()
    assert are_right([one.embedding for (one,) in embeddings.embed_chunks(TEXTS)], TEXTS)
    assert are_right([one.embedding for one in embeddings.stream_chunks(iter(TEXTS))], TEXTS)
    assert libraries(tei_double) == {"aiohttp"}


def test_a_query_and_a_few_batches_are_sent_over_httpx(tei_double, connect):
    embeddings = connect()
    assert are_right([embeddings.embed_query("a question")], ["a question"])
    for few in (TEXTS[:4], TEXTS[:60]):
        assert are_right(embeddings.embed_documents(few), few)
        assert are_right([one.embedding for one in embeddings.stream_chunks(few)], few)
    assert libraries(tei_double) == {"httpx"}


class Counting(BaseRateLimiter):
    """Somebody else's limiter, which has one way for threads and another for tasks."""

    def __init__(self):
        self.threads = self.tasks = 0

    def acquire(self, *, blocking=True):
        self.threads += blocking
        return True

    async def aacquire(self, *, blocking=True):
        self.tasks += blocking
        return True


def test_the_users_own_client_and_limiter_are_used_from_threads_as_before(tei_double, connect):
    endpoint, limiter = connect().endpoint, Counting()
    with httpx.Client() as client:
        embeddings = HFEndpointEmbeddings(endpoint=endpoint, http_client=client)
        assert are_right(embeddings.embed_documents(TEXTS), TEXTS)
    embeddings = HFEndpointEmbeddings(endpoint=endpoint, rate_limiter=limiter)
    assert are_right(embeddings.embed_documents(TEXTS), TEXTS)
    assert (limiter.threads, limiter.tasks) == (25, 0)
    agents = [request.headers["user-agent"] for request in tei_double.requests]
    assert not any("aiohttp" in agent for agent in agents)


def test_without_aiohttp_it_is_said_what_to_install(connect, monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_hf_endpoint._http.aiohttp_transport", None)
    with pytest.raises(HFEndpointError, match=r"\[service_settings.transport\] needs aiohttp: pip"):
        connect().embed_documents(TEXTS)


@pytest.mark.parametrize(
    ("place", "error"),
    [("threading.Thread.start", RuntimeError), ("asyncio.Runner", OSError)],
    ids=["threads", "descriptors"],
)
def test_where_none_are_left_the_batches_are_sent_one_after_another(
    tei_double, connect, monkeypatch, place, error
):
    def none_left(*_):
        raise error("there are no more")

    with monkeypatch.context() as patched:
        patched.setattr(place, none_left)
        assert are_right(connect().embed_documents(TEXTS), TEXTS)
    assert libraries(tei_double) == {"httpx"}


# Whose work it is


def test_texts_are_taken_on_the_callers_thread_and_sent_in_its_context(connect):
    seen, who = set(), contextvars.ContextVar("who")

    class Looking(RequestsPerMinuteLimiter):
        def reserve(self, *args, **kwargs):
            seen.add((who.get(None), threading.current_thread().name))
            return super().reserve(*args, **kwargs)

    limiter = Looking(6_000, burst=1)  # the others stand in line
    embeddings = HFEndpointEmbeddings(endpoint=connect().endpoint, rate_limiter=limiter)
    taken = []

    def texts():
        for text in TEXTS:
            taken.append(threading.current_thread())
            yield text

    who.set("the caller")
    assert are_right([one.embedding for one in embeddings.stream_chunks(texts())], TEXTS)
    assert set(taken) == {threading.main_thread()}
    assert seen == {("the caller", "hf-endpoint")}


def test_a_call_inside_a_loop_goes_before_the_tasks_that_it_holds_up(tei_double, connect):
    tei_double.configure(seconds_per_request=0.05)
    embeddings = connect(max_concurrent_requests=2)
    of_task = numbered(100, "of the task")

    async def main():
        under_way = asyncio.create_task(embeddings.aembed_documents(of_task))
        await asyncio.to_thread(wait_for_posts, tei_double, 3)
        assert are_right(embeddings.embed_documents(TEXTS), TEXTS)
        assert not under_way.done()
        return await under_way

    assert are_right(asyncio.run(asyncio.wait_for(main(), ENOUGH)), of_task)


# Failures


def test_a_key_that_is_refused_ends_the_call(tei_double, connect, is_all_closed):
    tei_double.configure(api_key="another", seconds_per_request=0.01)
    with pytest.raises(AuthenticationError, match="does not accept the key") as caught:
        connect(api_key=KEY, dialect="tei").embed_documents(TEXTS * 20)
    assert KEY not in str(caught.value)
    assert len(tei_double.requests) < 60
    assert is_all_closed()


def test_what_was_answered_is_kept_when_the_rest_takes_too_long(tei_double, connect, is_all_closed):
    tei_double.script(*[faults.hang()] * 8, containing="text 199")
    with pytest.raises(EmbeddingError, match=r"no complete reply within 0.5 s") as caught:
        connect(timeout=0.5, max_wait=0.0).embed_documents(TEXTS)
    completed = caught.value.completed
    assert 80 <= len(completed) < 100
    assert are_right(list(completed.values()), [TEXTS[index] for index in completed])
    assert is_all_closed()


def test_a_pause_of_an_hour_ends_when_another_batch_ends_the_call(tei_double, connect):
    tei_double.script(faults.rate_limited(3600), faults.unauthorized())
    embeddings = connect(dialect="tei", max_wait=7200.0, max_concurrent_requests=2)
    with pytest.raises(AuthenticationError):
        embeddings.embed_documents(TEXTS)


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_a_result_is_freed_with_its_last_reference(tei_double, connect, transport):
    embeddings = connect(transport=transport)
    gc.collect()
    gc.disable()
    try:
        result = weakref.ref(embeddings.embed_array(TEXTS))
        assert result() is None
    finally:
        gc.enable()


# Left early


def test_a_stream_that_is_closed_early_ends_its_requests(tei_double, connect, is_all_closed):
    tei_double.script(None, *[faults.hang()] * 100)
    with closing(connect(max_concurrent_requests=4).stream_chunks(TEXTS)) as stream:
        assert next(stream).text == TEXTS[0]
        assert own_threads()
    assert is_all_closed()
    assert len(tei_double.requests) <= 5


@pytest.mark.parametrize("kind", [list, iter])
def test_a_stream_whose_user_is_slow_gets_no_further_than_a_look_ahead(tei_double, connect, kind):
    texts = numbered(2000)
    with closing(connect().stream_chunks(kind(texts))) as stream:
        assert next(stream).text == texts[0]
        time.sleep(0.5)
        assert len(tei_double.requests) < 100  # of 500


def test_a_stream_that_is_forgotten_in_a_cycle_ends_its_requests(
    tei_double, connect, is_all_closed
):
    tei_double.script(None, *[faults.hang()] * 100)
    cycle = [connect(max_concurrent_requests=4).stream_chunks(TEXTS)]
    cycle.append(cycle)
    next(cycle[0])
    del cycle
    gc.collect()
    assert is_all_closed()
    assert len(tei_double.requests) <= 5


def test_a_stream_whose_source_breaks_has_what_came_before(connect, is_all_closed):
    def texts():
        yield from TEXTS
        raise ZeroDivisionError

    taken = []
    with pytest.raises(ZeroDivisionError):
        taken.extend(one.embedding for one in connect().stream_chunks(texts()))
    assert are_right(taken, TEXTS)
    assert is_all_closed()


# Fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_stream_ends_in_the_child_of_a_fork_and_goes_on_in_the_parent(
    tei_double, connect, is_all_closed
):
    tei_double.configure(seconds_per_request=0.02)
    embeddings, texts = connect(max_concurrent_requests=4), numbered(2000)
    stream = embeddings.stream_chunks(texts)
    first = next(stream)
    if (child := os.fork()) == 0:
        status = 1
        try:
            for _ in stream:
                pass
        except HFEndpointError as error:
            stream.close()
            del stream
            gc.collect()
            of_child = numbered(100, "of the child")
            begun_before = "begun before a fork" in str(error)
            if begun_before and are_right(embeddings.embed_documents(of_child), of_child):
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    vectors = [first.embedding, *(one.embedding for one in stream)]
    assert are_right(vectors, texts)
    assert is_all_closed()


# The end of the process

PROGRAM = """
import sys, threading
from langchain_hf_endpoint import HFEndpointEmbeddings

embeddings = HFEndpointEmbeddings(
    url=sys.argv[1], transport="aiohttp", max_batch_size=4, max_concurrent_requests=4
)
texts = [f"text {number}" for number in range(100)]
"""
GOES_ON = """
from concurrent.futures import ThreadPoolExecutor

long = [f"text {number} " * 1500 for number in range(100)]

def go_on():
    try:
        while True:
            ThreadPoolExecutor(1).submit(int).result()
    except RuntimeError:  # the main thread has ended
        CALL

threading.Thread(target=go_on).start()
"""
ENDS = {
    "a call": "print(len(embeddings.embed_documents(texts)))",
    "a stream that is left": "stream = embeddings.stream_chunks(texts); print(next(stream).text)",
    "a call in a daemon": """
threading.Thread(target=embeddings.embed_documents, args=[texts], daemon=True).start()
sys.stdin.readline()
""",
    "a thread that goes on": GOES_ON.replace("CALL", "embeddings.embed_documents(long)"),
    "a stream that goes on": GOES_ON.replace("CALL", "list(embeddings.stream_chunks(iter(long)))"),
    "a call with a cache that goes on": """
import tempfile
folder = tempfile.TemporaryDirectory()
embeddings = HFEndpointEmbeddings(endpoint=embeddings.endpoint, cache=folder.name + "/cache")
"""
    + GOES_ON.replace("CALL", "embeddings.embed_documents(long), folder.cleanup()"),
    "nest_asyncio": """
import nest_asyncio
nest_asyncio.apply()
print(len(embeddings.embed_documents(texts)))
""",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_interpreter_exits_without_a_word(tei_double, end):
    if "nest_asyncio" in end:
        pytest.importorskip("nest_asyncio")
    if "stdin" in end:
        tei_double.script(*[faults.hang()] * 100)
    child = subprocess.Popen(
        [sys.executable, "-W", "always", "-c", PROGRAM + end, tei_double.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_posts(tei_double)
    _, said = child.communicate("end\n", timeout=ENOUGH)
    assert (child.returncode, said) == (0, "")
