"""A batch that a server refuses: split at the limit it states, or until the culprit is found."""

import pytest
from driving import DRIVES
from scripted_server import answer, inputs_of, numbered, rejects, takes_at_most, vector, vectors
from thoroughness import in_pairs
from wire_samples import EMPTY, NO_SUCH_PROMPT, TOO_LONG, tei, tei_openai

from langchain_hf_endpoint import EmbeddingError, InputError, ServerError, SettingsError

PAYLOAD = "Failed to buffer the request body: length limit exceeded"
OPENAI_URL = "https://embed.example.org/v1/embeddings"


def _right(result, texts):
    return result == [vector(text) for text in texts]


@pytest.mark.parametrize("status", [413, 422])
@pytest.mark.parametrize("limit", [1, 8, 31])
def test_a_batch_over_the_servers_limit_is_split_at_the_limit_it_states(
    drive, server, make, status, limit
):
    server.behave(takes_at_most(limit, status))
    texts = numbered(32)
    assert _right(drive.documents(make(), texts), texts)
    sizes = [len(batch) for batch in server.batches]
    assert sizes[0] == 32
    assert max(sizes[1:]) == limit
    assert len(sizes) == 1 + -(-32 // limit)


def test_the_limit_is_remembered_for_the_next_calls(drive, server, make):
    server.behave(takes_at_most(8))
    texts = numbered(32)
    drive.documents(make(), texts)
    first = len(server.requests)
    assert _right(drive.documents(make(), numbered(40, "other")), numbered(40, "other"))
    assert {len(batch) for batch in server.batches[first:]} == {8}


@pytest.mark.parametrize("status", [413, 422])
def test_the_limit_is_learned_from_teis_openai_route_too(drive, server, make, status):
    words = "batch size 32 > maximum allowed batch size 10"
    server.script(answer(status, tei_openai(words, status)))
    server.behave(takes_at_most(10, status))
    texts = numbered(32)
    assert drive.array(make(OPENAI_URL), texts).tolist() == [vector(text) for text in texts]
    assert [len(batch) for batch in server.batches] == [32, 10, 10, 10, 2]


def test_a_wish_for_larger_batches_than_the_server_takes_is_no_error(drive, server, make):
    server.behave(takes_at_most(20))
    texts = numbered(100)
    embeddings = make(max_batch_size=64, max_concurrent_requests=1)
    assert _right(drive.documents(embeddings, texts), texts)
    assert [len(batch) for batch in server.batches].count(20) >= 3


def test_a_server_that_states_a_limit_it_does_not_keep_is_no_endless_loop(drive, server, make):
    server.behave(answer(413, tei("batch size 5 > maximum allowed batch size 32")))
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), numbered(8))
    assert isinstance(caught.value, ServerError)
    assert len(server.requests) < 20


def _takes_bytes(limit):
    def serve(request):
        refused = len(request.content) > limit
        return answer(413, PAYLOAD)(request) if refused else vectors(request)

    return serve


def test_a_body_over_the_servers_limit_is_split(drive, server, make):
    server.behave(_takes_bytes(10_000))
    texts = [f"{number} " + "word " * 200 for number in range(32)]
    stripped = [text.strip() for text in texts]
    assert _right(drive.documents(make(), texts), stripped)
    first = len(server.requests)
    others = [f"other {text}" for text in stripped]
    assert _right(drive.documents(make(), others), others)
    refused = [len(request.content) > 10_000 for request in server.requests]
    assert refused[0]
    assert not any(refused[first:])


def test_bodies_stay_below_teis_two_million_bytes_without_asking(drive, server, make):
    server.behave(_takes_bytes(2_000_000))
    texts = [f"{number} " + '"\n' * 50_000 + "é" * 50_000 for number in range(30)]
    embeddings = make(chunking_settings={"strategy": "none"})
    assert _right(drive.documents(embeddings, texts), texts)
    sizes = [len(request.content) for request in server.requests]
    assert max(sizes) < 2_000_000
    assert len(sizes) <= 7, "the bodies are not filled"


@pytest.mark.parametrize("page", [PAYLOAD, "<html><title>413 Too Large</title></html>", b""])
def test_one_text_of_more_bytes_than_the_server_takes_is_named(drive, server, make, page):
    def serve(request):
        too_large = len(request.content) > 3000
        return answer(413, page)(request) if too_large else vectors(request)

    server.behave(serve)
    embeddings = make(chunking_settings={"strategy": "none"})
    drive.query(embeddings, "the server works")
    texts = [*numbered(5), "x" * 5000, *numbered(5, "other")]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    error = caught.value
    assert error.failures.keys() == {5}
    assert isinstance(error.failures[5], InputError)
    assert error.failures[5].index == 5
    assert error.failures[5].status == 413
    assert "text 5" in str(error.failures[5])
    assert error.completed == {n: vector(text) for n, text in enumerate(texts) if n != 5}


REFUSALS = {
    "422 too long": answer(422, tei(TOO_LONG)),
    "413 too long": answer(413, tei(TOO_LONG)),
    "400 empty": answer(400, tei(EMPTY, "Empty")),
    "422 tokenizer": answer(422, tei("tokenizer error", "Tokenizer")),
    "400 toolkit": answer(400, {"error": "CUDA out of memory"}),
    "422 bare": answer(422),
}


@in_pairs(drive=DRIVES, refusal=REFUSALS, place=[0, 13, 31], indirect=["drive"])
def test_one_rejected_input_fails_alone(drive, server, make, refusal, place):
    server.behave(rejects("bad", REFUSALS[refusal]))
    texts = numbered(32)
    texts[place] = "a bad one"
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), texts)
    error = caught.value
    assert isinstance(error, InputError)
    assert error.index == place
    assert error.failures.keys() == {place}
    assert error.failures[place].index == place
    assert error.completed == {n: vector(text) for n, text in enumerate(texts) if n != place}
    # Found by halving: two requests a level, and the first.
    assert len(server.requests) <= 11


def test_several_rejected_inputs_fail_alone(drive, server, make):
    server.behave(rejects("bad", REFUSALS["422 too long"]))
    texts = [f"text {n}" if n % 9 else f"bad {n}" for n in range(100)]
    with pytest.raises(EmbeddingError, match="12 of 100 texts") as caught:
        drive.documents(make(), texts)
    bad = {n for n in range(100) if n % 9 == 0}
    assert caught.value.failures.keys() == bad
    assert all(cause.index == n for n, cause in caught.value.failures.items())
    assert caught.value.completed == {n: vector(texts[n]) for n in range(100) if n not in bad}


def test_a_text_whose_chunk_is_rejected_is_named_once_and_the_same_text_twice(drive, server, make):
    server.behave(rejects("bad", REFUSALS["422 too long"]))
    long = "word " * 30 + "bad"
    texts = ["good", long, "other", long]
    embeddings = make(chunking_settings={"strategy": "word", "max_chunking_size": 10, "overlap": 0})
    with pytest.raises(EmbeddingError, match=r"2 of 4 texts .*\(texts 1, 3\)") as caught:
        drive.documents(embeddings, texts)
    assert {n: cause.index for n, cause in caught.value.failures.items()} == {1: 1, 3: 3}
    assert caught.value.completed == {0: vector("good"), 2: vector("other")}


# A fresh process and the default dialect: the first request goes alone, and the longest input is in
# it, since batches are filled by length.
def test_a_rejected_input_fails_alone_also_when_it_is_the_first_that_the_server_ever_sees(
    drive, server, make
):
    server.behave(rejects("bad", REFUSALS["422 too long"]))
    texts = ["a text", "bad, and longer than the others", "another text"]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(dialect="auto", max_batch_size=1), texts)
    assert caught.value.failures.keys() == {1}
    assert caught.value.completed == {0: vector("a text"), 2: vector("another text")}


def test_a_batch_of_nothing_but_rejected_inputs_does_not_cost_the_others(drive, server, make):
    """Which is what comes first with `truncate` off: the longest inputs are in one batch."""
    server.behave(rejects("bad", REFUSALS["422 too long"]))
    texts = [f"bad, {'too long ' * 20}{n}" for n in range(32)] + numbered(32)
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(dialect="auto"), texts)
    assert caught.value.failures.keys() == set(range(32))
    assert caught.value.completed == {n: vector(texts[n]) for n in range(32, 64)}


def test_one_text_that_is_too_large_does_not_cost_the_others_in_a_new_process(drive, server, make):
    server.behave(_takes_bytes(2_000_000))
    texts = ["a text", "x" * 5_000_000, "another text"]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(dialect="auto", chunking_settings={"strategy": "none"}), texts)
    assert caught.value.failures.keys() == {1}
    assert caught.value.completed == {0: vector("a text"), 2: vector("another text")}


def test_a_stream_goes_on_after_a_rejected_first_text(drive, server, make):
    server.behave(rejects("bad", REFUSALS["422 too long"]))
    seen = []
    texts = ["bad, and longer than the others", "a text", "another text"]
    with pytest.raises(EmbeddingError) as caught:
        drive.stream(make(dialect="auto", max_batch_size=1), texts, each=seen.append)
    assert [chunk.text for chunk in seen] == ["a text", "another text"]
    assert caught.value.failures.keys() == {0}


def test_a_server_that_rejects_everything_is_not_asked_for_ever(drive, server, make, clock):
    server.behave(answer(400, {"error": "I never liked you"}))
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), numbered(640))
    assert caught.value.failures.keys() == set(range(640))
    assert len(server.requests) < 640  # what asking for each text by itself would cost


@pytest.mark.parametrize("status", [413, 422])
def test_a_rejected_setting_is_the_same_for_all_and_not_looked_for(drive, server, make, status):
    server.script(answer(status, tei(NO_SUCH_PROMPT)))
    embeddings = make(task_settings={"document_prompt_name": "search"})
    with pytest.raises(EmbeddingError, match="Available prompts: query, passage") as caught:
        drive.documents(embeddings, numbered(32))
    assert isinstance(caught.value, SettingsError)
    assert len(server.requests) == 1


def test_what_was_paid_for_before_a_batch_was_refused_in_parts_is_kept(drive, server, make):
    """A batch split in two: the first half succeeds, the second meets a 401."""

    def serve(request):
        if len(inputs_of(request)) > 16:
            return takes_at_most(16)(request)
        return vectors(request) if len(server.requests) == 2 else answer(401)(request)

    server.behave(serve)
    texts = numbered(32)
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), texts)
    assert len(caught.value.completed) == 16
    assert all(caught.value.completed[n] == vector(texts[n]) for n in caught.value.completed)


@pytest.mark.parametrize("words", ["batch size 4 > maximum allowed batch size 2", "bad text"])
def test_the_parts_of_a_refused_batch_are_no_retries_and_may_wait_for_their_permits(
    drive, server, make, clock, words
):
    server.script(answer(422, tei(words)))
    server.behave(vectors)
    texts = numbered(4)
    # Each permit is ten seconds after the one before: more than retries may take, of which none is.
    embeddings = make(max_wait=0.0, rate_limit={"requests_per_minute": 6})
    assert _right(drive.documents(embeddings, texts), texts)
    assert [len(batch) for batch in server.batches] == [4, 2, 2]
    assert clock.waited > 15
