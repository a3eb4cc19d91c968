"""OpenAI's API with OpenAI's client and LangChain's."""

from __future__ import annotations

import importlib

import httpx
import pytest

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector

TEXTS = ["The quick brown fox.", "Ein ganz anderer Satz.", "The quick brown fox."]


def close(ones, others) -> bool:
    pairs = zip(ones, others, strict=True)
    return all(one == pytest.approx(other, abs=1e-6) for one, other in pairs)


@pytest.fixture(scope="module")
def openai():
    """The package, which is slow to import."""
    return importlib.import_module("openai")


@pytest.fixture
def sdk(openai, gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        yield client


@pytest.fixture
def mine(put) -> str:
    put("mine")
    return "mine"


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_both_encodings_give_the_vectors(sdk, mine, encoding):
    more = {"encoding_format": encoding} if encoding else {}
    answer = sdk.embeddings.create(model=mine, input=TEXTS, **more)
    assert [one.index for one in answer.data] == [0, 1, 2]
    assert answer.model == mine
    if encoding != "base64":
        found = [one.embedding for one in answer.data]
        assert close(found, [expected_vector(text, 384) for text in TEXTS])


def test_fields_that_are_null_are_as_if_absent(client, mine):
    nothing = dict.fromkeys(["encoding_format", "dimensions", "user", "input_type"])
    answer = client.post("/v1/embeddings", json={"model": mine, "input": "text", **nothing})
    assert close([answer.json()["data"][0]["embedding"]], [expected_vector("text", 384)])


async def test_the_async_client_too(openai, gateway, mine):
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none") as client:
        answer = await client.embeddings.create(model=mine, input="text")
    assert close([answer.data[0].embedding], [expected_vector("text", 384)])


def test_usage_is_what_the_server_counted(sdk, client, config, local_server):
    client.put("/_inference/text_embedding/local", json=config(url=local_server.url))
    short = sdk.embeddings.create(model="local", input="A text.").usage
    long = sdk.embeddings.create(model="local", input="A text. " * 10).usage
    assert short.total_tokens == short.prompt_tokens == 5  # two marks, and three of its own
    assert long.total_tokens == 32


def test_dimensions_are_passed_on(sdk, mine):
    answer = sdk.embeddings.create(model=mine, input="text", dimensions=16)
    assert len(answer.data[0].embedding) == 16


@pytest.mark.parametrize("version", ["1.9.3", "1.7.0"])  # the older one passes over `dimensions`
@pytest.mark.parametrize("api", ["/v1/embeddings", "/_inference/mine"])
def test_dimensions_that_the_model_lacks_are_400(client, config, version, api):
    with ScriptedEndpoint(version=version) as double:
        put = client.put("/_inference/text_embedding/mine", json=config(url=double.url))
        assert put.status_code == 200
        own = {"model": "mine", "dimensions": 4096}
        body = own if api.startswith("/v1") else {"task_settings": {"dimensions": 4096}}
        answer = client.post(api, json={"input": ["one", "two"], **body})
    assert answer.status_code == 400
    assert "dimension" in str(answer.json()["error"])


def test_models_are_the_endpoints(openai, sdk, mine):
    assert [model.id for model in sdk.models.list()] == ["mine"]
    assert sdk.models.retrieve("mine").id == "mine"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("another")


def test_an_unknown_model_is_not_found(openai, sdk):
    with pytest.raises(openai.NotFoundError) as refused:
        sdk.embeddings.create(model="nobody", input="text")
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": [1, 2, 3]}, "check_embedding_ctx_length=False"),
        ({"input": [[1, 2], [3]]}, "check_embedding_ctx_length=False"),
        ({"input": []}, "not empty"),
        ({"input": [" "]}, "blank"),
        ({"input": ["a", 1]}, "array of strings"),
        ({}, "'input'"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"input": "a", "dimensions": "many"}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "stream": True}, "[stream]"),
        ({"input": "a", "input_type": ["query"]}, "input_type"),
        ({"input": ["a"] * 3000}, "at most 2048"),
    ],
)
def test_bad_requests_have_openais_shape(client, mine, body, words):
    answer = client.post("/v1/embeddings", json={"model": mine, **body})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert words in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("GET", "/v1/embeddings", 405), ("POST", "/v1/models", 405)],
)
def test_other_paths_and_methods_too(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_failing_endpoint_is_a_502_that_clients_do_not_repeat(openai, sdk, put, tei_double):
    put("mine")
    tei_double.configure(api_key="another")
    tei_double.forget()
    with pytest.raises(openai.InternalServerError) as refused:
        sdk.embeddings.create(model="mine", input="text")
    assert refused.value.status_code == 502
    assert refused.value.code == "authentication_error"
    assert len(tei_double.requests) == 1


def test_a_query_takes_the_prompt_of_queries(sdk, client, config, tei_double):
    prompts = {"query_prompt": "query: ", "document_prompt": "passage: "}
    client.put("/_inference/text_embedding/mine", json={**config(), "task_settings": prompts})
    tei_double.forget()
    sdk.embeddings.create(model="mine", input="text")
    sdk.embeddings.create(model="mine", input="text", extra_body={"input_type": "query"})
    texts = [list(entry.texts) for entry in tei_double.requests]
    assert texts == [["passage: text"], ["query: text"]]


async def test_langchains_openai_embeddings_give_the_vectors_of_ours(
    gateway, client, config, local_server
):
    settings = config(url=local_server.url)
    client.put("/_inference/text_embedding/local", json=settings).raise_for_status()
    from langchain_openai import OpenAIEmbeddings  # noqa: PLC0415 - slow

    theirs = OpenAIEmbeddings(
        model="local",
        base_url=f"{gateway.url}/v1",
        api_key="none",
        check_embedding_ctx_length=False,
    )
    ours = HFEndpointEmbeddings(url=local_server.url)
    assert close(theirs.embed_documents(TEXTS), ours.embed_documents(TEXTS))
    assert close([theirs.embed_query("text")], [ours.embed_query("text")])
    assert close(await theirs.aembed_documents(TEXTS), await ours.aembed_documents(TEXTS))
    theirs.client._client.close()
    await theirs.async_client._client.close()


def test_a_bare_request_without_a_content_type_is_refused(client, mine):
    answer = httpx.post(f"{client.base_url}/v1/embeddings", content=b"{}")
    assert answer.status_code == 406
