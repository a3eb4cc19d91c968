"""Words to requests of /tokenize, and their answers to counts."""

from __future__ import annotations

import json

import pytest
from wire_samples import reply

from langchain_hf_endpoint._protocols import (
    batches_of_words,
    read_words,
    words_request,
)

URL = "http://localhost:8080/v1/embeddings"
MARKER = [7, 8, 9]
KINDS = ("tei", "llamacpp", "vllm")


def test_where_each_server_is_asked_and_how():
    tei, llama, vllm = (words_request(kind, URL, ["a", "\nb"], "m") for kind in KINDS)
    assert {one.url for one in (tei, llama, vllm)} == {"http://localhost:8080/tokenize"}
    text = " zq7kx zq7kx a zq7kx\nb zq7kx"
    assert json.loads(tei.body) == {"inputs": [text], "add_special_tokens": True}
    assert json.loads(llama.body) == {"content": text, "add_special": True}
    assert json.loads(vllm.body) == {"prompt": text, "add_special_tokens": True, "model": "m"}


def test_serverless_hosts_have_no_tokenizer():
    assert words_request("vllm", "https://router.huggingface.co/x/v1/embeddings", ["a"]) is None


def told(kind, *ids):
    """As this kind of server says it, of one text."""
    return [[{"id": one} for one in ids]] if kind == "tei" else {"tokens": [*ids]}


def test_many_words_are_several_inputs_of_tei():
    words = [f"word{number}" for number in range(1000)]
    inputs = json.loads(words_request("tei", URL, words).body)["inputs"]
    assert len(inputs) > 1
    assert max(map(len, inputs)) <= 64 * 250
    ids = {" ": 5}
    rows = [[{"id": ids.setdefault(word, len(ids))} for word in text.split()] for text in inputs]
    assert read_words("tei", reply(rows), words) == (0, [1] * 1000)
    assert read_words("tei", reply(rows[:-1]), words) is None


@pytest.mark.parametrize(
    "answer", [[], {"error": "no"}, [[]], [[{"text": "a"}]], [["a"]], "none", None, [3]]
)
def test_what_tei_does_not_say_is_not_guessed(answer):
    assert read_words("tei", reply(answer), ["a"]) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [[], [101]])
@pytest.mark.parametrize("after", [[], [102]])
def test_what_stands_between_markers_is_counted(kind, before, after):
    ids = [*before, *MARKER, *MARKER, 1, *MARKER, 2, 7, 8, 3, *MARKER, *MARKER, *after]
    read = read_words(kind, reply(told(kind, *ids)), ["a", "b", ""])
    assert read == (len(before) + len(after), [1, 4, 0])


@pytest.mark.parametrize(
    "answer",
    [
        {"tokens": [*MARKER, 1, *MARKER]},
        {"tokens": [*MARKER, *MARKER, 1, *MARKER, 2, *MARKER]},  # a word more than was asked
        {"tokens": []},
        {"tokens": "none"},
        {"count": 3},
        [1, 2],
    ],
)
def test_an_answer_of_another_number_of_words_is_none(answer):
    assert read_words("vllm", reply(answer), ["a"]) is None


def test_batches_hold_every_word_in_order_and_no_more_than_a_request_may():
    words = [f"word{number}" for number in range(50_000)] + ["x"] * 50_000
    for most_inputs in (1, 4, 32, 1000):
        batches = [*batches_of_words(words, most_inputs)]
        assert [word for batch in batches for word in batch] == words
        for batch in batches:
            body = json.loads(words_request("tei", URL, batch).body)
            assert len(body["inputs"]) <= most_inputs
            assert sum(map(len, body["inputs"])) <= 200_000  # as the embedded server takes
    assert [*batches_of_words([], 32)] == []
