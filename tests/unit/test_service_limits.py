"""Elastic's `max_input_tokens`, `dimensions` and `similarity` among the service settings."""

from __future__ import annotations

import pytest

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    HFEndpointError,
    InferenceEndpoint,
    InferenceEndpoints,
    SettingsError,
)
from langchain_hf_endpoint.testing import ScriptedEndpoint


@pytest.fixture
def server():
    with ScriptedEndpoint() as server:
        yield server


def of(server, **service):
    config = {"service": "hugging_face", "service_settings": {"url": server.url, **service}}
    return InferenceEndpoint.from_config(
        task_type="text_embedding", inference_id="mine", inference_config=config
    )


def test_one_json_has_one_answer(server):
    stated = {"similarity": "dot_product", "dimensions": 384, "max_input_tokens": 100}
    config = of(server, **stated).public_config()["service_settings"]
    assert {name: config[name] for name in stated} == stated
    with InferenceEndpoints() as endpoints:
        put = {"service": "hugging_face", "service_settings": {"url": server.url, **stated}}
        shown = endpoints.put(inference_id="mine", inference_config=put)["service_settings"]
        assert {name: shown[name] for name in stated} == stated


async def test_inputs_are_cut_to_three_characters_for_each_token(server):
    embeddings = HFEndpointEmbeddings(endpoint=of(server, max_input_tokens=4))
    embeddings.embed_query("abcdefghijklmnop")
    await embeddings.aembed_query("ABCDEFGHIJKLMNOP")
    embeddings.embed_documents(["abcdefghijkl and more", "short"])
    sent = [text for request in server.requests for text in request.texts]
    assert sorted(sent) == ["ABCDEFGHIJKL", "abcdefghijkl", "abcdefghijkl", "short"]


def test_the_prompt_is_not_counted(server):
    endpoint = InferenceEndpoint(
        service_settings={"url": server.url, "max_input_tokens": 4},
        task_settings={"query_prompt": "a long instruction: "},
    )
    HFEndpointEmbeddings(endpoint=endpoint).embed_query("abcdefghijklmnop")
    assert server.requests[-1].texts == ("a long instruction: abcdefghijkl",)


def test_vectors_of_other_dimensions_than_stated_are_refused(server):
    wrong = HFEndpointEmbeddings(endpoint=of(server, dimensions=768))
    with pytest.raises(HFEndpointError, match=r"384 dimensions.*says 768"):
        wrong.embed_query("text")
    with pytest.raises(EmbeddingError, match=r"384 dimensions.*says 768"):
        wrong.embed_documents(["text"])
    right = HFEndpointEmbeddings(endpoint=of(server, dimensions=384))
    assert len(right.embed_query("text")) == 384


@pytest.mark.parametrize(
    ("service", "field"),
    [
        ({"max_input_tokens": 0}, "max_input_tokens"),
        ({"dimensions": "384"}, "dimensions"),
        ({"similarity": "euclid"}, "similarity"),
    ],
)
def test_wrong_values_are_named(server, service, field):
    with pytest.raises(SettingsError) as raised:
        of(server, **service)
    assert f"service_settings.{field}" in dict(raised.value.problems)


def test_dimensions_that_contradict_each_other_are_refused(server):
    with pytest.raises(SettingsError, match="differs from task_settings"):
        InferenceEndpoint(
            service_settings={"url": server.url, "dimensions": 384},
            task_settings={"dimensions": 64},
        )
