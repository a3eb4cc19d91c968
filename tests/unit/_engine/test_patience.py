"""How long one batch may take, and what it may cost a server that will not have it."""

import logging

import httpx
import pytest
from scripted_server import answer, failing, inputs_of, numbered, vector, vectors

from langchain_hf_endpoint import EmbeddingError, ServerError

TOO_LONG = {"error": "`inputs` must have less than 512 tokens", "error_type": "Validation"}


def _slow_for_more_than(most):
    slow = failing(httpx.ReadTimeout)
    return lambda request: (slow if len(inputs_of(request)) > most else vectors)(request)


def test_a_batch_that_the_server_is_too_slow_for_is_made_smaller_and_that_is_remembered(
    drive, server, make, clock
):
    server.behave(_slow_for_more_than(8))
    texts = numbered(64)
    embeddings = make(max_concurrent_requests=1)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    sizes = [len(batch) for batch in server.batches]
    assert sum(size > 8 for size in sizes) <= 8  # two of each size for each batch under way
    more = [f"more {text}" for text in texts]
    assert drive.documents(embeddings, more) == [vector(text) for text in more]
    assert {len(batch) for batch in server.batches[len(sizes) :]} == {8}


def test_a_server_that_never_answers_costs_no_more_than_max_wait_in_all(drive, server, make, clock):
    server.behave(failing(httpx.ReadTimeout))
    with pytest.raises(EmbeddingError, match="no complete reply"):
        drive.documents(make(max_wait=100.0), numbered(32))
    assert clock.waited <= 101


def test_the_permit_of_a_retry_counts_for_max_wait(drive, server, make, clock):
    server.behave(answer(500))
    with pytest.raises(ServerError):
        drive.query(make(max_wait=15.0, rate_limit={"requests_per_minute": 6}), "one text")
    assert clock.waited <= 16
    assert len(server.batches) == 2


def test_a_server_that_begins_to_reject_everything_is_not_asked_for_ever(
    drive, server, make, clock
):
    server.script(vectors)
    server.behave(answer(400, {"error": "CUDA out of memory"}))
    texts = numbered(3200)
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(max_concurrent_requests=1), texts)
    assert len(caught.value.completed) == 32
    assert set(caught.value.completed) | set(caught.value.failures) == set(range(3200))
    assert len(server.batches) < 22 * 63


def test_many_batches_of_texts_that_are_too_long_do_not_cost_the_short_ones(
    drive, server, make, clock
):
    def takes_short_ones(request):
        too_long = any(len(text) > 30 for text in inputs_of(request))
        return (answer(422, TOO_LONG) if too_long else vectors)(request)

    server.behave(takes_short_ones)
    long = [f"{number} {'long ' * 8}" for number in range(8 * 4)]
    short = numbered(16)
    drive.query(embeddings := make(max_batch_size=4), "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, [*long, *short])
    assert set(caught.value.completed) == set(range(32, 48))


def test_a_long_trial_is_told_of_once(drive, server, make, clock, caplog):
    server.script(*[answer(503)] * 12, vectors)
    with caplog.at_level(logging.WARNING, "langchain_hf_endpoint"):
        drive.query(make(), "one text")
    assert len(caplog.records) == 1
    assert "not_ready" in caplog.text


def test_a_server_that_does_not_normalize_is_told_of_once(drive, server, make, caplog):
    server.behave(lambda request: httpx.Response(200, json=[[3.0, 4.0]] * len(inputs_of(request))))
    embeddings = make()
    for text in ("one", "two"):
        assert drive.query(embeddings, text) == [3.0, 4.0]
    assert [record.levelname for record in caplog.records if "normalize" in record.message] == [
        "WARNING"
    ]


def test_nothing_is_said_of_lengths_where_none_was_asked_for(drive, server, make, caplog):
    server.behave(lambda request: httpx.Response(200, json=[[3.0, 4.0]] * len(inputs_of(request))))
    drive.query(make(task_settings={"normalize": False}), "one")
    assert "normalize" not in caplog.text
