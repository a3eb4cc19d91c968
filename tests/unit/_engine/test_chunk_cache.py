"""Which model a cached vector is of: swaps before, between and within calls, and noise."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from langchain_core.stores import InMemoryByteStore
from scripted_server import failing, inputs_of, numbered, vector, vectors

from langchain_hf_endpoint import ChunkCache, HFEndpointEmbeddings, ModelChangedError
from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint
from langchain_hf_endpoint._session.session import close_sessions

CANARY = list(TEXTS)
PROOF = TEXTS[0]
KEPT = ModelFingerprint.of(np.array([vector(text) for text in TEXTS], np.float32))


def another_model(request):
    return httpx.Response(200, json=[vector(f"another {text}") for text in inputs_of(request)])


def quantised(request):
    """The same model in another precision: a cosine of 0.998."""
    noise = 0.06 * np.array(vector("noise"))
    rows = [np.array(vector(text)) + noise for text in inputs_of(request)]
    return httpx.Response(200, json=[(row / np.linalg.norm(row)).tolist() for row in rows])


@pytest.fixture(autouse=True)
def _no_time_passes(clock):
    """Pauses are over at once."""


@pytest.fixture
def store():
    return InMemoryByteStore()


def of(model, text):
    return vector(text if model is vectors else f"another {text}")


def test_another_model_of_the_same_width_begins_anew_and_the_first_finds_its_own(
    make, server, drive, store
):
    sent = []
    for model in (vectors, another_model, vectors, another_model):
        server.behave(model)
        before = len(server.batches)
        assert drive.documents(make(cache=store), ["one", "two"]) == [
            of(model, "one"),
            of(model, "two"),
        ]
        sent.append(server.batches[before:])
        close_sessions()  # another process
    assert sent == [[CANARY, ["one", "two", PROOF]]] * 2 + [[CANARY]] * 2


def test_a_model_whose_vectors_differ_a_little_finds_those_kept(make, server, drive, store):
    server.behave(vectors)
    drive.documents(make(cache=store), ["one"])
    close_sessions()
    server.behave(quantised)
    assert drive.documents(make(cache=store), ["one"]) == [vector("one")]
    assert server.batches == [CANARY, ["one", PROOF], CANARY]


def test_a_model_that_changes_within_a_call_ends_it_and_the_next_call_begins_anew(
    make, server, drive, store
):
    server.script(vectors, vectors, failing(httpx.ReadError))
    server.behave(another_model)
    embeddings = make(cache=store)
    assert drive.documents(embeddings, ["one"]) == [vector("one")]
    with pytest.raises(ModelChangedError):
        drive.documents(embeddings, ["one", "two"])
    for _ in range(2):
        found = drive.documents(embeddings, ["one", "two"])
        assert found == [of(another_model, "one"), of(another_model, "two")]
    assert server.batches == [
        CANARY,
        ["one", PROOF],
        ["two", PROOF],
        ["two", PROOF],
        CANARY,
        ["one", "two", PROOF],
    ]
    close_sessions()
    server.behave(vectors)
    assert drive.documents(make(cache=store), ["one", "two"]) == [vector("one"), vector("two")]
    assert server.batches[-2:] == [CANARY, ["two", PROOF]]


def test_an_expected_model_is_insisted_on(make, server, drive, store):
    server.behave(another_model)
    endpoint = make().endpoint.expecting(KEPT)
    embeddings = HFEndpointEmbeddings(endpoint=endpoint, cache=ChunkCache(store, queries=True))
    for _ in range(2):
        with pytest.raises(ModelChangedError):
            drive.documents(embeddings, ["one"])
        with pytest.raises(ModelChangedError):
            drive.query(embeddings, "one")
    assert not store.store


def test_a_server_that_does_not_show_its_model_is_not_trusted_with_what_is_kept(
    make, server, drive, store
):
    server.behave(vectors)
    drive.documents(make(cache=store), ["one"])
    close_sessions()
    server.behave(failing(httpx.ReadError))
    with pytest.raises(Exception, match="it broke"):
        drive.documents(make(cache=store, max_wait=1), ["one"])


def test_many_models_share_a_store(make, server, drive, store):
    for number in range(5):

        def model(request, number=number):
            rows = [vector(f"{number} {text}") for text in inputs_of(request)]
            return httpx.Response(200, json=rows)

        server.behave(model)
        for _ in range(2):
            assert drive.documents(make(cache=store), ["one"]) == [vector(f"{number} one")]
            close_sessions()
    assert len(server.batches) == 5 * 3
    assert sum("models" in key for key in store.yield_keys()) == 5


def test_each_batch_is_kept_before_it_comes_out_of_a_stream(make, server, store):
    server.behave(vectors)
    embeddings = make(cache=store, max_batch_size=4, max_concurrent_requests=1)
    for number, chunk in enumerate(embeddings.stream_chunks(numbered(40))):
        kept = sum("models" not in key for key in store.yield_keys())
        assert kept > number, chunk


def test_what_was_received_is_kept_although_the_call_fails(make, server, drive, store):
    server.script(vectors, vectors, vectors)
    server.behave(lambda _request: httpx.Response(402))
    embeddings = make(cache=store, max_batch_size=4, max_concurrent_requests=1)
    with pytest.raises(Exception, match="402"):
        drive.documents(embeddings, numbered(20))
    server.behave(vectors)
    before = len(server.batches)
    drive.documents(embeddings, numbered(20))
    sent = [text for batch in server.batches[before:] for text in batch if text not in TEXTS]
    assert len(sent) == 14  # two batches of three and a proof were answered


def test_a_slow_store_does_not_block_the_loop(make, server):
    """An async call awaits the store's own async methods."""
    server.behave(vectors)
    used = []

    class AsyncStore(InMemoryByteStore):
        def mget(self, keys):
            raise AssertionError("blocks the loop")

        mset = mget

        async def amget(self, keys):
            used.append("amget")
            return [self.store.get(key) for key in keys]

        async def amset(self, key_value_pairs):
            used.append("amset")
            self.store.update(key_value_pairs)

    embeddings = make(cache=AsyncStore())
    for _ in range(2):
        assert asyncio.run(embeddings.aembed_documents(["one"])) == [vector("one")]
    assert len(server.batches) == 2
    assert {"amget", "amset"} == set(used)


def test_a_slow_store_in_one_loop_holds_up_no_other_loop(make, server):
    server.behave(vectors)
    begun, may_go_on = threading.Semaphore(0), threading.Event()

    class SlowStore(InMemoryByteStore):
        def mget(self, keys):
            begun.release()
            assert may_go_on.wait(30)
            return super().mget(keys)

    async def many():
        slow = make(cache=SlowStore())
        await asyncio.gather(*(slow.aembed_documents([text]) for text in numbered(40)))

    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(asyncio.run, many())
        assert begun.acquire(timeout=30)

        class OtherStore(InMemoryByteStore):
            """None with async methods of its own either."""

        try:
            embeddings = make(cache=OtherStore())
            assert asyncio.run(embeddings.aembed_documents(["one"])) == [vector("one")]
            assert not waiting.done()
        finally:
            may_go_on.set()
        waiting.result(30)


@pytest.mark.parametrize("queries", [False, True])
def test_one_chunk_of_another_model_is_neither_handed_out_nor_kept(
    make, server, drive, store, queries
):
    server.script(vectors, vectors, another_model)
    server.behave(vectors)
    embeddings = make(cache=ChunkCache(store, queries=queries))
    embed = drive.query if queries else (lambda made, text: drive.documents(made, [text])[0])
    assert embed(embeddings, "first") == vector("first")
    with pytest.raises(ModelChangedError):
        embed(embeddings, "one")
    assert embed(embeddings, "one") == vector("one")
    close_sessions()
    assert embed(make(cache=ChunkCache(store, queries=queries)), "one") == vector("one")


@pytest.mark.parametrize("inputs", [1, 2])
def test_after_a_model_has_changed_unseen_the_next_call_begins_anew(
    make, server, drive, store, inputs
):
    texts = numbered(inputs)
    server.script(vectors, vectors)
    server.behave(another_model)
    embeddings = make(cache=store)
    drive.documents(embeddings, ["first"])
    with pytest.raises(ModelChangedError):
        drive.documents(embeddings, texts)
    assert drive.documents(embeddings, texts) == [of(another_model, text) for text in texts]


@pytest.mark.parametrize(
    "choices", [{"max_batch_size": 1}, {"task_settings": {"document_prompt_name": "doc"}}]
)
def test_what_no_proof_can_go_with_comes_out_and_is_not_kept(
    make, server, drive, store, choices, caplog
):
    server.behave(vectors)
    cache = ChunkCache(store)
    for _ in range(2):
        assert drive.documents(make(cache=cache, **choices), ["one"]) == [vector("one")]
    (said,) = caplog.messages
    assert "keeps nothing of requests" in said
    assert [batch for batch in server.batches if "one" in batch] == [["one"]] * 2
    assert all("models" in key for key in store.yield_keys())


@pytest.mark.parametrize("status", [413, 422, 424, 500])
def test_one_input_that_is_too_much_together_with_the_proof_goes_alone_and_is_not_kept(
    make, server, drive, store, status
):
    def narrow(request):
        texts = inputs_of(request)
        is_too_much = "long" in texts and len(texts) > 1
        return httpx.Response(status, json={"error": "no"}) if is_too_much else vectors(request)

    server.behave(narrow)
    embeddings = make(cache=store)
    for _ in range(2):
        assert drive.documents(embeddings, ["long"]) == [vector("long")]
        assert [batch for batch in server.batches if "long" in batch][-1] == ["long"]
    assert drive.documents(embeddings, ["short"]) == drive.documents(embeddings, ["short"])
    assert server.batches[-1] == ["short", PROOF]


def test_where_a_request_takes_one_input_only_nothing_is_kept(make, server, drive, store):
    def narrow(request):
        if len(inputs_of(request)) == 1:
            return vectors(request)
        return httpx.Response(422, json={"error": "batch size 2 > maximum allowed batch size 1"})

    server.behave(narrow)
    embeddings = make(cache=store)
    for _ in range(2):
        assert drive.documents(embeddings, ["one"]) == [vector("one")]
    assert server.batches[-2:] == [["one"], ["one"]]
