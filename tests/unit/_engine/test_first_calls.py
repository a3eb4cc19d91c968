"""Many first calls at once: one asks the server what it is, the others wait for the answer."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from scripted_server import INFO, URL, answer, failing, numbered, vector, vectors

from langchain_hf_endpoint import EndpointNotReadyError
from langchain_hf_endpoint._session.session import session_for

TEXTS = numbered(40)


@pytest.fixture
def embeddings(make):
    return make(dialect="auto")


def _waiting(embeddings):
    return repr(session_for(embeddings.endpoint.service_settings).discovery_lock)


def _when(embeddings, waiting, reply):
    """This answer, when so many wait."""

    def serve(request):
        deadline = time.monotonic() + 30
        while f"{waiting} waiting" not in _waiting(embeddings) and time.monotonic() < deadline:
            time.sleep(0.001)
        return reply(request)

    return serve


def _awhen(embeddings, waiting, reply):
    async def serve(request):
        return await asyncio.to_thread(_when(embeddings, waiting, reply), request)

    return serve


def _asked(server):
    return server.asked.count("GET /info")


NOTHING = answer(404)


def test_tasks_ask_once(server, embeddings):
    server.script(_awhen(embeddings, 39, NOTHING))
    server.behave(vectors)

    async def all_at_once():
        return await asyncio.gather(*map(embeddings.aembed_query, TEXTS))

    assert asyncio.run(all_at_once()) == [vector(text) for text in TEXTS]
    assert _asked(server) == 1


def test_threads_ask_once(server, embeddings):
    server.script(_when(embeddings, 15, NOTHING))
    server.behave(vectors)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(embeddings.embed_query, TEXTS[:16]))
    assert found == [vector(text) for text in TEXTS[:16]]
    assert _asked(server) == 1


def test_threads_and_tasks_of_several_loops_ask_once(server, embeddings):
    server.behave(vectors)
    server.script(_when(embeddings, 20, NOTHING))
    found = {}

    def in_a_loop(texts):
        async def all_at_once():
            return await asyncio.gather(*map(embeddings.aembed_query, texts))

        found.update(zip(texts, asyncio.run(all_at_once()), strict=True))

    def in_a_thread(text):
        found[text] = embeddings.embed_query(text)

    first = threading.Thread(target=in_a_thread, args=TEXTS[:1])
    first.start()
    while not server.requests:
        time.sleep(0.001)
    threads = [threading.Thread(target=in_a_loop, args=[TEXTS[n : n + 6]]) for n in (1, 7)]
    threads += [threading.Thread(target=in_a_thread, args=[text]) for text in TEXTS[13:21]]
    for thread in threads:
        thread.start()
    for thread in [first, *threads]:
        thread.join()
    assert found == {text: vector(text) for text in TEXTS[:21]}
    assert _asked(server) == 1


def test_the_others_go_on_where_the_one_who_asks_is_cancelled(server, embeddings):
    asked = threading.Event()

    async def never(_request):
        asked.set()
        await asyncio.sleep(3600)

    server.script(never)
    server.behave(vectors)

    async def all_at_once():
        first = asyncio.create_task(embeddings.aembed_query("first"))
        await asyncio.to_thread(asked.wait, 30)
        others = [asyncio.create_task(embeddings.aembed_query(text)) for text in TEXTS]
        while "40 waiting" not in _waiting(embeddings):  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0.001)
        first.cancel()
        return await asyncio.gather(*others)

    assert asyncio.run(all_at_once()) == [vector(text) for text in TEXTS]
    assert _asked(server) == 2


def test_a_blocking_call_within_the_loop_whose_task_asks_does_not_wait_for_it(server, embeddings):
    async def never(_request):
        await asyncio.sleep(3600)

    async def call_within():
        first = asyncio.create_task(embeddings.aembed_query("first"))
        while not server.requests:  # noqa: ASYNC110 - no event says so
            await asyncio.sleep(0.001)
        found = embeddings.embed_query("one text")
        first.cancel()
        return found

    server.script(never)
    server.behave(vectors)
    assert asyncio.run(call_within()) == vector("one text")


def test_who_waits_gets_the_error_too_and_who_comes_later_asks_again(server, make):
    embeddings = make(dialect="auto", max_wait=0.0)
    server.script(_awhen(embeddings, 39, answer(503)))

    async def all_at_once():
        calls = map(embeddings.aembed_query, TEXTS)
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = asyncio.run(all_at_once())
    assert {type(error) for error in errors} == {EndpointNotReadyError}
    assert len(set(map(id, errors))) == 40
    assert server.asked == ["GET /info"]
    server.behave(vectors)
    assert embeddings.embed_query("one text") == vector("one text")
    assert _asked(server) == 2


def test_what_is_learned_holds_for_all(server, embeddings):
    info = {"model_id": "intfloat/e5-small-v2", "model_type": {"embedding": {}}, "version": "1.9"}
    reply = lambda _request: httpx.Response(200, json=info)  # noqa: E731
    server.script(_awhen(embeddings, 39, reply))
    server.behave(vectors)

    async def all_at_once():
        return await asyncio.gather(*map(embeddings.aembed_query, TEXTS))

    assert asyncio.run(all_at_once()) == [vector(f"query: {text}") for text in TEXTS]


def _tei(request):
    """What shows at OpenAI's route too that it is TEI."""
    reply = vectors(request)
    reply.headers["x-compute-type"] = "cpu"
    return reply


@pytest.mark.parametrize(
    ("info", "times"),
    [
        (NOTHING, 1),
        (answer(403, "<html>"), 1),
        (answer(429), 3),
        (answer(503), 3),
        (failing(httpx.ReadTimeout), 3),
    ],
    ids=["404", "403", "429", "503", "no answer"],
)
def test_what_has_come_is_kept_whatever_a_tei_says_to_what_it_is(drive, server, make, info, times):
    """At OpenAI's route a server is asked when a reply has shown that it is TEI."""

    server.script(*[_tei, info] * times)
    server.behave(_tei)
    embeddings = make(f"{URL}/v1/embeddings", dialect="auto")
    for text in TEXTS[:5]:
        assert drive.documents(embeddings, [text]) == [vector(text)]
    assert len(server.batches) == 5
    assert _asked(server) == times


def test_a_tei_that_had_no_time_at_first_is_asked_again_until_it_has_said_what_it_is(
    drive, server, make
):
    server.script(_tei, answer(503), _tei, answer(200, INFO))
    server.behave(_tei)
    embeddings = make(f"{URL}/v1/embeddings", dialect="auto")
    for text in TEXTS[:5]:
        assert drive.documents(embeddings, [text]) == [vector(text)]
    assert _asked(server) == 2
