"""TEI's API below a URL per endpoint, with clients of TEI's."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import httpx
import pytest
from gateway_child import GatewayChild
from huggingface_hub import InferenceClient
from javascript import run_node

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector
from langchain_hf_endpoint.testing.faults import backend_error, paused, unauthorized

TEXTS = ["The quick brown fox.", "Ein ganz anderer Satz.", "The quick brown fox."]
EXPECTED = [expected_vector(text, 384) for text in TEXTS]
KEY = "gateway-key-of-a-test"


def close(ones, others) -> bool:
    pairs = zip(ones, others, strict=True)
    return all(list(one) == pytest.approx(list(other), abs=1e-6) for one, other in pairs)


@pytest.fixture
def url(gateway, put) -> str:
    put("mine")
    return f"{gateway.url}/tei/mine"


@pytest.fixture
def add(client, config):
    def add(server, task_settings=None, **service_settings):
        body = config(url=server.url, **service_settings)
        body |= {"task_settings": task_settings} if task_settings else {}
        name = f"other-{uuid.uuid4().hex[:8]}"  # an id that was deleted stands for its model
        answer = client.put(f"/_inference/text_embedding/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return f"/tei/{name}"

    return add


@pytest.fixture
def post(url):
    def post(body, path="/embed"):
        return httpx.post(url + path, json=body)

    return post


@pytest.mark.parametrize("path", ["", "/", "/embed"])
def test_a_text_or_several_give_a_list_of_vectors(post, path):
    assert close(post({"inputs": TEXTS}, path).json(), EXPECTED)
    assert close(post({"inputs": TEXTS[0]}, path).json(), EXPECTED[:1])


def test_the_inference_client_of_huggingface_hub_takes_the_url(url):
    client = InferenceClient(model=url, token=None)
    assert close(client.feature_extraction(TEXTS[1]), EXPECTED[1:2])
    assert close(client.feature_extraction(TEXTS), EXPECTED)


def test_hugging_faces_javascript_client_takes_it_too(url):
    script = Path(__file__).parent / "hugging_face_client.cjs"
    said = run_node(script, "@huggingface/inference@4", TEI_URL=url, TEXTS=json.dumps(TEXTS))
    assert close(said["several"], EXPECTED)


def test_our_own_class_takes_it_as_it_takes_a_server(url):
    embeddings = HFEndpointEmbeddings(url=url)
    assert close(embeddings.embed_documents(TEXTS), EXPECTED)
    assert close([embeddings.embed_query(TEXTS[0])], EXPECTED[:1])
    described = InferenceEndpoint(url=url).describe()
    assert (described.server, described.dimensions) == ("tei", 384)


def test_the_openai_route_below_the_url_needs_no_model(post):
    answer = post({"input": TEXTS, "model": "whatever"}, "/v1/embeddings").json()
    assert close([one["embedding"] for one in answer["data"]], EXPECTED)


def test_info_states_what_the_endpoints_server_stated(client, add):
    with ScriptedEndpoint(max_client_batch_size=8, model_id="their/model") as double:
        base = add(double)
        info = client.get(f"{base}/info").json()
        again = client.get(f"{base}/info").json()
        asked = [request.path for request in double.arrivals].count("/info")
    assert info == again
    assert info["model_id"] == "their/model"
    assert info["max_client_batch_size"] == 8
    assert asked == 1


def test_more_than_is_stated_is_taken_and_split(client, add):
    with ScriptedEndpoint(max_client_batch_size=8) as double:
        base = add(double)
        texts = [f"text {number}" for number in range(50)]
        answer = client.post(f"{base}/embed", json={"inputs": texts})
    assert close(answer.json(), [expected_vector(text, 384) for text in texts])


def test_the_names_of_prompts_say_what_the_inputs_are(client, add):
    with ScriptedEndpoint() as double:
        settings = {"query_prompt": "query: ", "document_prompt": "passage: "}
        base = add(double, settings)
        for name in ("query", "document", None):
            body = {"inputs": "text"} | ({"prompt_name": name} if name else {})
            assert client.post(f"{base}/embed", json=body).status_code == 200
        sent = [text for request in double.requests for text in request.texts]
        unknown = client.post(f"{base}/embed", json={"inputs": "text", "prompt_name": "code"})
    assert sent[-3:] == ["query: text", "passage: text", "passage: text"]
    assert unknown.status_code == 422
    assert '"query", "document"' in unknown.json()["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"inputs": []}, 400, "cannot be empty"),
        ({"inputs": ["text", ""]}, 400, "cannot be empty"),
        ({"inputs": ["text", "  "]}, 422, "blank"),
        ({"inputs": [[1, 2, 3]]}, 422, "tokens"),
        ({"inputs": "text", "truncation_direction": "Left"}, 422, "Left"),
        ({"inputs": "text", "dimensions": 0}, 422, "positive"),
        ({"texts": "text"}, 422, "missing field `inputs`"),
        ({"inputs": ["text"] * 3000}, 422, "batch size 3000 > maximum"),
    ],
)
def test_bad_input_is_refused_in_teis_words(post, body, status, words):
    answer = post(body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True)
    assert answer.json()["error_type"] in ("Validation", "Empty")


def test_an_unknown_endpoint_is_404_in_teis_shape(client):
    for answer in (
        client.post("/tei/none/embed", json={"inputs": "text"}),
        client.get("/tei/none/info"),
        client.get("/tei/none/health"),
        client.get("/tei/none/of_this/"),
    ):
        assert answer.status_code == 404
        assert set(answer.json()) == {"error", "error_type"}


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (backend_error(), 424, "Backend"),
        (paused(), 424, "Backend"),
        (unauthorized(), 424, "Backend"),
    ],
)
def test_what_the_endpoints_server_does_wrong_is_told_in_teis_shape(
    client, add, fault, status, kind
):
    with ScriptedEndpoint() as double:
        base = add(double, max_wait=0.1)
        double.script(*[fault] * 100)
        answer = client.post(f"{base}/embed", json={"inputs": "text"})
    assert (answer.status_code, answer.json()["error_type"]) == (status, kind)


def test_health_is_empty_and_says_200(url):
    for path in ("", "/", "/health"):
        answer = httpx.get(url + path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_tokens_are_those_of_the_endpoints_server(post, client, add):
    [tokens, other] = post({"inputs": ["two words", "three whole words"]}, "/tokenize").json()
    assert [one["text"] for one in tokens] == ["[CLS]", "two", "words", "[SEP]"]
    bare = post({"inputs": "two words", "add_special_tokens": False}, "/tokenize").json()
    assert [one["text"] for one in bare[0]] == ["two", "words"]
    assert len(other) == 5
    many = post({"inputs": [f"text {number}" for number in range(70)]}, "/tokenize").json()
    assert [of[2]["text"] for of in many] == [str(number) for number in range(70)]
    assert post({"inputs": []}, "/tokenize").status_code == 400
    assert post({"inputs": [[1, 2]]}, "/tokenize").status_code == 422
    with ScriptedEndpoint(shape="embeddings") as double:
        base = add(double)
        answer = client.post(f"{base}/tokenize", json={"inputs": "text"})
    assert (answer.status_code, answer.json()["error_type"]) == (404, "Validation")


def test_our_own_class_bounds_its_chunks_by_the_tokens_behind_the_gateway(url, tei_double):
    embeddings = HFEndpointEmbeddings(url=url, chunking_settings={"max_chunk_tokens": 40})
    chunks = embeddings.embed_chunks(["Some words of a text. " * 100])[0]
    assert max(len(chunk.text.split()) for chunk in chunks) <= 38
    assert len(chunks) > 10


# One endpoint at the root


@pytest.fixture(scope="module")
def rooted(tmp_path_factory):
    """A gateway with a key, with `mine` at the root, which is not there yet."""
    log = tmp_path_factory.mktemp("rooted") / "log"
    with (
        GatewayChild(log, api_key=KEY, tei_at_root="mine") as gateway,
        httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {KEY}"}) as client,
    ):
        yield client


@pytest.fixture
def at_root(rooted, config):
    yield rooted.put("/_inference/text_embedding/mine", json=config()).raise_for_status()
    rooted.delete("/_inference/mine").raise_for_status()


def test_an_endpoints_api_is_at_the_root_where_the_operator_names_it(rooted, at_root):
    for path in ("/", "/embed"):
        assert close(rooted.post(path, json={"inputs": TEXTS}).json(), EXPECTED)
    assert rooted.get("/info").json() == rooted.get("/tei/mine/info").json()
    assert len(rooted.post("/tokenize", json={"inputs": "two words"}).json()[0]) == 4
    wrong = rooted.post("/rerank", json={"query": "text", "texts": TEXTS})
    assert (wrong.status_code, wrong.json()["error_type"]) == (422, "Validation")
    assert rooted.get("/embed").status_code == 405


def test_clients_take_the_gateways_own_url_then(rooted, at_root):
    url = str(rooted.base_url)
    assert close(InferenceClient(model=url, token=KEY).feature_extraction(TEXTS), EXPECTED)
    embeddings = HFEndpointEmbeddings(url=url, api_key=KEY)
    assert close(embeddings.embed_documents(TEXTS), EXPECTED)
    assert embeddings.endpoint.describe().server == "tei"


def test_the_gateways_own_routes_stay(rooted, at_root):
    assert rooted.get("/").json()["tagline"] == "You Know, for Search"
    assert rooted.get("/health").json() == {"status": "ok"}
    answer = rooted.post("/v1/embeddings", json={"model": "mine", "input": TEXTS}).json()
    assert close([one["embedding"] for one in answer["data"]], EXPECTED)


def test_at_the_root_the_gateways_key_is_needed_too(rooted, at_root):
    for path in ("/", "/embed", "/rerank", "/tokenize"):
        answer = httpx.post(rooted.base_url.join(path), json={"inputs": TEXTS})
        assert (answer.status_code, set(answer.json())) == (401, {"error", "error_type"})


def test_while_there_is_no_such_endpoint_it_is_404_in_teis_shape(rooted):
    answer = rooted.post("/embed", json={"inputs": "text"})
    assert (answer.status_code, "[mine]" in answer.json()["error"]) == (404, True)


def test_without_that_option_nothing_is_at_the_root(client, put):
    put("mine")
    for path in ("/", "/embed"):
        answer = client.post(path, json={"inputs": "text"})
        assert answer.status_code in (400, 405)
        assert answer.json()["error"]["type"] == "illegal_argument_exception"
