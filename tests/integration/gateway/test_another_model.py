"""An endpoint whose model is another by now gives nobody a vector."""

import pytest

from langchain_hf_endpoint.testing import faults


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/_inference/mine", {"input": "three"}, 400),  # as Elastic answers what a server does
        ("/v1/embeddings", {"input": "three", "model": "mine"}, 502),
        ("/tei/mine/embed", {"inputs": "three"}, 424),
    ],
)
def test_a_server_that_comes_back_with_another_model_is_refused(
    client, config, tei_double, path, body, status
):
    answer = client.put("/_inference/text_embedding/mine", json=config())
    assert answer.status_code == 200
    assert "fingerprint" not in answer.text
    assert "fingerprint" not in client.get("/_inference/mine").text
    asked = {"input": ["one", "two"]}
    assert client.post("/_inference/mine", json=asked).status_code == 200
    tei_double.script(faults.reset(), faults.swapped())
    refused = client.post(path, json=body)
    assert refused.status_code == status
    assert "another model" in refused.text
    assert 'embedding"' not in refused.text
