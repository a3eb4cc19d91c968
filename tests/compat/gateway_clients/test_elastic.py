"""The seed's three snippets, and what comes after them, with clients that we did not write."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elasticsearch import AsyncElasticsearch, BadRequestError, Elasticsearch, NotFoundError
from gateway_child import GatewayChild
from javascript import run_node

from langchain_hf_endpoint import HFEndpointEmbeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hf_endpoint.local import LocalServer

HERE = Path(__file__).parent
JS_CLIENT = "@elastic/elasticsearch@9"
ID = "hugging-face-embeddings"
KEY = "gateway-key-of-a-test"
ACCEPTED = {"Accept": "application/json"}
TEXTS = ["The quick brown fox.", "Ein ganz anderer Satz."]


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayChild]:
    """A gateway with a key, on uvloop."""
    folder = tmp_path_factory.mktemp("locked")
    database = str(folder / "endpoints.db")
    with GatewayChild(folder / "log", database=database, api_key=KEY, uvloop=True) as child:
        yield child


@pytest.fixture(scope="module")
def vectors(local_server: LocalServer) -> list[list[float]]:
    return HFEndpointEmbeddings(url=local_server.url).embed_documents(TEXTS)


def close_to(rows: object, vectors: list[list[float]]) -> bool:
    pairs = zip(rows, vectors, strict=True)
    return all(row["embedding"] == pytest.approx(vector, abs=1e-6) for row, vector in pairs)


def test_the_python_snippet_and_the_rest_of_an_endpoints_life(locked, local_server, vectors):
    with Elasticsearch(locked.url, api_key=KEY) as client:
        resp = client.inference.put(
            task_type="text_embedding",
            inference_id="hugging-face-embeddings",
            inference_config={
                "service": "hugging_face",
                "service_settings": {
                    "api_key": "<access_token>",
                    "url": local_server.url,
                },
            },
        )
        assert resp["inference_id"] == ID
        assert resp["service_settings"]["dimensions"] == 384
        found = client.inference.get(inference_id=ID, task_type="text_embedding")
        assert found["endpoints"] == [resp.body]
        assert client.inference.get()["endpoints"] == [resp.body]
        answer = client.inference.inference(inference_id=ID, input=TEXTS)
        assert close_to(answer["text_embedding"], vectors)
        answer = client.inference.text_embedding(
            inference_id=ID, input=TEXTS, input_type="ingest", timeout="30s"
        )
        assert close_to(answer["text_embedding"], vectors)
        change = {"service_settings": {"rate_limit": {"requests_per_minute": 2000}}}
        updated = client.inference.update(inference_id=ID, inference_config=change)
        assert updated["service_settings"]["rate_limit"]["requests_per_minute"] == 2000
        with pytest.raises(BadRequestError, match="resource_already_exists_exception"):
            client.inference.put_hugging_face(
                task_type="text_embedding",
                huggingface_inference_id=ID,
                service="hugging_face",
                service_settings={"api_key": "<access_token>", "url": local_server.url},
            )
        assert client.inference.delete(inference_id=ID)["acknowledged"]
        with pytest.raises(NotFoundError):
            client.inference.get(inference_id=ID)
        assert client.info()["tagline"]
        assert client.ping()


async def test_the_async_python_client_too(locked, local_server, vectors):
    # By httpx, so that aiohttp need not be installed.
    client = AsyncElasticsearch(locked.url, api_key=("an-id", KEY), node_class="httpxasync")
    async with client:
        await client.inference.put(
            task_type="text_embedding",
            inference_id="async",
            inference_config={
                "service": "hugging_face",
                "service_settings": {"api_key": "<access_token>", "url": local_server.url},
            },
        )
        answer = await client.inference.inference(inference_id="async", input=TEXTS)
        assert close_to(answer["text_embedding"], vectors)
        await client.inference.delete(inference_id="async", force=True)


def test_the_javascript_snippet_and_the_rest_of_an_endpoints_life(locked, local_server, vectors):
    said = run_node(
        HERE / "elastic_client.cjs",
        JS_CLIENT,
        GATEWAY_URL=locked.url,
        GATEWAY_KEY=KEY,
        ENDPOINT_URL=local_server.url,
        TEXTS=json.dumps(TEXTS),
    )
    assert said["put"]["inference_id"] == ID
    assert said["put"]["service_settings"]["dimensions"] == 384
    assert said["get"]["endpoints"] == [said["put"]]
    assert close_to(said["inference"]["text_embedding"], vectors)
    assert close_to(said["text_embedding"]["text_embedding"], vectors)
    assert said["update"]["service_settings"]["rate_limit"]["requests_per_minute"] == 2000
    assert said["again"] == {"status": 400, "type": "resource_already_exists_exception"}
    assert said["delete"]["acknowledged"] is True
    assert said["gone"] == 404


def curl(gateway: GatewayChild, method: str, path: str, body: str | None = None) -> dict:
    if shutil.which("curl") is None:
        pytest.skip("curl is not here")
    command = ["curl", "--silent", "--show-error", "-X", method, f"{gateway.url}/{path}"]
    command += ["-H", f"Authorization: ApiKey {KEY}", "-H", "Content-Type: application/json"]
    command += ["-d", body] if body else []
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(run.stdout)


def test_the_console_snippet_with_curl(locked, local_server, vectors):
    snippet = """
    {
      "service": "hugging_face",
      "service_settings": {
        "api_key": "<access_token>",
        "url": "<url_endpoint>"
      }
    }
    """.replace("<url_endpoint>", local_server.url)
    path = "_inference/text_embedding/hugging-face-embeddings"
    put = curl(locked, "PUT", path, snippet)
    assert put["inference_id"] == ID
    assert curl(locked, "GET", path)["endpoints"] == [put]
    answer = curl(locked, "POST", path, json.dumps({"input": TEXTS}))
    assert close_to(answer["text_embedding"], vectors)
    chunks = curl(locked, "POST", f"{path}/_chunks", json.dumps({"input": TEXTS[0]}))
    assert chunks["text_embedding"][0]["chunks"][0]["end_offset"] == len(TEXTS[0])
    change = '{"service_settings": {"rate_limit": {"requests_per_minute": 2000}}}'
    assert curl(locked, "PUT", f"{path}/_update", change)["inference_id"] == ID
    assert curl(locked, "DELETE", path)["acknowledged"] is True
    assert curl(locked, "GET", path)["status"] == 404


async def test_clients_of_different_languages_share_one_budget(locked, tei_double):
    per_minute, burst, each = 120, 2, 6
    settings = {
        "url": tei_double.url,
        "api_key": "<access_token>",
        "rate_limit": {"requests_per_minute": per_minute},
    }

    def python() -> None:
        for number in range(each):
            client.inference.inference(inference_id="budget", input=f"python {number}")

    def javascript() -> None:
        environment = {"GATEWAY_URL": locked.url, "GATEWAY_KEY": KEY, "TIMES": str(each)}
        run_node(HERE / "elastic_budget.cjs", JS_CLIENT, **environment)

    def langchain() -> None:
        from langchain_openai import OpenAIEmbeddings  # noqa: PLC0415 - slow

        embeddings = OpenAIEmbeddings(
            model="budget",
            base_url=f"{locked.url}/v1",
            api_key=KEY,
            check_embedding_ctx_length=False,
        )
        for number in range(each):
            embeddings.embed_query(f"langchain {number}")
        embeddings.client._client.close()

    with Elasticsearch(locked.url, api_key=KEY, request_timeout=30) as client:
        config = {"service": "hugging_face", "service_settings": settings}
        client.inference.put(
            task_type="text_embedding", inference_id="budget", inference_config=config
        )
        tei_double.forget()
        await asyncio.gather(*map(asyncio.to_thread, (python, javascript, langchain)))
    log = tei_double.requests
    assert sorted(text for entry in log for text in entry.texts) == sorted(
        f"{who} {number}" for who in ("python", "javascript", "langchain") for number in range(each)
    )
    times = [entry.monotonic for entry in log]
    for first, begin in enumerate(times):
        for last in range(first + 1, len(times)):
            # One more for those that spent longer on their way.
            most = burst + (times[last] - begin) * per_minute / 60 + 1
            assert last - first + 1 <= most


def test_the_services_are_listed_by_task_type(locked):
    with Elasticsearch(locked.url, api_key=KEY) as client:
        for path in ("/_inference/_services", "/_inference/_services/rerank"):
            [service] = client.perform_request("GET", path, headers=ACCEPTED).body
            assert service["service"] == "hugging_face"
            assert service["task_types"] == ["text_embedding", "rerank"]
            assert service["configurations"]["api_key"]["sensitive"] is True
        none = client.perform_request("GET", "/_inference/_services/completion", headers=ACCEPTED)
        assert none.body == []


def test_a_deployed_model_is_asked_as_by_elasticsearch_embeddings(locked, local_server, vectors):
    with Elasticsearch(locked.url, api_key=KEY) as client:
        config = {"service": "hugging_face", "service_settings": {"url": local_server.url}}
        config["service_settings"]["api_key"] = "<access_token>"
        client.inference.put(inference_id="deployed", task_type="text_embedding", body=config)
        docs = [{"text_field": text} for text in TEXTS]
        answer = client.ml.infer_trained_model(model_id="deployed", docs=docs)
        rows = [one["predicted_value"] for one in answer["inference_results"]]
        assert close_to([{"embedding": row} for row in rows], vectors)
        with pytest.raises(NotFoundError, match="No known trained model"):
            client.ml.infer_trained_model(model_id="nothing", docs=docs)
        for wrong in ([], [{}], [{"a": 1}], [{"a": "x", "b": "y"}], ["x"]):
            with pytest.raises((BadRequestError, ValueError)):
                client.ml.infer_trained_model(model_id="deployed", docs=wrong)
        client.inference.delete(inference_id="deployed")
