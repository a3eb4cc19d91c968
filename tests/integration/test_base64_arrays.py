"""Vectors are asked for in base64 where the server is a TEI and the path is ours to choose."""

import numpy as np
import pytest

from langchain_hf_endpoint import AuthenticationError, EmbeddingError, HFEndpointEmbeddings
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

TEXTS = [f"text {number}" for number in range(12)]
RIGHT = np.stack([expected_vector(text, 16) for text in TEXTS])
BASE64 = "/v1/embeddings"


@pytest.fixture
def server():
    with ScriptedEndpoint(dimensions=16) as server:
        yield server


def embeddings_of(server, path="", **settings):
    settings = {"max_batch_size": 4, "max_concurrent_requests": 1, "max_wait": 20, **settings}
    return HFEndpointEmbeddings(url=server.url + path, **settings)


def asked(server):
    return [arrival.path for arrival in server.requests]


@pytest.mark.parametrize("method", ["documents", "array", "chunks", "stream"])
def test_once_the_server_is_known_vectors_come_in_base64(drive, server, method):
    result = getattr(drive, method)(embeddings_of(server), TEXTS)
    if method == "chunks":
        result = [chunk for chunks in result for chunk in chunks]
    is_whole = method in {"documents", "array"}
    rows = result if is_whole else [chunk.embedding for chunk in result]
    assert np.array_equal(np.float32(rows), RIGHT)
    assert asked(server) == ["/", BASE64, BASE64]


def test_lists_are_of_python_floats_in_base64_too(drive, server):
    embeddings = embeddings_of(server)
    documents = drive.documents(embeddings, TEXTS)
    query = drive.query(embeddings, TEXTS[0])
    assert asked(server) == ["/", BASE64, BASE64, BASE64]
    assert np.array_equal(np.float32(query), RIGHT[0])
    for vector in (*documents, query):
        assert type(vector) is list
        assert {type(value) for value in vector} == {float}


@pytest.mark.parametrize("path", ["/embed", "/?to=a", "/v1/embeddings"])
def test_a_path_that_is_given_is_kept_and_so_is_a_query(drive, server, path):
    assert np.array_equal(drive.array(embeddings_of(server, path), TEXTS), RIGHT)
    expected = {"/embed": {"/embed"}, "/?to=a": {"/?to=a", f"{BASE64}?to=a"}}
    assert set(asked(server)) == expected.get(path, {BASE64})


@pytest.mark.parametrize(
    "settings",
    [
        {"dialect": "tei"},
        {"dialect": "hugging_face"},
        {"task_settings": {"truncate": False}},
        {"task_settings": {"normalize": False}},
        {"task_settings": {"document_prompt_name": "passage"}},
    ],
    ids=str,
)
def test_what_base64_cannot_carry_is_asked_for_in_digits(drive, server, settings):
    try:
        drive.array(embeddings_of(server, **settings), TEXTS)
    except EmbeddingError:  # the server knows no prompt of that name
        assert "task_settings" in settings
    assert set(asked(server)) == {"/"}


def test_a_server_that_does_not_truncate_by_itself_is_asked_in_digits(drive):
    with ScriptedEndpoint(dimensions=16, version="1.8.3") as server:
        assert np.array_equal(drive.array(embeddings_of(server), TEXTS), RIGHT)
        assert set(asked(server)) == {"/"}


@pytest.mark.parametrize(
    "fault",
    [
        faults.answer(404),
        faults.answer(403),
        faults.answer(405),
        faults.answer(422, {"error": "unknown field `encoding_format`"}),
        faults.server_error(502),
        faults.web_page(),
        faults.malformed(),
        faults.redirect("/elsewhere"),
    ],
    ids=lambda fault: fault.kind,
)
def test_where_base64_is_refused_digits_are_asked_for_from_then_on(drive, server, fault):
    server.script(fault, fault, path=BASE64)
    assert np.array_equal(drive.array(embeddings_of(server), TEXTS), RIGHT)
    # The second batch may have been on its way when the first was refused.
    assert asked(server)[:2] == ["/", BASE64]
    assert (asked(server).count("/"), asked(server).count(BASE64)) in {(3, 1), (3, 2)}
    server.forget()
    assert np.array_equal(drive.array(embeddings_of(server), TEXTS), RIGHT)
    assert asked(server) == ["/"] * 3


@pytest.mark.parametrize(
    "fault",
    [faults.rate_limited(0), faults.reset("body"), faults.cold_start(), faults.batch_too_large(2)],
    ids=lambda fault: fault.kind,
)
def test_what_the_server_would_say_anywhere_is_no_refusal(drive, server, fault):
    server.script(fault, path=BASE64)
    assert np.array_equal(drive.array(embeddings_of(server), TEXTS), RIGHT)
    assert asked(server).count("/") == 1


def test_a_key_that_is_refused_is_not_tried_on_the_other_route(drive, server):
    server.script(None, *[faults.unauthorized()] * 2)
    with pytest.raises(AuthenticationError) as caught:
        drive.array(embeddings_of(server), TEXTS)
    assert len(caught.value.completed) == 4
    assert set(asked(server)[1:]) == {BASE64}


def test_a_text_that_is_refused_fails_alone(drive):
    with ScriptedEndpoint(dimensions=16, rejects="text 9") as server:
        with pytest.raises(EmbeddingError) as caught:
            drive.array(embeddings_of(server), TEXTS)
        assert list(caught.value.failures) == [9]
        assert len(caught.value.completed) == 11
