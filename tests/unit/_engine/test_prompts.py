"""The prompts that are put before inputs: those that are set, and E5's own where it is E5."""

import logging

import httpx
import pytest
from scripted_server import INFO, URL, answer, failing, vectors

E5 = INFO | {"model_id": "intfloat/multilingual-e5-small"}
PREFIXED = [["query: a"], ["passage: b"]]


def _embed(drive, embeddings):
    drive.query(embeddings, "a")
    drive.documents(embeddings, ["b"])


@pytest.mark.parametrize(
    "model",
    [
        "intfloat/e5-base-v2",
        "intfloat/e5-small-v2",
        "intfloat/multilingual-e5-base",
        "intfloat/multilingual-e5-small",
        "Intfloat/Multilingual-E5-Small",
    ],
)
def test_an_e5_model_gets_its_own_prompts(drive, server, make, caplog, model):
    server.script(answer(200, INFO | {"model_id": model}))
    server.behave(vectors)
    with caplog.at_level(logging.INFO, "langchain_hf_endpoint"):
        _embed(drive, make(dialect="auto"))
    assert server.batches == PREFIXED
    said = [record.getMessage() for record in caplog.records if "E5" in record.getMessage()]
    assert len(said) == 1
    assert "'query: '" in said[0]
    assert "'passage: '" in said[0]
    assert model in said[0]


def test_the_model_may_be_named_by_the_url(drive, server, make):
    url = (
        "https://router.huggingface.co/hf-inference/models/intfloat/e5-small-v2"
        "/pipeline/feature-extraction"
    )
    server.behave(vectors)
    _embed(drive, make(url, dialect="auto"))
    assert server.batches == PREFIXED


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"query_prompt": "", "document_prompt": ""}, [["a"], ["b"]]),
        ({"query_prompt": "q> "}, [["q> a"], ["passage: b"]]),
        ({"document_prompt": "d> "}, [["query: a"], ["d> b"]]),
        ({"query_prompt_name": "query", "document_prompt_name": "doc"}, [["a"], ["b"]]),
    ],
    ids=["none", "query", "documents", "the server's"],
)
def test_a_prompt_that_is_set_goes_before_e5s_own(drive, server, make, settings, sent):
    server.script(answer(200, E5))
    server.behave(vectors)
    _embed(drive, make(dialect="auto", task_settings=settings))
    assert server.batches == sent


@pytest.mark.parametrize("model", ["intfloat/e5-mistral-7b-instruct", "x/not-e5", "/repository"])
def test_another_model_gets_no_prompt(drive, server, make, model):
    server.script(answer(200, INFO | {"model_id": model}))
    server.behave(vectors)
    _embed(drive, make(dialect="auto"))
    assert server.batches == [["a"], ["b"]]


def test_every_chunk_gets_the_prompt_and_no_chunk_shows_it(drive, server, make):
    server.behave(vectors)
    chunking = {"strategy": "word", "max_chunking_size": 10, "overlap": 0}
    embeddings = make(task_settings={"document_prompt": "doc: "}, chunking_settings=chunking)
    text = " ".join(f"word{number}" for number in range(25))
    [chunks] = drive.chunks(embeddings, [text])
    assert len(chunks) == 3
    sent = {one for batch in server.batches for one in batch}
    assert sent == {f"doc: {chunk.text}" for chunk in chunks}
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


@pytest.mark.parametrize(
    "hiccup",
    [failing(httpx.ReadError), failing(httpx.RemoteProtocolError), answer(500)],
    ids=["reset", "closed", "500"],
)
def test_a_hiccup_at_the_question_does_not_change_the_vectors(drive, server, make, clock, hiccup):
    server.script(hiccup, _info_else_vectors)
    server.behave(vectors)
    drive.query(make(URL, dialect="auto"), "a")
    assert server.batches == [["query: a"]]


def _info_else_vectors(request):
    return (answer(200, E5) if request.method == "GET" else vectors)(request)


@pytest.mark.parametrize(
    "settings",
    [{"dialect": "hugging_face"}, {"url": URL + "/v1/embeddings", "dialect": "auto"}],
    ids=str,
)
def test_a_description_does_not_change_the_vectors_where_no_other_process_would_ask(
    drive, server, make, caplog, settings
):
    """Where `/info` is not asked before the first input, what `describe` learns must not matter."""
    info = answer(200, {"model_id": "intfloat/e5-small-v2", "max_client_batch_size": 32})
    server.script(vectors, info)
    server.behave(vectors)
    embeddings = make(**settings)
    before = drive.query(embeddings, "one text")
    assert drive.describe(embeddings.endpoint).model_id == "intfloat/e5-small-v2"
    assert drive.query(embeddings, "one text") == before
    assert "query_prompt" in caplog.text
