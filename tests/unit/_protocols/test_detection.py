import pytest
from wire_samples import (
    HTML,
    NGINX_502,
    PYTHON_400,
    TEI_HEADERS,
    TEXT,
    b64,
    fastapi,
    openai_body,
    reply,
    tei,
)

from langchain_hf_endpoint._messages import Cause, Failure, InputOptions
from langchain_hf_endpoint._protocols import (
    DIALECTS,
    Route,
    candidates,
    conclude,
    declines,
    recognise,
)

HOST = "https://k7l1xeok1jwnpbx5.us-east-1.aws.endpoints.huggingface.cloud"
ROWS = [[0.5, 0.25]]
MISSING_QUERY = (
    "Failed to deserialize the JSON body into the target type: missing field `query` at line 1"
)


def tried(url):
    return [(route.dialect.name, route.url) for route in candidates(url)]


# --- where to ask --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "routes"),
    [
        (HOST + "/v1/embeddings", [("openai", HOST + "/v1/embeddings")]),
        (HOST + "/v1/embeddings/?a=b", [("openai", HOST + "/v1/embeddings/?a=b")]),
        (HOST + "/embeddings", [("openai", HOST + "/embeddings")]),
        (HOST + "/embed", [("tei", HOST + "/embed")]),
        (HOST + "/embed?key=1", [("tei", HOST + "/embed?key=1")]),
        (HOST + "/v1", [("openai", HOST + "/v1/embeddings")]),
        (HOST + "/v1/", [("openai", HOST + "/v1/embeddings")]),
        (HOST + "/v1?key=1", [("openai", HOST + "/v1/embeddings?key=1")]),
    ],
)
def test_paths_that_tell(url, routes):
    assert tried(url) == routes
    assert not any(route.trial for route in candidates(url))


@pytest.mark.parametrize(("slash", "query"), [("", ""), ("/", ""), ("", "?key=1"), ("/", "?k=1")])
def test_no_path_means_asking(slash, query):
    assert tried(HOST + slash + query) == [
        ("hugging_face", HOST + slash + query),
        ("openai", HOST + "/v1/embeddings" + query),
        ("tei", HOST + "/embed" + query),
        ("openai", HOST + "/embeddings" + query),
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://router.huggingface.co/hf-inference/models/BAAI/bge-m3/pipeline/feature-extraction",
        "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/x/invocations",
        "http://127.0.0.1:5000/predict",
        "https://gateway.example.org/team/models?version=2",
    ],
)
def test_other_paths_are_asked_as_given(url):
    assert tried(url) == [("hugging_face", url), ("openai", url)]


def test_what_is_no_url_does_not_raise():
    assert candidates("http://[broken")
    assert candidates("")


def test_a_guess_does_not_leave_its_body_in_the_connection():
    first, *_, last = candidates(HOST)
    assert first.request([b'"a"'], InputOptions()).headers["Connection"] == "close"
    assert "Connection" not in last.request([b'"a"'], InputOptions()).headers
    kept = recognise(first, reply(ROWS))
    assert "Connection" not in kept.request([b'"a"'], InputOptions()).headers
    plain = first.dialect.encode(first.url, [b'"a"'], InputOptions())
    assert first.request([b'"a"'], InputOptions()).body == plain.body


# --- what the answer shows -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "dialect"),
    [
        (reply(ROWS, headers=TEI_HEADERS), "tei"),
        (reply(ROWS), "tei"),
        (reply([0.5, 0.25]), "tei"),
        (reply({"embeddings": ROWS}), "hugging_face"),
        (reply({"embeddings": [0.5, 0.25]}), "hugging_face"),
        (reply(openai_body(ROWS)), "hugging_face"),
        # Wrong vectors are vectors: what is wrong with them is said by decode.
        (reply([[[0.5], [0.5]]]), "tei"),
        (reply([[None]], headers=TEI_HEADERS), "tei"),
        (reply(b"[[0.5,NaN]]"), "tei"),
        (reply(b"[[0.5,0.2"), "tei"),
        (reply(b'{"embeddings": [[0.5,0.2'), "hugging_face"),
    ],
)
def test_recognised_at_the_url_as_given(answer, dialect):
    route = candidates(HOST)[0]
    kept = recognise(route, answer)
    assert kept == Route(DIALECTS[dialect], HOST)
    assert not declines(route, answer)


def test_recognised_at_a_later_route():
    for route in candidates(HOST)[1:]:
        kept = recognise(route, reply(openai_body([b64(ROWS[0])])))
        assert kept == Route(route.dialect, route.url)
        assert recognise(route, reply(ROWS)) == Route(route.dialect, route.url)


@pytest.mark.parametrize(
    "answer",
    [
        reply({"detail": "Not Found"}, 404),
        reply({"detail": "Method Not Allowed"}, 405),
        reply({"error": {"message": "unknown route"}}, 404),
        reply(b"", 404, {}),
        reply(b"", 410, {}),
        reply(b"", 307, {"location": "/docs"}),
        reply(b"", 302, {"location": "https://login.example.org/sign-in"}),
        reply({"error": {"message": "missing 'input'"}}, 400),
        reply({"error": {"message": '"input" or "content" must be provided'}}, 400),
        reply(fastapi(["input"], "Field required", "missing"), 422),
        reply(MISSING_QUERY, 422, TEXT),
        reply({"error": "Body needs to provide a inputs key, received: x"}, 400),
        reply({"status": "ok"}),
        reply("<!doctype html><title>Welcome</title>", 200, HTML),
        reply("Ok", 200, TEXT),
        reply(b"", 200, {}),
        reply([{"index": 0, "score": 0.5}]),
        reply([]),
    ],
)
@pytest.mark.parametrize("route", candidates(HOST), ids=lambda route: route.url[len(HOST) :])
def test_declined(route, answer):
    assert declines(route, answer)
    assert recognise(route, answer) is None


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"", 401, {}),
        reply({"error": "503 Service Unavailable", "code": "SERVICE_UNAVAILABLE"}, 503),
        reply({"error": "Bad Request: The endpoint is paused, ask a maintainer"}, 400),
        reply(tei("Model is overloaded", "Overloaded"), 429),
        reply(tei("batch size 33 > maximum allowed batch size 32"), 422),
        reply(tei("Input validation error: `inputs` cannot be empty", "Empty"), 400),
        reply(tei("Backend error: boom", "Backend"), 424),
        reply("length limit exceeded", 413, TEXT),
        reply(NGINX_502, 502, HTML),
        reply(PYTHON_400, 400, HTML),
        reply({"error": "credits"}, 402),
        # The same route on another origin: all routes redirect so.
        reply(b"", 308, {"location": "https://elsewhere.example.org/"}),
    ],
)
def test_failures_that_say_nothing_of_the_dialect(answer):
    route = candidates(HOST)[0]
    assert not declines(route, answer)
    assert recognise(route, answer) is None


def test_an_unknown_model_is_no_wrong_route():
    answer = reply({"error": {"message": "The model `tei` does not exist."}}, 404)
    first, openai, *_ = candidates(HOST)
    assert declines(first, answer)
    assert not declines(openai, answer)


# --- when all declined ---------------------------------------------------------------------------


def test_the_conclusion_names_every_route():
    gone = Failure(Cause.NOT_FOUND, "Not Found", 404)
    failure = conclude([(route, gone) for route in candidates(HOST)])
    assert failure.cause is Cause.NOT_FOUND
    assert failure.status == 404
    for part in ("/: 404", "/v1/embeddings: 404", "/embed: 404", "/embeddings: 404", "Not Found"):
        assert part in failure.text


def test_the_conclusion_is_what_says_most():
    gone = Failure(Cause.NOT_FOUND, "Not Found", 404)
    page = Failure(Cause.PROTOCOL, "a web page instead of vectors: Welcome", 200)
    first, second, *_ = candidates(HOST)
    assert conclude([(first, gone), (second, page)]) is page
    with pytest.raises(ValueError, match="no route"):
        conclude([])
