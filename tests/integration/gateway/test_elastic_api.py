"""Elastic's inference API, request by request."""

from __future__ import annotations

import threading

import httpx
import pytest

from langchain_hf_endpoint import InferenceEndpoints
from langchain_hf_endpoint.chunking import chunks
from langchain_hf_endpoint.gateway import create_app
from langchain_hf_endpoint.testing import expected_vector, faults


def test_a_put_answers_with_the_endpoint_and_what_its_first_call_showed(client, config):
    answer = client.put("/_inference/text_embedding/mine", json=config())
    assert answer.status_code == 200
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    body = answer.json()
    service = body.pop("service_settings")
    assert service["dimensions"] == 384
    assert service["similarity"] == "cosine"
    assert service["rate_limit"] == {"requests_per_minute": 3000}
    assert "api_key" not in service
    assert body == {
        "inference_id": "mine",
        "task_type": "text_embedding",
        "service": "hugging_face",
        "chunking_settings": {"strategy": "sentence", "max_chunk_size": 250, "sentence_overlap": 1},
    }


def test_the_task_type_may_stand_in_the_body(client, config):
    answer = client.put("/_inference/mine", json={**config(), "task_type": "text_embedding"})
    assert answer.status_code == 200


@pytest.mark.parametrize("size", ["max_chunk_size", "max_chunking_size"])
def test_both_names_of_the_size_of_a_chunk_are_taken_and_elastics_is_answered(client, config, size):
    chunking = {"strategy": "word", size: 40, "overlap": 10}
    answer = client.put(
        "/_inference/text_embedding/m", json={**config(), "chunking_settings": chunking}
    )
    assert answer.json()["chunking_settings"] == {
        "strategy": "word",
        "max_chunk_size": 40,
        "overlap": 10,
    }


@pytest.mark.parametrize(
    "path",
    ["/_inference/b", "/_inference/text_embedding/b", "/_inference/any/b"],
)
def test_one_endpoint_is_read_by_its_name(client, put, path):
    put("a")
    put("b")
    endpoints = client.get(path).json()["endpoints"]
    assert [each["inference_id"] for each in endpoints] == ["b"]


@pytest.mark.parametrize(
    "path",
    [
        "/_inference",
        "/_inference/_all",
        "/_inference/*",
        "/_inference/text_embedding/_all",
        "/_inference/text_embedding/*",
        "/_inference/any/*",
    ],
)
def test_all_endpoints_are_read_in_the_order_of_their_names(client, put, path):
    put("b")
    put("a")
    endpoints = client.get(path).json()["endpoints"]
    assert [each["inference_id"] for each in endpoints] == ["a", "b"]


FILTERED = {
    "endpoints.inference_id": {"endpoints": [{"inference_id": "a"}, {"inference_id": "b"}]},
    "endpoints.service_settings.dim*,*.task_type": {
        "endpoints": [{"task_type": "text_embedding", "service_settings": {"dimensions": 384}}] * 2
    },
    "**.similarity": {"endpoints": [{"service_settings": {"similarity": "cosine"}}] * 2},
    "endpoints.**.strategy": {"endpoints": [{"chunking_settings": {"strategy": "sentence"}}] * 2},
    "endpoints.*,-endpoints.*_settings,-**.service": {
        "endpoints": [{"inference_id": name, "task_type": "text_embedding"} for name in ("a", "b")]
    },
    "-endpoints": {},
    "nothing.here": {},
    "endpoints.inference_id.deeper": {},
}


@pytest.mark.parametrize("wanted", FILTERED)
def test_filter_path_leaves_what_was_asked_for(client, put, wanted):
    put("b")
    put("a")
    answer = client.get("/_inference", params={"filter_path": wanted})
    assert answer.json() == FILTERED[wanted]


def test_filter_path_goes_with_any_call(client, config, put):
    only = {"filter_path": "inference_id"}
    answer = client.put("/_inference/text_embedding/new", json=config(), params=only)
    assert answer.json() == {"inference_id": "new"}
    path = put()
    answer = client.post(
        path, json={"input": "a"}, params={"filter_path": "text_embedding.nothing"}
    )
    assert answer.json() == {}
    answer = client.post(path, json={"input": "a"}, params={"filter_path": "**.embedding"})
    assert len(answer.json()["text_embedding"][0]["embedding"]) == 384
    assert client.get("/", params={"filter_path": "version.number"}).json().keys() == {"version"}
    wrong = client.post(path, json={}, params={"filter_path": "nothing"})
    assert wrong.json()["error"]["reason"]
    gone = client.delete(path, params={"filter_path": "acknowledged"})
    assert gone.json() == {"acknowledged": True}


def test_there_are_no_endpoints_of_another_task_type(client, put):
    put()
    assert client.get("/_inference/rerank/_all").json() == {"endpoints": []}


@pytest.mark.parametrize("path", ["/_inference/mine", "/_inference/text_embedding/mine"])
def test_an_inference_gives_one_vector_per_input(client, put, path):
    put()
    answer = client.post(path, json={"input": ["one", "two"]})
    rows = [each["embedding"] for each in answer.json()["text_embedding"]]
    assert rows[0] == pytest.approx(expected_vector("one", 384), abs=1e-6)
    assert rows[1] == pytest.approx(expected_vector("two", 384), abs=1e-6)
    assert (
        client.post(path, json={"input": "one"}).json()["text_embedding"][0]["embedding"] == rows[0]
    )


def test_a_long_input_is_not_chunked(client, put, tei_double):
    path = put()
    tei_double.forget()
    answer = client.post(path, json={"input": "A sentence of five words. " * 200})
    assert len(answer.json()["text_embedding"]) == 1
    assert [len(entry.texts) for entry in tei_double.requests] == [1]


def test_a_search_takes_the_prompt_of_queries(client, config, tei_double):
    prompts = {"query_prompt": "query: ", "document_prompt": "passage: "}
    client.put("/_inference/text_embedding/mine", json={**config(), "task_settings": prompts})
    tei_double.forget()
    for kind in ("search", "ingest", "clustering", None):
        body = {"input": "text", **({"input_type": kind} if kind else {})}
        assert client.post("/_inference/mine", json=body).status_code == 200
    texts = [entry.texts[0] for entry in tei_double.requests]
    assert texts == ["query: text"] + ["passage: text"] * 3


def test_task_settings_of_a_request_hold_for_it_alone(client, put):
    path = put()
    short = client.post(path, json={"input": "text", "task_settings": {"dimensions": 16}}).json()
    whole = client.post(path, json={"input": "text"}).json()
    assert len(short["text_embedding"][0]["embedding"]) == 16
    assert len(whole["text_embedding"][0]["embedding"]) == 384


def test_an_update_changes_the_rate_limit_and_keeps_the_chunking(client, config):
    chunking = {"strategy": "word", "max_chunk_size": 40, "overlap": 10}
    client.put("/_inference/text_embedding/m", json={**config(), "chunking_settings": chunking})
    change = {"service_settings": {"rate_limit": {"requests_per_minute": 60}}}
    for path in ("/_inference/m/_update", "/_inference/text_embedding/m/_update"):
        answer = client.put(path, json=change)
        assert answer.status_code == 200
        assert answer.json()["service_settings"]["rate_limit"] == {"requests_per_minute": 60}
        assert answer.json()["chunking_settings"] == chunking


def test_a_delete_is_acknowledged_and_the_endpoint_is_gone(client, put):
    path = put()
    done = {"acknowledged": True, "pipelines": [], "indexes": [], "error_message": None}
    assert client.delete(path, params={"dry_run": "true"}).json() == {**done, "acknowledged": False}
    assert client.get(path).status_code == 200
    assert client.delete(path, params={"force": "true"}).json() == done
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "resource_not_found_exception"
    assert "GET /_inference/_all lists" in answer.json()["error"]["reason"]
    assert "get()" not in answer.text
    assert client.delete(path).status_code == 404


def test_chunks_are_returned_with_offsets_and_vectors(client, config):
    chunking = {"strategy": "word", "max_chunk_size": 10, "overlap": 0}
    client.put("/_inference/text_embedding/m", json={**config(), "chunking_settings": chunking})
    text = "Über " + " ".join(f"word{number}" for number in range(24))
    answer = client.post("/_inference/text_embedding/m/_chunks", json={"input": [text, "short"]})
    first, second = answer.json()["text_embedding"]
    assert [len(each["chunks"]) for each in (first, second)] == [3, 1]
    for chunk in first["chunks"]:
        assert text[chunk["start_offset"] : chunk["end_offset"]] == chunk["text"]
        assert chunk["embedding"] == pytest.approx(expected_vector(chunk["text"], 384), abs=1e-6)


def test_chunks_are_bounded_in_the_servers_tokens_too(client, config):
    chunking = {"strategy": "sentence", "max_chunk_size": 100, "max_chunk_tokens": 10}
    put = {**config(), "chunking_settings": chunking}
    stored = client.put("/_inference/text_embedding/m", json=put).json()
    assert stored["chunking_settings"] == {**chunking, "sentence_overlap": 1}
    text = " ".join(f"word{number}" for number in range(60))
    answer = client.post("/_inference/text_embedding/m/_chunks", json={"input": text})
    (told,) = answer.json()["text_embedding"]
    sizes = [len(chunk["text"].split()) for chunk in told["chunks"]]
    assert 7 <= max(sizes) <= 10


async def test_separators_are_looked_for_beside_the_event_loop(config, monkeypatch):
    threads = []

    def cut(text, settings, bound):
        threads.append(threading.current_thread().name)
        return chunks.cut(text, settings, bound)

    monkeypatch.setattr("langchain_hf_endpoint.gateway.service.cut", cut)
    put = {**config(), "chunking_settings": {"strategy": "recursive", "max_chunk_size": 10}}
    with InferenceEndpoints() as endpoints:
        transport = httpx.ASGITransport(create_app(endpoints))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.put("/_inference/text_embedding/m", json=put)
            answer = await client.post("/_inference/m/_chunks", json={"input": "a short text"})
    assert answer.status_code == 200, answer.text
    assert [name.partition("_")[0] for name in threads] == ["gateway-cutting"]


def test_elastics_own_media_type_is_taken_and_answered(client, put):
    path = put()
    media_type = "application/vnd.elasticsearch+json;compatible-with=9"
    headers = {"content-type": media_type, "accept": media_type}
    answer = client.post(path, content=b'{"input": "text"}', headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert client.get(path).headers["content-type"] == "application/json"


def test_the_product_says_who_it_is(client):
    answer = client.get("/")
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert answer.json()["tagline"] == "You Know, for Search"
    assert client.head("/").status_code == 200


def test_pretty_is_for_people(client):
    assert client.get("/_inference?pretty").text == '{\n  "endpoints": []\n}\n'


def test_a_request_that_takes_too_long_is_broken_off(client, put, tei_double):
    path = put()
    tei_double.script(faults.hang())
    answer = client.post(path, json={"input": "text"}, params={"timeout": "50ms"})
    assert answer.status_code == 504
    assert answer.json()["error"]["reason"] == "Request timed out after [0.05s]"


def test_an_endpoint_that_fails_its_first_call_is_not_created(client, config, tei_double):
    tei_double.configure(api_key="another")
    answer = client.put("/_inference/text_embedding/mine", json=config())
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert "validation call" in error["reason"]
    assert error["caused_by"]["type"] == "authentication_error"
    assert client.get("/_inference/mine").status_code == 404


def test_an_id_that_is_in_use_is_refused_before_anything_is_sent(client, put, config, tei_double):
    path = put()
    tei_double.forget()
    answer = client.put(path, json=config())
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "resource_already_exists_exception"
    assert "PUT /_inference/<id>/_update" in answer.json()["error"]["reason"]
    assert "update()" not in answer.text
    assert tei_double.arrivals == []


def test_an_input_that_the_server_rejects_is_named(client, put, tei_double):
    path = put()
    tei_double.configure(rejects="☠")
    answer = client.post(path, json={"input": ["good", "☠"]})
    assert answer.status_code == 400
    assert [each["index"] for each in answer.json()["error"]["failures"]] == [1]
    assert "☠" not in answer.text


def test_numbers_keep_the_digits_that_the_server_gave_them(client, put, tei_double):
    path = put(dialect="hugging_face")
    row = [0.12345678901234567, *[0.1] * 383]
    tei_double.script(faults.answer(200, [row]))
    answer = client.post(path, json={"input": "text"})
    assert answer.json()["text_embedding"][0]["embedding"] == row


def test_a_servers_own_status_below_500_is_passed_on_and_others_are_400(client, put, tei_double):
    path = put(max_wait=0.0, dialect="hugging_face")  # of one route
    for status, answered in ((402, 402), (429, 429), (500, 400), (503, 400)):
        tei_double.script(faults.answer(status))
        assert client.post(path, json={"input": "text"}).status_code == answered


def test_a_redirect_is_not_followed(client, config, tei_double):
    location = {"location": f"{tei_double.url}/embed"}
    tei_double.script(*[faults.answer(307, headers=location)] * 10)
    answer = client.put("/_inference/text_embedding/mine", json=config(dialect="hugging_face"))
    assert answer.status_code == 400
    assert [entry.status for entry in tei_double.requests] == [307]
