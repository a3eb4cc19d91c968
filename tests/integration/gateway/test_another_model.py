"""An endpoint whose model is another by now, or not there, gives nobody a vector."""

import httpx
import pytest

from langchain_hf_endpoint import InferenceEndpoints
from langchain_hf_endpoint.gateway import create_app
from langchain_hf_endpoint.testing import faults

WAYS = {
    "/_inference/mine": {"input": "three"},
    "/v1/embeddings": {"input": "three", "model": "mine"},
    "/tei/mine/embed": {"inputs": "three"},
}
by_all_ways = pytest.mark.parametrize(
    ("path", "status"),
    list(zip(WAYS, (400, 502, 424), strict=True)),  # 400 is Elastic's for what a server does
)


@by_all_ways
def test_a_server_that_comes_back_with_another_model_is_refused(
    client, config, tei_double, path, status
):
    answer = client.put("/_inference/text_embedding/mine", json=config())
    assert answer.status_code == 200
    assert "fingerprint" not in answer.text
    assert "fingerprint" not in client.get("/_inference/mine").text
    asked = {"input": ["one", "two"]}
    assert client.post("/_inference/mine", json=asked).status_code == 200
    tei_double.script(faults.reset(), faults.swapped())
    refused = client.post(path, json=WAYS[path])
    assert refused.status_code == status
    assert "another model" in refused.text
    assert 'embedding"' not in refused.text


@by_all_ways
def test_a_model_that_the_server_does_not_have_is_not_the_callers_fault(
    client, config, tei_double, path, status
):
    service = {"url": f"{tei_double.url}/v1/embeddings", "dialect": "openai", "model": "gone"}
    endpoint = "/_inference/text_embedding/mine"
    assert client.put(endpoint, json=config(**service)).status_code == 200
    gone = faults.answer(404, {"error": {"message": "The model `gone` does not exist."}})
    tei_double.script(*[gone] * 20)
    refused = client.post(path, json=WAYS[path])
    assert refused.status_code == (404 if status == 400 else status)  # Elastic passes its own on
    assert "The model `gone` does not exist" in refused.text
    # Of whoever creates an endpoint it is.
    assert client.delete(endpoint).status_code == 200
    assert client.put(endpoint, json=config(**service)).status_code == 400


@by_all_ways
async def test_a_key_that_is_not_in_the_gateways_environment_is_not_the_callers_fault(
    tei_double, monkeypatch, path, status
):
    monkeypatch.setenv("KEY_OF_A_TEST", "secret-key")
    service = {"url": tei_double.url, "api_key_env": "KEY_OF_A_TEST"}
    mine = {"service": "hugging_face", "service_settings": service}
    with InferenceEndpoints() as endpoints:
        endpoints.put(inference_id="mine", inference_config=mine)
        monkeypatch.delenv("KEY_OF_A_TEST")
        transport = httpx.ASGITransport(create_app(endpoints))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            refused = await client.post(path, json=WAYS[path])
    assert (refused.status_code, "KEY_OF_A_TEST is not set" in refused.text) == (status, True)
