"""A call that expects a model refuses another, before its first vector and after failures."""

import asyncio

import httpx
import numpy as np
import pytest
from scripted_server import (
    WIDTH,
    answer,
    failing,
    inputs_of,
    vector,
    vectors,
)

from langchain_hf_endpoint import HFEndpointEmbeddings, ModelChangedError, TransportError
from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint

CANARY = list(TEXTS)
KEPT = ModelFingerprint.of(np.array([vector(text) for text in TEXTS], np.float32))
NOT_READY = answer(503, {"error": "503 Service Unavailable"})


def another_model(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=[vector(f"another {text}") for text in inputs_of(request)])


@pytest.fixture
def expecting(make):
    """Embeddings that expect the scripted server's model."""

    def expecting(kept: ModelFingerprint = KEPT, **settings: object) -> HFEndpointEmbeddings:
        endpoint = make(**settings).endpoint.expecting(kept)
        return HFEndpointEmbeddings(endpoint=endpoint)

    return expecting


@pytest.fixture(autouse=True)
def _no_time_passes(clock):
    """Pauses are over at once."""


def test_the_model_is_asked_for_once_before_the_first_text(expecting, server, drive):
    server.behave(vectors)
    embeddings = expecting()
    assert drive.documents(embeddings, ["one", "two"]) == [vector("one"), vector("two")]
    assert drive.query(embeddings, "three") == vector("three")
    # What shows the model travels with several texts; one alone is not delayed by it.
    assert server.batches == [CANARY, ["one", "two", TEXTS[0]], ["three"]]


def test_without_a_fingerprint_nothing_more_is_sent(make, server, drive):
    server.script(failing(httpx.ReadError), vectors, vectors)
    embeddings = make()
    drive.documents(embeddings, ["one"])
    drive.query(embeddings, "two")
    assert server.batches == [["one"], ["one"], ["two"]]


def test_another_model_is_refused_before_a_text_is_sent(expecting, server, drive):
    server.behave(another_model)
    embeddings = expecting()
    with pytest.raises(ModelChangedError, match="another model") as caught:
        drive.documents(embeddings, ["one"])
    assert caught.value.host == "embed.example.org"
    assert caught.value.completed == {}
    with pytest.raises(ModelChangedError):
        drive.query(embeddings, "two")
    with pytest.raises(ModelChangedError):
        drive.stream(embeddings, ["three"])
    assert set(map(tuple, server.batches)) == {TEXTS}


def test_other_dimensions_are_refused(expecting, server, drive):
    server.behave(vectors)
    wide = ModelFingerprint.of(np.ones((3, WIDTH + 1), np.float32))
    with pytest.raises(ModelChangedError, match="16 dimensions"):
        drive.query(expecting(wide), "two")


def test_prompts_have_no_part_in_it(expecting, server, drive):
    server.behave(vectors)
    prompts = {"query_prompt": "query: ", "document_prompt": "passage: "}
    embeddings = expecting(task_settings=prompts)
    drive.documents(embeddings, ["one"])
    drive.query(embeddings, "two")
    assert server.batches == [CANARY, ["passage: one"], ["query: two"]]


@pytest.mark.parametrize(
    "failure", [failing(httpx.ReadError), failing(httpx.ConnectError), NOT_READY]
)
def test_after_a_failure_the_model_is_asked_for_again(expecting, server, drive, failure):
    embeddings = expecting()
    server.script(vectors, vectors, failure, vectors, vectors, vectors)
    for text in ("one", "two", "three"):
        assert drive.query(embeddings, text) == vector(text)
    assert server.batches == [CANARY, ["one"], ["two"], ["two"], CANARY, ["three"]]


@pytest.mark.parametrize("failure", [failing(httpx.ReadError), NOT_READY])
def test_what_a_server_that_was_replaced_answers_is_not_handed_out(
    expecting, server, drive, failure
):
    embeddings = expecting(max_batch_size=1, max_concurrent_requests=1)
    server.script(vectors, vectors, failure)
    server.behave(another_model)
    with pytest.raises(ModelChangedError) as caught:
        drive.documents(embeddings, ["the longest", "shorter", "short"])
    assert {0: vector("the longest"), **caught.value.completed} == {0: vector("the longest")}
    assert {1, 2} <= set(caught.value.failures)
    assert server.batches.count(CANARY[:1]) == 2


def test_a_stream_ends_where_the_server_was_replaced(expecting, server, drive):
    embeddings = expecting(max_batch_size=1, max_concurrent_requests=1)
    server.script(vectors, vectors, failing(httpx.ReadError))
    server.behave(another_model)
    out = []
    with pytest.raises(ModelChangedError):
        drive.stream(embeddings, ["the longest", "shorter"], each=out.append)
    assert all(np.array_equal(chunk.embedding, vector("the longest")) for chunk in out)


def test_a_reply_that_came_between_the_failure_and_the_answer_waits_for_it(expecting, server):
    """Of two queries one meets the failure; the other's vector is of the new model already."""
    embeddings = expecting()
    server.script(vectors)
    server.behave(vectors)
    embeddings.embed_query("first")

    async def both() -> list[object]:
        answers = {"slow": another_model, "failed": failing(httpx.ReadError)}

        def reply(request: httpx.Request) -> httpx.Response:
            (text, *_) = inputs_of(request)
            return answers.pop(text, another_model)(request)

        server.behave(reply)
        asked = map(embeddings.aembed_query, ("failed", "slow"))
        return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(both())
    assert [type(result) for result in results] == [ModelChangedError] * 2


def test_while_the_model_cannot_be_told_nothing_is_handed_out(expecting, server, drive):
    embeddings = expecting(max_wait=1)
    server.script(vectors, failing(httpx.ReadError), vectors)
    server.behave(failing(httpx.ReadError))
    with pytest.raises(TransportError):
        drive.query(embeddings, "one")


def test_a_described_endpoint_needs_no_further_request(make, server, drive):
    server.behave(vectors)
    endpoint = make().endpoint
    told = drive.describe(endpoint)
    kept = ModelFingerprint.from_bytes(bytes.fromhex(told.fingerprint))
    assert kept.matches(KEPT)
    assert "fingerprint" not in repr(told)
    embeddings = HFEndpointEmbeddings(endpoint=endpoint.expecting(kept))
    assert drive.query(embeddings, "one") == vector("one")
    assert server.batches == [[TEXTS[0]], ["one"]]
