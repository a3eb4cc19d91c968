"""Reranking through the gateway: Elastic's API by its client, Cohere's shape, TEI's, our class."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from pathlib import Path

import httpx
import pytest
from elasticsearch import BadRequestError, Elasticsearch
from gateway_child import GatewayChild
from javascript import run_node

from langchain_hf_endpoint import HFEndpointReranker, InferenceEndpoints
from langchain_hf_endpoint.gateway import create_app, service
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_score

QUERY = "moons of Jupiter"
TEXTS = ["The bakery opens at six.", "The moons of Jupiter.", "Jupiter is a planet."]
SCORES = [expected_score(QUERY, text) for text in TEXTS]
BEST = [1, 2, 0]


@pytest.fixture(scope="module", params=["reranker", "cohere"])
def server(request):
    with ScriptedEndpoint(shape=request.param) as server:
        yield server


@pytest.fixture
def elastic(gateway):
    with Elasticsearch(gateway.url, api_key="none") as elastic:
        yield elastic


@pytest.fixture
def name(client, server):
    name = f"rerank-{uuid.uuid4().hex[:8]}"
    settings = {"url": server.url, "api_key": f"hf_{uuid.uuid4().hex}"}
    config = {"service": "hugging_face", "service_settings": settings}
    answer = client.put(f"/_inference/rerank/{name}", json=config)
    assert answer.status_code == 200, answer.text
    return name


def test_elastics_client_creates_reads_and_asks(elastic, server):
    name = f"elastic-{uuid.uuid4().hex[:8]}"
    put = elastic.inference.put(
        task_type="rerank",
        inference_id=name,
        inference_config={
            "service": "hugging_face",
            "service_settings": {"api_key": "<access_token>", "url": server.url},
            "task_settings": {"return_documents": True, "top_n": 3},
        },
    )
    assert put["task_type"] == "rerank"
    assert put["task_settings"] == {"return_documents": True, "top_n": 3}
    assert elastic.inference.get(task_type="rerank", inference_id=name)["endpoints"] == [put.body]
    answer = elastic.inference.rerank(inference_id=name, query=QUERY, input=TEXTS)
    assert [one["index"] for one in answer["rerank"]] == BEST
    assert [one["text"] for one in answer["rerank"]] == [TEXTS[index] for index in BEST]
    found = [one["relevance_score"] for one in answer["rerank"]]
    assert found == pytest.approx([SCORES[index] for index in BEST])
    short = elastic.inference.inference(
        inference_id=name, query=QUERY, input=TEXTS, task_settings={"top_n": 1}
    )
    assert [one["index"] for one in short["rerank"]] == BEST[:1]
    elastic.inference.delete(inference_id=name)


def test_elastics_javascript_client_creates_and_asks(gateway, client, server):
    said = run_node(
        Path(__file__).parent / "elastic_rerank.cjs",
        "@elastic/elasticsearch@9",
        GATEWAY_URL=gateway.url,
        ENDPOINT_URL=server.url,
        INFERENCE_ID=f"javascript-{uuid.uuid4().hex[:8]}",
        QUERY=QUERY,
        TEXTS=json.dumps(TEXTS),
    )
    assert said["put"]["task_type"] == "rerank"
    assert [one["text"] for one in said["all"]["rerank"]] == [TEXTS[index] for index in BEST]
    found = [one["relevance_score"] for one in said["all"]["rerank"]]
    assert found == pytest.approx([SCORES[index] for index in BEST])
    assert [one["index"] for one in said["best"]["rerank"]] == BEST[:2]
    assert not any("text" in one for one in said["best"]["rerank"])
    assert said["refused"]["status"] == 400
    assert "text 1" in said["refused"]["reason"]


def test_a_reranker_makes_no_embeddings_and_the_other_way_round(elastic, client, name, put):
    with pytest.raises(BadRequestError, match="Incompatible task_type"):
        elastic.inference.text_embedding(inference_id=name, input="text")
    put("mine")
    with pytest.raises(BadRequestError, match="Incompatible task_type"):
        elastic.inference.rerank(inference_id="mine", query=QUERY, input=TEXTS)
    answers = [
        client.post("/v1/embeddings", json={"model": name, "input": "text"}),
        client.post("/v1/rerank", json={"model": "mine", "query": QUERY, "documents": TEXTS}),
        client.post(f"/_inference/{name}/_chunks", json={"input": "text"}),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert all("Incompatible task_type" in answer.text for answer in answers)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_the_shape_of_coheres_api(client, name, path):
    body = {"model": name, "query": QUERY, "documents": [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]]}
    results = client.post(path, json={**body, "top_n": 2}).json()["results"]
    assert [one["index"] for one in results] == BEST[:2]
    results = client.post(path, json={**body, "return_documents": True}).json()["results"]
    assert [one["document"]["text"] for one in results] == [TEXTS[index] for index in BEST]


def test_teis_own_route(gateway, name):
    url = f"{gateway.url}/tei/{name}"
    asked = {"query": QUERY, "texts": TEXTS, "return_text": True}
    found = httpx.post(f"{url}/rerank", json=asked).json()
    assert [(one["index"], one["text"]) for one in found] == [(n, TEXTS[n]) for n in BEST]
    assert "reranker" in httpx.get(f"{url}/info").json()["model_type"]


@pytest.mark.parametrize("path", ["/tei/{}", "/tei/{}/rerank", "/v1"])
def test_our_own_class_takes_the_gateways_urls(gateway, name, path):
    reranker = HFEndpointReranker(url=gateway.url + path.format(name), model=name)
    assert [one["index"] for one in reranker.rerank(TEXTS, QUERY)] == BEST


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/_inference/{}", {"input": TEXTS}, "query"),
        ("/_inference/{}", {"input": TEXTS, "query": " "}, "blank"),
        ("/_inference/{}", {"input": [], "query": QUERY}, "empty"),
        ("/_inference/{}", {"input": ["a", " "], "query": QUERY}, "blank"),
        ("/_inference/{}", {"input": TEXTS, "query": QUERY, "top_n": 0}, "top_n"),
        ("/_inference/{}", {"input": TEXTS, "query": QUERY, "task_settings": 3}, "task_settings"),
        ("/v1/rerank", {"model": "{}", "documents": TEXTS}, "query"),
        ("/v1/rerank", {"model": "{}", "query": QUERY, "documents": []}, "documents"),
        ("/v1/rerank", {"model": "{}", "query": QUERY, "documents": [1]}, "documents"),
        ("/v1/rerank", {"model": "{}", "query": QUERY, "documents": TEXTS, "top_n": "2"}, "top_n"),
        ("/v1/rerank", {"query": QUERY, "documents": TEXTS}, "model"),
        ("/tei/{}/rerank", {"query": QUERY, "texts": []}, "empty"),
        ("/tei/{}/rerank", {"query": QUERY, "texts": "a"}, "texts"),
        ("/tei/{}/rerank", {"query": QUERY, "texts": [1]}, "string"),
        ("/tei/{}/rerank", {"query": QUERY, "texts": TEXTS, "raw_scores": True}, "raw_scores"),
        ("/tei/{}/rerank", {"query": "\ud800", "texts": TEXTS}, ""),
        ("/tei/{}/rerank", {"query": QUERY, "texts": TEXTS, "truncate": "yes"}, "truncate"),
        ("/tei/{}/rerank", {"query": QUERY, "texts": TEXTS, "return_text": "no"}, "return_text"),
        (
            "/tei/{}/rerank",
            {"query": QUERY, "texts": TEXTS, "truncation_direction": "left"},
            "truncation_direction",
        ),
        (
            "/v1/rerank",
            {"model": "{}", "query": QUERY, "documents": TEXTS, "return_documents": "false"},
            "return_documents",
        ),
        (
            "/_inference/{}",
            {"input": TEXTS, "query": QUERY, "task_settings": {"dimensions": 8}},
            "task_settings.dimensions",
        ),
        ("/_inference/{}", {"input": ["a " * 150_000], "query": QUERY, "top_n": 0}, "top_n"),
    ],
)
def test_bad_input_is_refused_in_the_shape_of_the_api(client, name, path, body, words):
    body = {key: name if value == "{}" else value for key, value in body.items()}
    answer = client.post(
        path.format(name),
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    assert 400 <= answer.status_code < 500
    assert words in answer.text
    assert client.get("/health").status_code == 200


def test_a_document_that_fails_is_named(client, server, name):
    server.configure(rejects="poison")
    try:
        body = {"input": [*TEXTS, "poison"], "query": QUERY}
        answer = client.post(f"/_inference/{name}", json=body)
    finally:
        server.configure(rejects="")
    assert answer.status_code in (400, 422)
    assert [one["index"] for one in answer.json()["error"]["failures"]] == [3]


def test_errors_below_v2_have_the_shape_of_those_below_v1(client, name):
    body = {"model": name, "query": QUERY, "documents": []}
    answers = [client.post(path, json=body).json() for path in ("/v1/rerank", "/v2/rerank")]
    assert answers[0] == answers[1]
    assert answers[0]["error"]["type"] == "invalid_request_error"


def test_a_request_of_too_many_chunks_is_refused(client, server):
    name = f"rerank-{uuid.uuid4().hex[:8]}"
    config = {
        "service": "hugging_face",
        "service_settings": {"url": server.url, "api_key": f"hf_{uuid.uuid4().hex}"},
        "chunking_settings": {"strategy": "word", "max_chunk_size": 10, "overlap": 0},
    }
    assert client.put(f"/_inference/rerank/{name}", json=config).status_code == 200
    text = "words " * 170_000
    answer = client.post(f"/_inference/{name}", json={"input": [text], "query": QUERY})
    assert answer.status_code == 400
    assert "chunks" in answer.text


@pytest.mark.parametrize(("max_inputs", "status", "counts"), [(2048, 200, False), (1, 400, True)])
async def test_the_chunks_of_a_rerank_are_counted_only_where_they_may_be_too_many(
    server, monkeypatch, max_inputs, status, counts
):
    texts, cut = [], service.cut
    monkeypatch.setattr(service, "cut", lambda *args: texts.append(args[0]) or cut(*args))
    mine = {"service": "hugging_face", "service_settings": {"url": server.url}}
    with InferenceEndpoints() as endpoints:
        endpoints.put(task_type="rerank", inference_id="mine", inference_config=mine)
        transport = httpx.ASGITransport(create_app(endpoints, max_inputs=max_inputs))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as caller:
            asked = {"input": ["The moons of Jupiter. " * 3000], "query": QUERY}
            answer = await caller.post("/_inference/rerank/mine", json=asked)
    assert (answer.status_code, bool(texts)) == (status, counts), answer.text


async def test_more_reranks_than_may_wait_are_refused(tmp_path):
    with (
        ScriptedEndpoint(shape="reranker", seconds_per_request=0.5) as server,
        GatewayChild(tmp_path / "log", max_queue=3) as gateway,
    ):
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as caller:
            settings = {"url": server.url, "api_key": "hf_of_a_test"}
            config = {"service": "hugging_face", "service_settings": settings}
            await caller.put("/_inference/rerank/mine", json=config)
            asked = {"input": TEXTS, "query": QUERY}
            answers = await asyncio.gather(
                *(caller.post("/_inference/mine", json=asked) for _ in range(10))
            )
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 3, 429: 7}
    assert {answer.headers.get("Retry-After") for answer in answers} == {None, "1"}
