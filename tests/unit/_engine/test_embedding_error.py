"""What an error of a call with several texts holds, and that nothing that was paid for is lost."""

import asyncio
import pickle
import threading

import httpx
import pytest
from driving import DRIVES
from scripted_server import answer, failing, inputs_of, numbered, rejects, vector, vectors
from wire_samples import TOO_LONG, tei

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    HFEndpointError,
    InputError,
    ProtocolError,
    ServerError,
    TransportError,
)

REJECTED = answer(422, tei(TOO_LONG))


def _one_by_one(make, **settings):
    """One text a request, one after the other."""
    return make(max_batch_size=1, max_concurrent_requests=1, **settings)


def test_every_text_is_either_completed_or_failed(drive, server, make):
    server.behave(rejects("bad", REJECTED))
    texts = ["good one", "bad one", "good two", "bad two"]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(_one_by_one(make), texts)
    error = caught.value
    assert error.completed == {0: vector("good one"), 2: vector("good two")}
    assert sorted(error.failures) == [1, 3]
    assert error.index == 1
    assert "2 of 4 texts could not be embedded (texts 1, 3)" in str(error)
    assert ".completed" in error.advice


def test_others_are_not_spoken_of_where_there_are_none(drive, server, make):
    server.behave(REJECTED)
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(_one_by_one(make), ["bad one", "bad two"])
    assert "2 of 2 texts" in str(caught.value)
    assert "others" not in str(caught.value)
    assert caught.value.advice == "Every cause is in .failures."
    with pytest.raises(EmbeddingError) as caught:
        drive.stream(_one_by_one(make), ["bad one"])
    assert "others" not in str(caught.value)


@pytest.mark.parametrize("method", ["array", "chunks"])
def test_completed_holds_what_the_call_would_have_returned(drive, server, make, method):
    server.behave(rejects("bad", REJECTED))
    texts = ["good one", "bad one", "good two"]
    with pytest.raises(EmbeddingError) as caught:
        getattr(drive, method)(_one_by_one(make), texts)
    completed = caught.value.completed
    assert sorted(completed) == [0, 2]
    for index, result in completed.items():
        row = result if method == "array" else result[0].embedding
        assert row.tolist() == vector(texts[index])
        if method == "chunks":
            assert result[0].text_index == index


def test_the_error_is_of_the_class_of_its_causes_where_they_are_of_one(drive, server, make):
    server.behave(rejects("bad", REJECTED))
    with pytest.raises(InputError) as caught:
        drive.documents(_one_by_one(make), ["good", "bad 1", "bad 2"])
    assert isinstance(caught.value, EmbeddingError)
    assert not isinstance(caught.value, AuthenticationError)


def test_the_error_is_of_no_class_but_its_own_where_the_causes_differ(drive, server, make, clock):
    def serve(request):
        text = inputs_of(request)[0]
        if "bad" in text:
            return REJECTED(request)
        return (answer(200, []) if "odd" in text else vectors)(request)

    server.behave(serve)
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(_one_by_one(make), ["a good and long text", "bad", "odd"])
    assert {type(cause) for cause in caught.value.failures.values()} == {InputError, ProtocolError}
    assert type(caught.value) is EmbeddingError
    assert not isinstance(caught.value, (InputError, ProtocolError))


def test_the_error_survives_a_pickle(drive, server, make):
    server.behave(rejects("bad", REJECTED))
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(_one_by_one(make), ["good", "bad"])
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, EmbeddingError)
    assert isinstance(again, InputError)
    assert str(again) == str(caught.value)
    assert again.completed == {0: vector("good")}
    assert (again.failures[1].index, again.failures[1].status) == (1, 422)
    assert again.failures[1].host == caught.value.failures[1].host


def test_a_text_of_which_one_chunk_fails_is_failed_and_the_others_are_kept(drive, server, make):
    server.behave(rejects("bad", REJECTED))
    embeddings = _one_by_one(
        make, chunking_settings={"strategy": "word", "max_chunking_size": 10, "overlap": 0}
    )
    long = "one " * 10 + "bad " * 10 + "two " * 10
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, ["good", long])
    assert caught.value.completed == {0: vector("good")}
    assert caught.value.failures[1].index == 1


def test_what_was_done_before_the_server_went_away_is_kept(drive, server, make, clock):
    server.script(vectors, vectors, vectors)
    server.behave(failing(httpx.ConnectError))
    texts = numbered(12)
    with pytest.raises(TransportError) as caught:
        drive.documents(_one_by_one(make, max_wait=5.0), texts)
    assert len(caught.value.completed) == 3
    assert len(caught.value.failures) == 9
    assert all(caught.value.completed[n] == vector(texts[n]) for n in caught.value.completed)


def test_a_stream_gives_what_it_can_and_names_the_rest_at_its_end(drive, server, make):
    server.behave(rejects("bad", REJECTED))
    seen = []
    texts = ["good one, the longest", "bad one", "good two", "bad two", "good three"]
    with pytest.raises(EmbeddingError) as caught:
        drive.stream(_one_by_one(make), iter(texts), each=seen.append)
    assert [(chunk.text, chunk.text_index) for chunk in seen] == [
        (texts[0], 0),
        (texts[2], 2),
        (texts[4], 4),
    ]
    assert sorted(caught.value.failures) == [1, 3]
    assert caught.value.completed == {}


def test_a_stream_ends_at_what_all_texts_would_meet(drive, server, make):
    server.script(vectors, vectors)
    server.behave(answer(401))
    seen = []
    with pytest.raises(AuthenticationError):
        drive.stream(_one_by_one(make), (f"text {n}" for n in range(10**9)), each=seen.append)
    assert len(seen) == 2
    assert seen[0].text_index < seen[1].text_index
    assert all(chunk.embedding.tolist() == vector(chunk.text) for chunk in seen)
    assert len(server.requests) <= 2 + 3


def test_a_query_fails_by_its_own_class_alone(drive, server, make):
    server.script(answer(424))
    with pytest.raises(ServerError) as caught:
        drive.query(make(), "one text")
    assert type(caught.value) is ServerError


class _HalfDone:
    """Two batches under way. One is split: its first half is answered, its second is told to wait
    a minute. Then the other meets a 401, which ends the call."""

    def __init__(self, texts):
        self._split = set(texts[:4])
        self._other_is_here = threading.Event()
        self._half_is_told_to_wait = threading.Event()
        self.answered = []

    def _decide(self, request):
        """What to wait for, and what to answer then."""
        inputs = inputs_of(request)
        if not self._split.issuperset(inputs):
            self._other_is_here.set()
            return self._half_is_told_to_wait, answer(401)
        if len(inputs) == 4:
            words = "batch size 4 > maximum allowed batch size 2"
            return self._other_is_here, answer(422, tei(words))
        if not self.answered:
            self.answered = inputs
            return self._other_is_here, vectors
        self._half_is_told_to_wait.set()
        return self._other_is_here, answer(503, headers={"retry-after": "60"})

    def serve(self, request):
        event, reply = self._decide(request)
        assert event.wait(10)
        return reply(request)

    async def aserve(self, request):
        event, reply = self._decide(request)
        assert await asyncio.to_thread(event.wait, 10)
        return reply(request)


def test_the_answered_part_of_a_split_batch_is_kept_when_another_batch_ends_the_call(
    drive, server, make
):
    texts = [f"text {n} is a long one" for n in range(4)] + numbered(4, "short")
    half_done = _HalfDone(texts)
    server.behave(half_done.aserve if drive is DRIVES["async"] else half_done.serve)
    with pytest.raises(AuthenticationError) as caught:
        drive.documents(make(max_batch_size=4), texts)
    assert len(half_done.answered) == 2
    paid_for = {texts.index(text) for text in half_done.answered}
    assert caught.value.completed.keys() == paid_for


def test_all_errors_have_one_root_and_say_what_to_do(drive, server, make):
    for status in (400, 401, 402, 403, 404, 410, 422, 424, 429, 500, 503, 504):
        server.script(answer(status))
        with pytest.raises(HFEndpointError, match=r"\.") as caught:
            drive.query(make(max_wait=0.0), "one text")
        assert caught.value.advice.endswith((".", ")"))
