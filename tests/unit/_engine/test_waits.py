"""How long is waited, for whom, and when waiting is given up. Time is the `clock` fixture's."""

from email.utils import formatdate
from time import time

import pytest
from scripted_server import ASLEEP, OVERLOADED, answer, numbered, vector, vectors

from langchain_hf_endpoint import (
    EmbeddingError,
    EndpointNotReadyError,
    RateLimitedError,
    ServerError,
)
from langchain_hf_endpoint._engine.actions import WaitReason
from langchain_hf_endpoint._session.session import session_for

DEDICATED = "https://abc123.us-east-1.aws.endpoints.huggingface.cloud"
LOADING = {"error": "Model x is currently loading", "estimated_time": 20.0}
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
HALF_A_MINUTE_LATER = "Sun, 06 Nov 1994 08:50:07 GMT"


ASKED = {
    "seconds": ({"retry-after": "17"}, 17),
    "fraction": ({"retry-after": "2.5"}, 2.5),
    "zero": ({"retry-after": "0"}, 0),
    "date": ({"retry-after": HALF_A_MINUTE_LATER, "date": DATE}, 30),
    "RateLimit": ({"ratelimit": '"api";r=0;t=55'}, 56),
    "both": ({"ratelimit": '"api";r=0;t=55', "retry-after": "7"}, 56),
}


@pytest.mark.parametrize(
    "case", [(status, *asked) for status in (429, 500, 503) for asked in ASKED.values()], ids=str
)
def test_what_the_server_asks_for_is_waited_in_full_and_hardly_longer(
    drive, server, make, clock, case
):
    status, headers, seconds = case
    server.script(answer(status, headers=headers), vectors)
    assert drive.query(make(), "one text") == vector("one text")
    assert seconds <= clock.waited <= seconds + 0.5


def test_a_date_is_read_by_our_clock_where_the_server_names_no_time(drive, server, make, clock):
    server.script(answer(429, headers={"retry-after": formatdate(time() + 30, usegmt=True)}))
    server.behave(vectors)
    drive.query(make(), "one text")
    assert 20 <= clock.waited <= 31


def test_an_estimated_time_is_no_reason_to_look_late(drive, server, make, clock):
    began = clock()
    loading = answer(503, LOADING)
    server.behave(lambda one: loading(one) if clock() < began + 3 else vectors(one))
    assert drive.query(make(), "one text") == vector("one text")
    assert 3 <= clock.waited < 9
    assert {why for why, _ in clock.waits} == {WaitReason.COLD_START}


def test_an_estimated_time_is_waited_where_it_is_true(drive, server, make, clock):
    began = clock()
    loading = answer(503, LOADING)
    server.behave(lambda one: loading(one) if clock() < began + 20 else vectors(one))
    assert drive.query(make(max_wait=25.0), "one text") == vector("one text")
    assert 20 <= clock.waited <= 25.1


def test_an_estimated_time_keeps_nobody_else_waiting(drive, server, make, clock):
    embeddings = make()
    limiter = session_for(embeddings.endpoint.service_settings).limiter
    had = []
    clock.during_a_wait = lambda: had.append(limiter.acquire(blocking=False))
    server.script(answer(503, LOADING), vectors)
    drive.query(embeddings, "one text")
    assert had[0] is True


NONSENSE = (
    {"retry-after": "-5"},
    {"retry-after": "soon"},
    {"retry-after": ""},
    {"retry-after": "nan"},
    {"retry-after": "inf"},
    {"retry-after": "1e999"},
    {"retry-after": "Sun, 99 Nov 1994 08:49:37 GMT"},
    {"retry-after": DATE},
    {"ratelimit": '"api";r=3;t=55'},
    {"ratelimit": "r=0"},
    {"ratelimit": "?" * 10_000},
)


@pytest.mark.parametrize("headers", NONSENSE, ids=lambda headers: str(headers)[:50])
def test_a_wait_that_makes_no_sense_leaves_our_own(drive, server, make, clock, headers):
    server.script(answer(429, headers=headers), answer(503, headers=headers), vectors)
    assert drive.query(make(), "one text") == vector("one text")
    assert clock.waited <= 1.6


@pytest.mark.parametrize(
    "case",
    [
        (429, OVERLOADED, {"retry-after": "86400"}, RateLimitedError),
        (429, OVERLOADED, {"retry-after": "1e300"}, RateLimitedError),
        (429, OVERLOADED, {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, RateLimitedError),
        (429, OVERLOADED, {"ratelimit": '"api";r=0;t=99999999'}, RateLimitedError),
        (503, {**LOADING, "estimated_time": 1e9}, {}, EndpointNotReadyError),
        (500, b"", {"retry-after": "601"}, ServerError),
    ],
    ids=["a day", "ages", "year 9999", "RateLimit", "estimated_time", "just over"],
)
def test_a_wait_beyond_max_wait_is_not_begun(drive, server, make, clock, case):
    status, body, headers, error_class = case
    server.script(answer(status, body, headers), vectors)
    embeddings = make()
    with pytest.raises(error_class, match="asks to wait"):
        drive.query(embeddings, "one text")
    assert clock.waits == []
    # Nor do others wait for it who share the limiter.
    assert drive.query(embeddings, "another") == vector("another")
    assert clock.waited < 1


def test_max_wait_is_for_each_batch_in_all(drive, server, make, clock):
    server.behave(answer(503, ASLEEP, {"retry-after": "4"}))
    with pytest.raises(EndpointNotReadyError, match="tried 3 times"):
        drive.query(make(max_wait=10.0), "one text")
    assert clock.waited <= 10


def test_when_one_is_told_to_wait_all_who_share_the_limit_do(drive, server, make, clock):
    embeddings = make()
    limiter = session_for(embeddings.endpoint.service_settings).limiter
    had = []
    clock.during_a_wait = lambda: had.append(limiter.acquire(blocking=False))
    server.script(answer(429, OVERLOADED, {"retry-after": "40"}), vectors)
    drive.query(embeddings, "one text")
    assert had[0] is False


def test_a_back_off_of_our_own_keeps_nobody_else_waiting(drive, server, make, clock):
    embeddings = make()
    limiter = session_for(embeddings.endpoint.service_settings).limiter
    had = []
    clock.during_a_wait = lambda: had.append(limiter.acquire(blocking=False))
    server.script(answer(503, ASLEEP), vectors)
    drive.query(embeddings, "one text")
    assert had[0] is True


def test_a_first_503_of_a_dedicated_endpoint_is_followed_by_a_request_that_is_held(
    drive, server, make, clock
):
    server.script(answer(503, ASLEEP), answer(503, ASLEEP), vectors, vectors)
    embeddings = make(DEDICATED, api_key="k", timeout=90.0)
    drive.query(embeddings, "one text")
    drive.query(embeddings, "one text")
    held = [request.headers.get("x-scale-up-timeout") for request in server.requests]
    assert held[0] is None
    assert held[1] == held[2]
    # The proxy must give up before we do.
    assert 30 < int(held[1]) < 90
    assert held[3] is None


@pytest.mark.parametrize("between", [answer(500), answer(429)], ids=["500", "429"])
def test_a_request_is_not_held_where_the_endpoint_is_not_asleep(
    drive, server, make, clock, between
):
    server.script(between, vectors)
    drive.query(make(DEDICATED, api_key="k"), "one text")
    assert all("x-scale-up-timeout" not in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "url",
    [
        "https://embed.example.org",
        "https://router.huggingface.co/hf-inference/models/x/pipeline/feature-extraction",
        "https://user-space.hf.space/embed",
        "https://endpoints.huggingface.cloud.example.org",
    ],
)
def test_only_a_dedicated_endpoint_is_asked_to_hold_requests(drive, server, make, clock, url):
    server.script(answer(503, ASLEEP), vectors)
    drive.query(make(url), "one text")
    assert all("x-scale-up-timeout" not in request.headers for request in server.requests)


def test_each_try_is_counted_by_the_limiter(drive, server, make, clock):
    server.script(*[answer(500)] * 4, vectors)
    drive.query(make(rate_limit={"requests_per_minute": 6}), "one text")
    # Five requests at one each ten seconds, whatever the back-off says.
    assert clock.waited >= 39.9
    assert any(why is WaitReason.LIMITER for why, _ in clock.waits)


def test_batches_wait_for_the_limiter_and_not_for_max_wait(drive, server, make, clock):
    server.behave(vectors)
    texts = numbered(12)
    embeddings = make(max_batch_size=1, max_wait=1.0, rate_limit={"requests_per_minute": 1})
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    assert clock.waited >= 11 * 60


def test_a_long_wait_for_the_first_permit_leaves_the_time_for_retries(drive, server, make, clock):
    server.script(vectors, answer(429, OVERLOADED), vectors)
    embeddings = make(rate_limit={"requests_per_minute": 1}, max_wait=100.0)
    drive.query(embeddings, "takes the only permit of this minute and the next")
    clock.waits.clear()
    session_for(embeddings.endpoint.service_settings).limiter.penalize(300)
    assert drive.query(embeddings, "one text") == vector("one text")
    assert clock.waited > 300


def test_a_cold_start_is_waited_for_by_documents_as_by_queries(drive, server, make, clock):
    texts = numbered(5)
    server.script(*[answer(503, ASLEEP)] * 12)
    server.behave(vectors)
    assert drive.documents(make(), texts) == [vector(text) for text in texts]
    assert {why for why, _ in clock.waits} == {WaitReason.COLD_START}


def test_a_cold_start_without_end_is_an_error_that_says_so(drive, server, make, clock):
    server.behave(answer(503, ASLEEP))
    with pytest.raises(EmbeddingError, match="raise max_wait") as caught:
        drive.documents(make(), ["one text"])
    assert isinstance(caught.value, EndpointNotReadyError)
    assert 590 <= clock.waited <= 601


FORETOLD = {"ratelimit-remaining": "0", "ratelimit-reset": "30"}


def with_headers(headers):
    def serve(request):
        reply = vectors(request)
        reply.headers.update(headers)
        return reply

    return serve


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (FORETOLD, 30),
        ({"ratelimit": '"api";r=0;t=29'}, 30),
        ({**FORETOLD, "ratelimit-remaining": "1"}, 0),
        ({**FORETOLD, "ratelimit-reset": "601"}, 0),
    ],
    ids=["none left", "RateLimit", "one left", "beyond max_wait"],
)
def test_a_good_reply_that_leaves_nothing_lets_the_next_request_wait(
    server, make, monkeypatch, headers, seconds
):
    server.script(with_headers(headers), vectors)
    embeddings = make()
    limiter = session_for(embeddings.endpoint.service_settings).limiter
    held = []
    monkeypatch.setattr(type(limiter), "penalize_soon", lambda _limiter, told: held.append(told))
    embeddings.embed_query("one text")
    embeddings.embed_query("another")
    assert held == [seconds] * (seconds > 0)
