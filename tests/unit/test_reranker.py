"""The reranker over servers that rerank: order, limits, failures, what it refuses."""

from __future__ import annotations

import pickle
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest
from langchain_core.documents import BaseDocumentCompressor, Document

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    HFEndpointReranker,
    InferenceEndpoint,
    InferenceEndpoints,
    InputError,
    ServerError,
    SettingsError,
)
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_score, faults

QUERY = "moons of Jupiter"
TEXTS = [
    "The bakery opens at six.",
    "A telescope shows the moons of Jupiter.",
    "Jupiter is a planet.",
    "Boats leave the harbour.",
]
SCORES = [expected_score(QUERY, text) for text in TEXTS]
BEST = sorted(range(4), key=lambda index: -SCORES[index])


@pytest.fixture(params=["reranker", "cohere"])
def server(request):
    with ScriptedEndpoint(shape=request.param) as server:
        yield server


@pytest.fixture
def reranker(server):
    return HFEndpointReranker(url=server.url)


def test_documents_come_in_the_order_of_their_scores(reranker):
    ranked = reranker.rerank(TEXTS, QUERY)
    assert [one["index"] for one in ranked] == BEST
    assert [one["relevance_score"] for one in ranked] == pytest.approx(sorted(SCORES)[::-1])


async def test_the_async_twin_too(reranker):
    assert await reranker.arerank(TEXTS, QUERY) == reranker.rerank(TEXTS, QUERY)


@pytest.mark.parametrize("path", ["", "/rerank", "/v1/rerank", "/v2/rerank", "/v1"])
def test_every_url_of_a_server_is_understood(server, path):
    is_cohere = server.arrivals is not None and server._serving.traits.shape == "cohere"
    if (path.startswith("/v") and not is_cohere) or (path == "/rerank" and is_cohere):
        pytest.skip("the server has no such route")
    ranked = HFEndpointReranker(url=server.url + path).rerank(TEXTS, QUERY)
    assert [one["index"] for one in ranked] == BEST


def test_what_was_learned_of_the_route_is_known_to_the_next_call(server, reranker):
    reranker.rerank(TEXTS, QUERY)
    before = len(server.requests)
    reranker.rerank(TEXTS, QUERY)
    assert len(server.requests) == before + 1


def test_top_n_is_of_the_call_then_of_the_reranker_then_of_the_endpoint(server):
    endpoint = InferenceEndpoint(url=server.url, task_type="rerank", task_settings={"top_n": 3})
    assert len(HFEndpointReranker(endpoint=endpoint).rerank(TEXTS, QUERY)) == 3
    two = HFEndpointReranker(endpoint=endpoint, top_n=2)
    assert len(two.rerank(TEXTS, QUERY)) == 2
    assert len(two.rerank(TEXTS, QUERY, top_n=1)) == 1


def test_it_is_langchains_compressor(reranker):
    assert isinstance(reranker, BaseDocumentCompressor)
    documents = [Document(text, metadata={"n": n}) for n, text in enumerate(TEXTS)]
    found = reranker.compress_documents(documents, QUERY)
    assert [one.metadata["n"] for one in found] == BEST
    assert found[0].metadata["relevance_score"] == pytest.approx(max(SCORES))
    assert "relevance_score" not in documents[BEST[0]].metadata


async def test_it_is_langchains_async_compressor(reranker):
    documents = [Document(text) for text in TEXTS]
    found = await reranker.acompress_documents(documents, QUERY)
    assert [one.page_content for one in found] == [TEXTS[index] for index in BEST]


def test_it_is_langchains_cross_encoder(reranker):
    if find_spec("langchain_core.cross_encoders") is not None:  # from langchain-core 1.3 on
        interface = import_module("langchain_core.cross_encoders").BaseCrossEncoder
        assert isinstance(reranker, interface)
    pairs = [(query, text) for text in TEXTS for query in (QUERY, "a bakery at six")]
    expected = [expected_score(query, text) for query, text in pairs]
    assert reranker.score(pairs) == pytest.approx(expected)
    assert reranker.score([]) == []


def test_many_documents_are_split_at_the_servers_limit_and_equal_ones_are_sent_once(server):
    server.configure(max_client_batch_size=8)
    texts = [f"text {number % 30}" for number in range(90)]
    ranked = HFEndpointReranker(url=server.url).rerank(texts, QUERY)
    assert len(ranked) == 90
    scores = {one["index"]: one["relevance_score"] for one in ranked}
    assert all(scores[n] == pytest.approx(expected_score(QUERY, texts[n])) for n in range(90))
    sent = [text for request in server.requests if request.status == 200 for text in request.texts]
    assert len(sent) == 30


def test_a_long_document_has_the_score_of_its_best_chunk(server):
    sentences = [f"Sentence {n} is about nothing at all." for n in range(100)]
    sentences[70] = "Here are the moons of Jupiter."
    settings = {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0}
    reranker = HFEndpointReranker(url=server.url, chunking_settings=settings)
    [one] = reranker.rerank([" ".join(sentences)], QUERY)
    assert one["relevance_score"] > 0.9
    assert len([text for request in server.requests for text in request.texts]) > 30


def test_a_bad_document_is_named_and_the_others_scores_are_kept(server):
    server.configure(rejects="poison")
    texts = [*TEXTS, "this is poison"]
    with pytest.raises(EmbeddingError) as raised:
        HFEndpointReranker(url=server.url).rerank(texts, QUERY)
    assert list(raised.value.failures) == [4]
    assert raised.value.completed == pytest.approx(dict(enumerate(SCORES)))
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert "1 of 5 texts could not be scored (texts 4)" in str(error)
        assert "The scores of the others are in .completed" in error.advice


def test_what_passes_is_retried(server, reranker):
    server.script(faults.rate_limited(retry_after=0.01), faults.server_error())
    assert [one["index"] for one in reranker.rerank(TEXTS, QUERY)] == BEST


def test_hf_serve_answers_at_the_url_itself():
    scores = b",".join(b'{"index":%d,"score":0.%d,"text":null}' % (n, n + 1) for n in (3, 1, 0, 2))
    with ScriptedEndpoint() as server:
        missing = [faults.answer(404, b'{"detail":"Not Found"}')] * 4
        server.script(*missing, path="/info")
        server.script(*missing, path="/rerank")
        server.script(*missing, path="/v1/rerank")
        server.script(faults.answer(200, b'{"scores":[%s]}' % scores), path="/")
        ranked = HFEndpointReranker(url=server.url).rerank(TEXTS, QUERY)
        sent = server.requests[-1].texts
    found = [(TEXTS[one["index"]], one["relevance_score"]) for one in ranked]
    assert found == list(zip(reversed(sent), (0.4, 0.3, 0.2, 0.1), strict=True))


@pytest.mark.parametrize(
    "body",
    [
        b'[{"index":0,"score":1.0},{"index":1,"score":1.0},{"index":2,"score":1.0}]',
        b'{"results":[{"index":0},{"index":1},{"index":2},{"index":3}]}',
        b'{"results":' + str([{"index": 0, "score": 1.0}] * 4).replace("'", '"').encode() + b"}",
        b'[{"index":0,"score":null},{"index":1,"score":1},{"index":2,"score":1},{"index":3,"score":1}]',
        b'[{"index":-1,"score":1},{"index":1,"score":1},{"index":2,"score":1},{"index":3,"score":1}]',
        b"<html>",
        b"",
    ],
)
def test_no_wrong_answer_becomes_a_score(server, body):
    broken = HFEndpointReranker(url=server.url, max_wait=0.2)
    server.script(*[faults.answer(200, body)] * 50)
    with pytest.raises(EmbeddingError):
        broken.rerank(TEXTS, QUERY)


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (
            501,
            b'{"error":{"code":501,"message":"does not support reranking"}}',
            "model that reranks",
        ),
        (200, b'[{"index":0,"score":NaN}]', "None of its scores was used"),
    ],
)
def test_what_a_server_does_wrong_is_told_in_words_of_reranking(server, status, body, advice):
    reranker = HFEndpointReranker(url=server.url, max_wait=0.2)
    server.script(*[faults.answer(status, body)] * 50)
    with pytest.raises(EmbeddingError, match=advice) as raised:
        reranker.rerank(TEXTS[:1], QUERY)
    assert "embedding" not in str(raised.value.failures[0])


def test_a_server_of_embeddings_is_told_apart():
    with ScriptedEndpoint() as server, pytest.raises((ServerError, EmbeddingError)) as raised:
        HFEndpointReranker(url=server.url).rerank(TEXTS, QUERY)
    assert "not a reranker" in str(raised.value)


def test_describe_says_what_it_is(server):
    described = InferenceEndpoint(url=server.url, task_type="rerank").describe()
    assert described.dimensions == 0


def test_nothing_is_sent_for_bad_input(server, reranker):
    for documents, query in ((["text", " "], QUERY), (["text"], " "), (["text", 3], QUERY)):
        with pytest.raises(InputError):
            reranker.rerank(documents, query)
    assert reranker.rerank([], QUERY) == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"task_settings": {"dimensions": 8}}, "task_settings.dimensions"),
        ({"task_settings": {"query_prompt": "query: "}}, "task_settings.query_prompt"),
        ({"top_n": 0}, "top_n"),
        ({"uurl": 1}, "uurl"),
        ({"task_type": "text_embedding"}, "endpoint"),
    ],
)
def test_wrong_settings_are_named(settings, field):
    with pytest.raises(SettingsError) as raised:
        HFEndpointReranker(url="https://a.example", **settings)
    assert field in dict(raised.value.problems)


def test_an_endpoint_serves_the_class_of_its_task_type_only():
    reranks = InferenceEndpoint(url="https://a.example", task_type="rerank")
    with pytest.raises(SettingsError, match="task type"):
        HFEndpointEmbeddings(endpoint=reranks)
    with pytest.raises(SettingsError, match="task type"):
        HFEndpointReranker(endpoint=InferenceEndpoint(url="https://a.example"))
    with pytest.raises(SettingsError, match="top_n"):
        InferenceEndpoint(url="https://a.example", task_settings={"top_n": 3})


def test_the_registry_has_both_kinds(server):
    with InferenceEndpoints() as endpoints:
        config = {"service": "hugging_face", "service_settings": {"url": server.url}}
        put = endpoints.put(task_type="rerank", inference_id="mine", inference_config=config)
        assert put["task_type"] == "rerank"
        assert {"dimensions", "similarity"}.isdisjoint(put["service_settings"])
        assert endpoints.get(task_type="text_embedding") == []
        assert endpoints.get(task_type="rerank") == [put]
        ranked = HFEndpointReranker(endpoint=endpoints["mine"]).rerank(TEXTS, QUERY)
    assert [one["index"] for one in ranked] == BEST


def test_a_pickle_reaches_a_worker_and_no_repr_has_the_key(server):
    reranker = HFEndpointReranker(url=server.url, api_key="hf_a-secret-of-a-test")
    assert "hf_a-secret" not in repr(reranker) + str(reranker)
    again = pickle.loads(pickle.dumps(reranker))
    assert again.rerank(TEXTS, QUERY) == reranker.rerank(TEXTS, QUERY)


@pytest.mark.parametrize("top_n", [0, -1, "2", 2.5, True])
def test_a_wrong_top_n_is_refused_before_anything_is_sent(server, reranker, top_n):
    with pytest.raises(SettingsError, match="top_n"):
        reranker.rerank(TEXTS, QUERY, top_n=top_n)
    assert server.requests == []


def test_an_integer_of_numpy_is_a_top_n(server, reranker):
    assert len(reranker.rerank(TEXTS, QUERY, top_n=np.int64(1))) == 1
    assert type(HFEndpointReranker(url=server.url, top_n=np.int64(1)).top_n) is int


def test_one_text_is_no_list_of_documents_and_an_iterator_is(server, reranker):
    for one in ("abc", b"abc", Document("abc"), None, 5):
        for call in (reranker.rerank, reranker.compress_documents):
            with pytest.raises(InputError, match="documents must be several"):
                call(one, QUERY)
        with pytest.raises(InputError, match="text_pairs must be several"):
            reranker.score(one)
    assert server.requests == []
    found = reranker.compress_documents((Document(text) for text in TEXTS), QUERY)
    assert found[0].page_content == TEXTS[BEST[0]]
    pairs = [(QUERY, text) for text in TEXTS]
    assert reranker.score(pair for pair in pairs) == reranker.score(pairs)


def test_what_is_no_document_is_named_before_anything_is_sent(server, reranker):
    with pytest.raises(InputError, match="must be a Document, not str") as raised:
        reranker.compress_documents([Document("ok"), "text"], QUERY)
    assert raised.value.index == 1
    assert server.requests == []


def test_pairs_that_fail_are_named_by_their_place_and_the_others_are_kept(server):
    server.configure(rejects="poison")
    reranker = HFEndpointReranker(url=server.url)
    pairs = [("q1", "ok"), ("q2", "fine"), ("q2", "poison"), ("q1", "also ok")]
    with pytest.raises(EmbeddingError) as raised:
        reranker.score(pairs)
    assert list(raised.value.failures) == [2]
    assert "1 of 4 texts could not be scored (texts 2)" in str(raised.value)
    assert raised.value.completed == pytest.approx(
        {index: expected_score(*pairs[index]) for index in (0, 1, 3)}
    )


@pytest.mark.parametrize(
    "pair",
    [
        ("q", " "),
        (" ", "text"),
        ("\ud800", "text"),
        (3, "text"),
        ("q",),
        ("q", "t", "t"),
        "qt",
        b"qt",
        3,
    ],
)
def test_a_bad_pair_is_named_before_anything_is_sent(server, reranker, pair):
    with pytest.raises(InputError) as raised:
        reranker.score([("q1", "ok"), pair])
    assert raised.value.index == 1
    assert server.requests == []


def test_chunks_leave_room_for_the_query_that_the_model_reads_with_them():
    with ScriptedEndpoint(shape="reranker", max_input_length=100) as server:
        auto = {"strategy": "none", "max_chunk_tokens": "auto"}
        reranker = HFEndpointReranker(url=server.url, chunking_settings=auto)
        text = " ".join(f"other{number}" for number in range(400))
        reranker.rerank([text], " ".join(["query"] * 50))
        asked = [request for request in server.requests if request.path == "/rerank"]
        sent = [text.split() for request in asked for text in request.texts]
    lengths = [len(words) for words in sent if words[0].startswith("other")]
    assert max(lengths) <= 100 - 50 - 4
    assert sum(lengths) >= 400
