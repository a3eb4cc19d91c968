"""An endpoint whose model is another by now gives nobody a vector."""

from langchain_hf_endpoint.testing import faults


def test_a_server_that_comes_back_with_another_model_is_refused(client, config, tei_double):
    answer = client.put("/_inference/text_embedding/mine", json=config())
    assert answer.status_code == 200
    assert "fingerprint" not in answer.text
    assert "fingerprint" not in client.get("/_inference/mine").text
    body = {"input": ["one", "two"]}
    assert client.post("/_inference/mine", json=body).status_code == 200
    tei_double.script(faults.reset(), faults.swapped())
    refused = client.post("/_inference/mine", json={"input": "three"})
    assert refused.status_code >= 400
    assert "another model" in refused.text
    assert 'embedding"' not in refused.text
