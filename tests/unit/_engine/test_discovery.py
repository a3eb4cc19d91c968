"""The dialect `auto`: which requests are made, in which order, until it is known how to ask."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest
from scripted_server import (
    HOST,
    INFO,
    PAUSED,
    URL,
    answer,
    failing,
    inputs_of,
    numbered,
    spoilt,
    vector,
    vectors,
)

from langchain_hf_endpoint import (
    AuthenticationError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    InferenceEndpoint,
    SettingsError,
    TransportError,
)


@pytest.fixture
def auto(make):
    """Embeddings that are told nothing but a URL."""
    return lambda url=URL, **settings: make(url, dialect="auto", **settings)


def _serve(server, **routes):
    """The scripted server has these routes: POST path, `_` for `/`."""
    paths = {path.replace("_", "/"): reply for path, reply in routes.items()}
    refused = answer(404, {"detail": "Not Found"})
    server.behave(lambda request: paths.get(request.url.path, refused)(request))


def test_a_bare_url_of_tei_costs_one_question_and_no_wasted_batch(drive, server, auto):
    server.script(answer(200, INFO))
    server.behave(vectors)
    embeddings = auto()
    texts = numbered(3)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    drive.query(embeddings, "one text")
    drive.query(auto(), "another")
    assert server.asked == ["GET /info", "POST /", *["POST /v1/embeddings"] * 2]


@pytest.mark.parametrize(
    ("routes", "asked"),
    [
        ({"_": vectors}, ["POST /"]),
        ({"_v1_embeddings": vectors}, ["POST /", "POST /v1/embeddings"]),
        ({"_embed": vectors}, ["POST /", "POST /v1/embeddings", "POST /embed"]),
        (
            {"_embeddings": vectors},
            ["POST /", "POST /v1/embeddings", "POST /embed", "POST /embeddings"],
        ),
    ],
    ids=["root", "v1", "embed", "embeddings"],
)
def test_a_bare_url_is_tried_path_by_path_and_the_one_that_answers_is_kept(
    drive, server, auto, routes, asked
):
    _serve(server, **routes)
    embeddings = auto(max_batch_size=2)
    texts = numbered(6)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    drive.query(embeddings, "one text")
    # One question, one batch that finds the route, then the others straight to it.
    assert server.asked == ["GET /info", *asked, *[asked[-1]] * 3]


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        (f"{URL}/v1/embeddings", ["POST /v1/embeddings"]),
        (f"{URL}/embeddings", ["POST /embeddings"]),
        (f"{URL}/v1", ["POST /v1/embeddings"]),
        (f"{URL}/v1/", ["POST /v1/embeddings"]),
        (f"{URL}/embed", ["GET /info", "POST /embed"]),
        (f"{URL}/some/gateway", ["GET /some/gateway/info", "POST /some/gateway"]),
        (
            "https://router.huggingface.co/hf-inference/models/x/pipeline/feature-extraction",
            ["POST /hf-inference/models/x/pipeline/feature-extraction"],
        ),
    ],
)
def test_a_path_tells_what_to_ask(drive, server, auto, url, asked):
    server.behave(vectors)
    embeddings = auto(url)
    assert drive.query(embeddings, "one text") == vector("one text")
    drive.query(embeddings, "one text")
    assert server.asked == [*asked, asked[-1]]


@pytest.mark.parametrize("dialect", ["hugging_face", "openai"])
def test_a_dialect_that_is_named_is_spoken_to_the_url_as_it_is(drive, server, make, dialect):
    server.script(vectors)
    assert drive.query(make(f"{URL}/any/path?x=1", dialect=dialect), "one text")
    assert server.asked == ["POST /any/path"]
    assert server.requests[0].url.query == b"x=1"
    assert ("input" in orjson.loads(server.requests[0].content)) is (dialect == "openai")


def test_an_endpoint_without_any_embedding_route_says_which_were_tried(drive, server, auto):
    server.behave(answer(404, {"detail": "Not Found"}))
    with pytest.raises(EndpointNotFoundError, match="/v1/embeddings: 404; /embed: 404") as caught:
        drive.query(auto(), "one text")
    assert caught.value.status == 404
    assert caught.value.attempts == 4
    assert len(server.requests) == 5
    assert HOST in str(caught.value)


def test_documents_do_not_search_for_the_route_many_times(drive, server, auto):
    server.behave(answer(404, {"detail": "Not Found"}))
    with pytest.raises(EndpointNotFoundError):
        drive.documents(auto(max_batch_size=1), numbered(100))
    assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("refusal", "error_class"),
    [(answer(401), AuthenticationError), (answer(400, PAUSED), EndpointPausedError)],
    ids=["401", "paused"],
)
def test_a_refusal_is_no_reason_to_try_other_routes(drive, server, auto, refusal, error_class):
    server.script(refusal, refusal)
    with pytest.raises(error_class):
        drive.query(auto(), "one text")
    assert server.asked == ["GET /info", "POST /"]


@pytest.mark.parametrize(
    "page",
    [
        answer(200, "<html><title>Welcome</title></html>"),
        answer(200, {"status": "ok"}),
        answer(405, {"detail": "Method Not Allowed"}),
        answer(307, headers={"location": "/docs"}),
        answer(422, "Failed to deserialize the JSON body: missing field `query` at line 1"),
        answer(400, {"error": {"message": "missing 'input'"}}),
    ],
    ids=["page", "health", "405", "redirect", "TEI reranker", "other field"],
)
def test_what_is_no_embedding_route_is_passed_over(drive, server, auto, page):
    _serve(server, _=page, _v1_embeddings=vectors)
    texts = numbered(3)
    assert drive.documents(auto(), texts) == [vector(text) for text in texts]
    assert server.asked == ["GET /info", "POST /", "POST /v1/embeddings"]


def test_wrong_vectors_are_an_error_and_no_reason_to_look_elsewhere(drive, server, auto, clock):
    _serve(server, _=spoilt(lambda rows: rows[:-1]), _v1_embeddings=vectors)
    with pytest.raises(Exception, match="2 vectors for 3 inputs"):
        drive.documents(auto(), numbered(3))
    assert "POST /v1/embeddings" not in server.asked


def test_a_guess_asks_for_the_connection_to_be_closed_and_a_known_route_does_not(
    drive, server, auto
):
    """Servers that answer 404 with the body unread take it for the next request otherwise."""
    _serve(server, _v1_embeddings=vectors)
    embeddings = auto()
    drive.query(embeddings, "one text")
    drive.query(embeddings, "one text")
    kept = [request.headers["connection"] for request in server.requests]
    assert kept == ["keep-alive", "close", "close", "keep-alive"]


def test_a_retry_while_searching_goes_to_the_same_route(drive, server, auto, clock):
    server.script(answer(404), answer(503), answer(503), vectors)
    assert drive.query(auto(), "one text") == vector("one text")
    assert server.asked == ["GET /info", "POST /", "POST /", "POST /"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_server_that_is_not_ready_is_asked_for_its_info_again(drive, server, auto, clock, status):
    server.script(answer(status), answer(status), answer(200, INFO))
    server.behave(vectors)
    texts = numbered(64)
    drive.documents(auto(), texts)
    assert server.asked == ["GET /info"] * 3 + ["POST /"]
    assert len(server.batches[0]) == 64, "the limit of /info is not used"


def test_the_question_counts_against_max_wait(drive, server, auto, clock):
    server.behave(answer(503))
    server.script(*[answer(503)] * 1000)
    with pytest.raises(Exception, match="not ready in time") as caught:
        drive.query(auto(max_wait=20.0), "one text")
    assert caught.value.attempts == len(server.requests)
    assert clock.waited <= 20.5


def test_where_the_time_is_over_before_the_next_permit_the_server_is_what_failed(
    drive, server, auto, clock
):
    server.script(answer(503))
    with pytest.raises(EndpointNotReadyError):
        drive.query(auto(max_wait=5.0, rate_limit={"requests_per_minute": 1}), "one text")
    assert server.asked == ["GET /info"]


def test_a_server_that_cannot_be_reached_is_found_out_by_the_question(drive, server, auto):
    server.script(failing(httpx.ConnectError))
    with pytest.raises(TransportError, match="tried once"):
        drive.documents(auto(max_wait=0.0), ["one text"])
    assert server.asked == ["GET /info"]


@pytest.mark.parametrize(
    "body",
    ["not json", "[]", "null", '{"max_client_batch_size": "many"}', '{"max_client_batch_size": 0}'],
)
def test_info_that_makes_no_sense_is_ignored(drive, server, auto, body):
    server.script(answer(200, body))
    server.behave(vectors)
    texts = numbered(40)
    assert drive.documents(auto(), texts) == [vector(text) for text in texts]
    assert sorted(len(batch) for batch in server.batches) == [8, 32]


def test_a_dialect_that_cannot_do_what_is_set_is_refused_before_anything_is_sent(server, make):
    with pytest.raises(SettingsError, match="cannot name a prompt"):
        make(dialect="openai", task_settings={"query_prompt_name": "query"})
    assert server.requests == []


def test_a_route_that_cannot_do_what_is_set_is_not_used(drive, server, auto):
    _serve(server, _v1_embeddings=vectors)
    with pytest.raises((SettingsError, EndpointNotFoundError)):
        drive.query(auto(task_settings={"query_prompt_name": "query"}), "one text")
    assert "POST /v1/embeddings" not in server.asked


@pytest.mark.parametrize("dialect", ["hugging_face", "tei"])
def test_options_are_sent_in_so_many_words(drive, server, make, dialect):
    server.script(*[answer(404)] * (dialect == "tei"))
    server.behave(spoilt(lambda rows: [row[:4] for row in rows]))
    settings = {
        "truncate": False,
        "normalize": False,
        "dimensions": 4,
        "query_prompt_name": "query",
        "document_prompt": "passage: ",
    }
    embeddings = make(dialect=dialect, api_key="k", task_settings=settings)
    drive.query(embeddings, "one text")
    drive.documents(embeddings, ["another"])
    query, documents = (orjson.loads(request.content) for request in server.requests[-2:])
    told = {"truncate": False, "normalize": False, "dimensions": 4}
    assert query == {"inputs": ["one text"], "prompt_name": "query", **told}
    assert documents == {"inputs": ["passage: another"], **told}
    assert all(request.headers["authorization"] == "Bearer k" for request in server.requests)


def test_truncate_is_always_said_and_no_key_is_sent_where_there_is_none(drive, server, make):
    server.script(vectors)
    drive.query(make(), "one text")
    [request] = server.requests
    assert orjson.loads(request.content)["truncate"] is True
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"


@pytest.fixture
def token_of_the_environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")


@pytest.mark.usefixtures("token_of_the_environment")
@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://a.eu.aws.endpoints.huggingface.cloud", True),
        ("https://router.huggingface.co/x/pipeline/feature-extraction", True),
        ("https://user-space.hf.space", True),
        ("https://embed.example.org", False),
        ("https://huggingface.co.example.org", False),
        ("https://nothuggingface.co", False),
        ("http://a.eu.aws.endpoints.huggingface.cloud", False),
        ("http://127.0.0.1:1", False),
    ],
)
def test_the_token_of_the_environment_goes_to_hugging_faces_own_hosts_only(
    drive, server, make, url, sent
):
    server.script(vectors)
    drive.query(make(url), "one text")
    assert ("authorization" in server.requests[0].headers) is sent


def test_a_key_of_a_named_variable_is_read_when_it_is_used(drive, server, make, monkeypatch):
    server.behave(vectors)
    embeddings = make(api_key_env="MY_KEY")
    with pytest.raises(SettingsError, match="MY_KEY is not set"):
        drive.query(embeddings, "one text")
    for key in ("first", "second"):
        monkeypatch.setenv("MY_KEY", key)
        drive.query(embeddings, "one text")
        assert server.requests[-1].headers["authorization"] == f"Bearer {key}"


def test_describe_says_what_info_and_one_probe_show(drive, server):
    server.script(answer(200, INFO), vectors)
    told = drive.describe(InferenceEndpoint(url=URL, inference_id="mine"))
    assert (told.inference_id, told.host, told.dialect) == ("mine", HOST, "tei")
    assert (told.dimensions, told.model_id, told.server) == (16, "intfloat/some-model", "tei")
    assert (told.version, told.max_input_tokens) == ("1.9.3", 512)
    assert (told.max_batch_size, told.max_concurrent_inputs) == (64, 512)
    assert told.latency_seconds > 0
    assert len(inputs_of(server.requests[1])) == 1


def test_describe_of_a_server_without_info_says_what_the_probe_shows(drive, server):
    server.behave(vectors)
    told = drive.describe(InferenceEndpoint(url=f"{URL}/v1/embeddings"))
    assert (told.dialect, told.dimensions) == ("openai", 16)
    assert (told.server, told.model_id, told.max_batch_size) == (None, None, None)


def test_describe_tells_the_embeddings_their_width(drive, server, auto):
    server.script(answer(404), vectors)
    embeddings = auto()
    assert embeddings.dimensions is None
    drive.describe(embeddings.endpoint)
    assert embeddings.dimensions == 16


def test_a_guess_that_fails_after_another_call_found_the_route_is_no_error(server, auto):
    """Found by the chaos run, seed 18843."""
    embeddings = auto()

    def refuse(request):
        if inputs_of(request) == ["first"]:
            other.submit(embeddings.embed_query, "second").result()  # finds the route meanwhile
        return answer(404, {"detail": "Not Found"})(request)

    _serve(server, _=refuse, _embed=vectors)
    with ThreadPoolExecutor() as other:
        assert embeddings.embed_documents(["first"]) == [vector("first")]
    guesses = ["POST /", "POST /v1/embeddings", "POST /embed"]
    assert server.asked == ["GET /info", "POST /", *guesses, "POST /embed"]
