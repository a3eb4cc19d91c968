"""OpenAI-style servers that want to be asked otherwise: a model's name, no base64, where to cut."""

import logging

import httpx
import numpy as np
import orjson
import pytest
from scripted_server import HOST, URL, answer, inputs_of, numbered, vector, vectors

from langchain_hf_endpoint import (
    EmbeddingError,
    InferenceEndpoint,
    InputError,
    ProtocolError,
    SettingsError,
)

OPENAI = f"{URL}/v1/embeddings"


def told(request):
    return orjson.loads(request.content)


def floats(request):
    items = [
        {"index": index, "embedding": vector(text)} for index, text in enumerate(inputs_of(request))
    ]
    return httpx.Response(200, json={"object": "list", "data": items})


def models(*names, **more):
    return answer(200, {"data": [{"id": name, **more} for name in names]})


def serving(post, listed=None, props=None):
    """A server with a way to embed, a list of models and llama.cpp's properties."""

    def serve(request):
        if request.method == "POST":
            return post(request)
        reply = {"/v1/models": listed, "/props": props}.get(request.url.path)
        return (reply or answer(404, {"detail": "Not Found"}))(request)

    return serve


@pytest.fixture
def behave(server):
    """As `server.behave`, the GETs included."""

    def behave(serve):
        server.script(*[serve] * 500)

    return behave


def posts(server):
    return [told(request) for request in server.requests if request.method == "POST"]


# base64

REFUSALS = {
    "400, Azure": answer(400, {"error": {"message": "'base64' is not one of ['float']"}}),
    "400, LiteLLM": answer(
        400, {"error": {"message": "vertex_ai does not support parameters: {'encoding_format'}"}}
    ),
    "422, FastAPI": answer(
        422, {"detail": [{"loc": ["body", "encoding_format"], "msg": "Input should be 'float'"}]}
    ),
    "400, without a word": answer(400, {"error": "bad request"}),
    "422, without a word": answer(422),
    "500, base64": answer(500, {"error": "base64 is not supported"}),
    "404, base64": answer(404, {"error": "encoding_format base64 not found"}),
    "415, without a word": answer(415),
    "424, without a word": answer(424),
    "501, base64": answer(501, {"error": "encoding_format is not supported"}),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
@pytest.mark.parametrize("dialect", ["openai", "auto"])
def test_a_server_without_base64_is_asked_for_floats_once_and_for_all(
    server, make, refusal, dialect
):
    server.behave(lambda one: refusal(one) if "encoding_format" in told(one) else floats(one))
    embeddings = make(OPENAI, dialect=dialect, max_wait=0.0)
    texts = numbered(189)
    assert embeddings.embed_query("first") == pytest.approx(vector("first"))
    for got, text in zip(embeddings.embed_documents(texts), texts, strict=True):
        assert got == pytest.approx(vector(text))
    assert sum("encoding_format" in each for each in posts(server)) == 1
    assert len(posts(server)) == 2 + 6


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_another_request_finds_out_is_heeded_by_those_under_way(server, make, refusal):
    embeddings = make(OPENAI, dialect="openai", max_wait=0.0)

    def serve(request):
        if len(posts(server)) == 1:
            embeddings.embed_query("meanwhile")
        return refusal(request) if "encoding_format" in told(request) else floats(request)

    server.behave(serve)
    texts = numbered(20)
    for got, text in zip(embeddings.embed_documents(texts), texts, strict=True):
        assert got == pytest.approx(vector(text))
    assert ["encoding_format" in each for each in posts(server)] == [True, True, False, False]


def test_a_text_that_is_refused_is_no_reason_to_go_without_base64(server, make):
    def serve(request):
        bad = any("bad" in text for text in inputs_of(request))
        return answer(400, {"error": "bad text"})(request) if bad else vectors(request)

    server.behave(serve)
    embeddings = make(OPENAI, dialect="openai")
    with pytest.raises(InputError, match="bad text"):
        embeddings.embed_query("bad")
    assert len(posts(server)) == 2, "asked for floats once, since it did not say why"
    with pytest.raises(EmbeddingError) as caught:
        embeddings.embed_documents(["bad 1", "good", "bad 2"])
    assert set(caught.value.completed) == {1}
    assert all("encoding_format" in each for each in posts(server)[2:])


def test_a_server_that_says_that_it_has_no_base64_is_asked_no_third_time(server, make):
    """And then refuses the text without a word."""
    refusals = {True: {"error": "base64 is not supported"}, False: {"error": "bad text"}}
    server.behave(lambda one: answer(400, refusals["encoding_format" in told(one)])(one))
    embeddings = make(OPENAI, dialect="openai")
    for _ in range(2):
        with pytest.raises(InputError, match="bad text"):
            embeddings.embed_query("bad")
    assert ["encoding_format" in each for each in posts(server)] == [True, False, False]


# Names of models


def insists_on(*names):
    def post(request):
        if told(request)["model"] in names:
            return vectors(request)
        return answer(404, {"error": "The model `x` does not exist."})(request)

    return serving(post, models(*names))


@pytest.mark.parametrize(
    "case",
    [(("only",), "only"), (("bge-m3", "nomic-embed-text"), "nomic-embed-text")],
)
def test_a_choice_among_several_models_is_logged(server, make, behave, caplog, case):
    names, choice = case
    behave(insists_on(*names))
    caplog.set_level(logging.WARNING)
    make(OPENAI, dialect="openai").embed_query("one text")
    assert posts(server)[-1]["model"] == choice
    assert ("service_settings.model" in caplog.text) is (len(names) > 1)


def test_a_server_with_several_models_says_which_there_are(drive, make, behave):
    behave(insists_on("bge-m3", "gte-large"))
    with pytest.raises(SettingsError, match="It has: bge-m3, gte-large") as caught:
        drive.query(make(OPENAI, dialect="openai"), "one text")
    assert caught.value.problems[0][0] == "service_settings.model"
    assert "Set service_settings.model" in str(caught.value)


def test_the_model_that_is_set_is_asked_for_and_no_other(drive, server, make, behave):
    behave(insists_on("bge-m3", "nomic-embed-text"))
    drive.query(make(OPENAI, dialect="openai", model="bge-m3"), "one text")
    assert [each["model"] for each in posts(server)] == ["bge-m3"]
    with pytest.raises(SettingsError, match="It has: bge-m3, nomic-embed-text"):
        drive.query(make(OPENAI, dialect="openai", model="bge-m4"), "one text")
    assert posts(server)[-1]["model"] == "bge-m4"


def test_two_models_behind_one_url_have_vectors_of_their_own_width(drive, server, make):
    def serve(request):
        width = 8 if told(request)["model"] == "small" else 16
        item = {"index": 0, "embedding": vector("x", width)}
        return httpx.Response(200, json={"data": [item]})

    server.behave(serve)
    small, large = (make(OPENAI, dialect="openai", model=name) for name in ("small", "large"))
    assert (len(drive.query(small, "a")), len(drive.query(large, "b"))) == (8, 16)
    assert (small.dimensions, large.dimensions) == (8, 16)


@pytest.mark.parametrize("dialect", ["auto", "tei", "hugging_face"])
def test_the_model_that_is_set_decides_the_prompts(drive, server, make, dialect):
    server.behave(vectors)
    embeddings = make(dialect=dialect, model="intfloat/e5-small-v2")
    drive.query(embeddings, "one text")
    drive.documents(embeddings, ["another"])
    assert server.batches == [["query: one text"], ["passage: another"]]
    assert all("model" not in each for each in posts(server)), "TEI has no place for it"


REPOSITORY = {
    "model_id": "/repository",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_client_batch_size": 32,
}


def test_describe_says_that_a_server_does_not_name_its_model(drive, server, caplog):
    server.script(answer(200, REPOSITORY), vectors)
    described = drive.describe(InferenceEndpoint(url=URL))
    assert described.model_id is None
    for words in (HOST, "/repository", "E5", "service_settings.model", "no proof"):
        assert words in caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"model": "BAAI/bge-m3"},
        {"task_settings": {"query_prompt": "", "document_prompt": ""}},
    ],
    ids=["named", "decided"],
)
def test_nothing_is_said_of_it_where_somebody_has_decided(drive, server, caplog, settings):
    server.script(answer(200, REPOSITORY), vectors)
    described = drive.describe(InferenceEndpoint(url=URL, **settings))
    assert described.model_id == settings.get("model")
    assert caplog.text == ""


# Windows


def over_window(request):
    """vLLM's words for a text that is too long, if it is not told to cut."""
    if "truncate_prompt_tokens" in told(request) or all(len(t) < 50 for t in inputs_of(request)):
        return vectors(request)
    words = (
        "This model's maximum context length is 512 tokens. However, you requested 600 tokens in "
        "the input for embedding generation. Please reduce the length of the input."
    )
    return answer(400, {"object": "error", "message": words, "code": 400})(request)


def test_vllm_is_told_where_to_cut(drive, server, make, behave):
    behave(serving(over_window, models("m", owned_by="vllm", max_model_len=512)))
    embeddings = make(OPENAI, dialect="openai", max_batch_size=4)
    texts = [*numbered(7), "x" * 100]
    assert len(drive.documents(embeddings, texts)) == 8
    drive.query(embeddings, "y" * 100)
    assert {each.get("truncate_prompt_tokens") for each in posts(server)} == {None, 512}
    assert posts(server)[-1]["truncate_prompt_tokens"] == 512
    assert sum(request.method == "GET" for request in server.requests) == 1


@pytest.mark.parametrize("listed", [None, models("m", owned_by="llamacpp", meta={"n_ctx": 512})])
def test_where_it_cannot_be_cut_the_advice_is_one_that_helps(drive, make, behave, listed):
    behave(serving(over_window, listed))
    with pytest.raises(InputError, match="max_chunking_size") as caught:
        drive.query(make(OPENAI, dialect="openai"), "x" * 100)
    assert "set task_settings.truncate" not in str(caught.value)


def test_where_truncate_is_off_it_is_said_that_it_can_be_on(drive, server, make):
    server.behave(answer(422, {"error": "`inputs` must have less than 512 tokens. Given: 600"}))
    with pytest.raises(InputError, match=r"set task_settings\.truncate to True"):
        drive.query(make(task_settings={"truncate": False}), "x" * 100)


@pytest.mark.parametrize(
    ("listed", "props", "found"),
    [
        (models("m", owned_by="vllm", max_model_len=512), None, ("vllm", "m", 512)),
        (
            models("m", owned_by="llamacpp", meta={"n_ctx_train": 8192}),
            answer(200, {"default_generation_settings": {"n_ctx": 2048}}),
            ("llamacpp", "m", 2048),
        ),
        (models("m", owned_by="llamacpp", meta={"n_ctx_train": 512}), None, ("llamacpp", "m", 512)),
        (models("m"), None, (None, "m", None)),
        (answer(200, "no json"), None, (None, None, None)),
        (answer(200, {"data": [{"id": "m", "owned_by": [], "meta": 3}]}), None, (None, "m", None)),
        (None, None, (None, None, None)),
    ],
)
def test_describe_says_what_the_list_of_models_does(drive, behave, listed, props, found):
    behave(serving(vectors, listed, props))
    described = drive.describe(InferenceEndpoint(url=OPENAI))
    assert (described.server, described.model_id, described.max_input_tokens) == found


# Replies that are none


@pytest.mark.parametrize(
    "body",
    [
        {"object": "error", "message": "the engine died", "type": "x", "code": 500},
        {"error": {"message": "the engine died"}},
        {"status": "failed", "message": "the engine died"},
    ],
)
def test_the_words_of_an_error_with_a_status_of_success_are_kept(drive, server, make, clock, body):
    server.behave(answer(200, body))
    with pytest.raises(ProtocolError, match="the engine died"):
        drive.query(make(OPENAI, dialect="openai"), "one text")


def test_a_vector_may_have_one_number(drive, server, make):
    server.behave(answer(200, [[1.0]]))
    assert drive.query(make(), "one text") == [1.0]


ZEROS = ([0.0] * 16, [0] * 16, [-0.0] * 16)


@pytest.mark.parametrize("zeros", ZEROS, ids=str)
@pytest.mark.parametrize("as_base64", [True, False])
def test_a_vector_of_zeros_has_no_direction(drive, server, make, clock, zeros, as_base64):
    def serve(request):
        import base64  # noqa: PLC0415

        packed = base64.b64encode(np.array(zeros, np.float32)).decode()
        row = packed if as_base64 else zeros
        return httpx.Response(200, json={"data": [{"index": 0, "embedding": row}]})

    server.behave(serve)
    with pytest.raises(ProtocolError, match="a vector of zeros"):
        drive.query(make(OPENAI, dialect="openai"), "one text")


def test_a_vector_of_zeros_is_one_where_it_is_not_to_be_normalized(drive, server, make):
    server.behave(answer(200, [[0.0] * 16]))
    embeddings = make(task_settings={"normalize": False})
    assert drive.query(embeddings, "one text") == [0.0] * 16


def test_a_route_that_was_tried_twice_is_named_once(drive, server, make):
    server.behave(answer(404))
    with pytest.raises(Exception, match=r"among those tried \(/nonsense: 404\) \(") as caught:
        drive.query(make(f"{URL}/nonsense", dialect="auto"), "one text")
    assert "no explanation" not in str(caught.value)


# Limits


@pytest.mark.parametrize(
    "words",
    [
        "32 inputs were given, at most 6 are allowed",
        "List should have at most 6 items after validation, not 32",
        {"detail": [{"loc": ["body", "texts"], "msg": "List should have at most 6 items, not 32"}]},
        "a maximum of 6 texts per request",
        "no more than 6 inputs",
        "Too many texts: up to 6 are allowed",
        "batch limit is 6",
        "max batch size is 6",
        "maximum batch size: 6",
        "batch of 32 exceeds the limit of 6",
        "only limited to 6 inputs per request",
        "Too many inputs: 32 > 6",
        "input array must have 6 or fewer elements",
        "Maximum 6 inputs per request",
        "The number of inputs (32) exceeds the maximum allowed (6)",
        "Number of inputs exceeds 6",
        "Maximum batch size exceeded: 32 > 6",
        "batch too large (max 6)",
        "Requested batch size 32 is over the max_client_batch_size of 6",
        "`input` must not contain more than 6 items",
        "Please reduce the batch size to 6 or less",
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_limit_of_inputs_is_learned_from_many_words(server, make, words, status):
    refusal = answer(status, words if isinstance(words, dict) else {"error": words})
    server.behave(lambda one: refusal(one) if len(inputs_of(one)) > 6 else vectors(one))
    assert len(make(max_concurrent_requests=1).embed_documents(numbered(192))) == 192
    assert len(server.batches) <= 36


@pytest.mark.parametrize(
    "words",
    [
        "the input has 900 tokens, at most 512 are allowed",
        "text must have at most 6 characters",
        "at most 6 words per text",
    ],
)
def test_a_limit_of_one_text_is_no_limit_of_inputs(server, make, words):
    server.behave(answer(400, {"error": words}))
    with pytest.raises(InputError, match="rejects the text"):
        make().embed_query("one text")


def tokens(texts):
    return sum(len(text.split()) for text in texts)


@pytest.mark.parametrize(
    "words",
    [
        "Requested {given} tokens, max {most} tokens per request",
        "The max allowed tokens per submitted batch is {most}. Your batch has {given} tokens",
        "Too many tokens overall, split into more batches.",
        "invalid request",
    ],
)
@pytest.mark.parametrize("most", [800, 1000, 1500])
def test_a_limit_of_tokens_per_request_is_learned(server, make, clock, words, most):
    def serve(request):
        given = tokens(inputs_of(request))
        if given <= most:
            return vectors(request)
        return answer(400, {"error": words.format(given=given, most=most)})(request)

    server.behave(serve)
    texts = [" ".join([f"w{number}", *["word"] * 49]) for number in range(1600)]
    embeddings = make(max_concurrent_requests=1)
    assert len(embeddings.embed_documents(texts)) == 1600
    needed = -(-tokens(texts) // most)
    assert len(server.batches) <= 1.4 * needed + 12
    before = len(server.batches)
    embeddings.embed_documents([f"again {text}" for text in texts])
    assert len(server.batches) - before <= 1.4 * needed + 3
