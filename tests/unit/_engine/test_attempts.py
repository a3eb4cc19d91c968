"""One attempt, step by step, as a driver sees it."""

import contextlib
from contextlib import closing

import pytest

from langchain_hf_endpoint._engine.actions import AcquireSlot, SendRequest, Sleep
from langchain_hf_endpoint._engine.attempts import send_once
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.retry_policy import RetryPolicy
from langchain_hf_endpoint._engine.vectors import LISTS
from langchain_hf_endpoint._messages import Request, Response
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
from langchain_hf_endpoint._session.server_state import ServerState
from langchain_hf_endpoint._session.session import private_session
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter
from langchain_hf_endpoint.settings import ServiceSettings, TaskSettings

REQUEST = Request("POST", "https://embed.example.org")


class Bench:
    """A window of one slot, a limiter of one permit a second, and a clock that is set by hand."""

    def __init__(self):
        self.now = 0.0
        self.window = ConcurrencyWindow(lambda: self.now)
        self.window.bound(requests=1)
        self.limiter = RequestsPerMinuteLimiter(60, clock=lambda: self.now)

    def attempt(self, lane="document"):
        service = ServiceSettings(url=REQUEST.url)
        call = EmbeddingCall(
            service=service,
            task=TaskSettings(),
            lane=lane,
            server=ServerState(),
            window=self.window,
            limiter=self.limiter,
            policy=RetryPolicy(600),
            vector_format=LISTS,
            session=private_session(service),
            clock=lambda: self.now,
        )
        return closing(send_once(REQUEST, 1, 60.0, call))

    @staticmethod
    def enters(step):
        return isinstance(step, AcquireSlot) and step.window.acquire(step.slot, lambda: None)


def test_a_document_that_waits_for_its_permit_lets_a_query_have_the_place():
    bench = Bench()
    assert bench.limiter.acquire(blocking=False)
    with bench.attempt() as document, bench.attempt("query") as query:
        assert bench.enters(next(document))
        assert isinstance(document.send(None), Sleep)
        assert bench.enters(next(query))
        pause = query.send(None)
        assert isinstance(pause, Sleep)
        bench.now += pause.seconds
        assert bench.enters(query.send(None))
        assert isinstance(query.send(None), SendRequest)


def test_an_attempt_that_is_closed_while_it_waits_leaves_nothing_taken():
    bench = Bench()
    assert bench.limiter.acquire(blocking=False)
    with bench.attempt() as document:
        assert bench.enters(next(document))
        assert isinstance(document.send(None), Sleep)
    assert "0 in flight" in repr(bench.window)
    assert repr(bench.limiter).endswith("query 0, document 0>")


def test_an_attempt_ends_with_the_reply_and_leaves_its_place():
    bench = Bench()
    with bench.attempt() as document:
        assert bench.enters(next(document))
        assert isinstance(document.send(None), SendRequest)
        reply = Response(200, {}, b"[]")
        with pytest.raises(StopIteration) as end:
            document.send(reply)
        assert end.value.value is reply
    assert "0 in flight" in repr(bench.window)


def test_who_is_refused_keeps_its_place_until_the_window_is_narrower():
    bench = Bench()
    bench.window = ConcurrencyWindow(lambda: bench.now)
    bench.limiter = RequestsPerMinuteLimiter(6000, clock=lambda: bench.now)
    with contextlib.ExitStack() as talks:
        attempts = [talks.enter_context(bench.attempt()) for _ in range(bench.window.limit)]
        for one in attempts:
            assert bench.enters(next(one))
            assert isinstance(one.send(None), SendRequest)
        waiting = talks.enter_context(bench.attempt())
        assert not bench.enters(next(waiting))
        with pytest.raises(StopIteration):
            attempts[-1].send(Response(429, {}, b"Model is overloaded"))
        assert bench.window.most == len(attempts) - 1
        assert f"{len(attempts) - 1} in flight" in repr(bench.window)
