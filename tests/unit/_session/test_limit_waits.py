"""Whether the limit holds the work back, as it is found out and said."""

import logging

import pytest
from scripted_server import vectors

from langchain_hf_endpoint._session.limit_waits import Held, LimitWaits, holds_back


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (Held(10.0, 19.9), True),
        (Held(10.0, 20.0), False),
        (Held(9.9, 9.9), False),
        (Held(3000.0, 6001.0), False),
    ],
)
def test_most_of_the_time_and_ten_seconds(held, expected):
    assert holds_back(held) is expected


def first_said(waits: LimitWaits, moments: list[tuple[float, float]]) -> tuple[float, Held] | None:
    """When it is worth saying first, of waits as (moment, seconds)."""
    for now, seconds in moments:
        if (held := waits.add(now, seconds)) is not None:
            return now, held
    return None


def test_those_who_wait_at_the_same_time_count_once():
    many_at_once = [(1000.0 + second, 5.0) for second in range(40) for _ in range(20)]
    moment, held = first_said(LimitWaits(), many_at_once)
    assert moment == 1010.0
    assert held == Held(10.0, 10.0)


def test_short_waits_of_a_busy_server_are_never_said():
    assert first_said(LimitWaits(), [(1000.0 + second, 0.4) for second in range(3000)]) is None


def test_a_limit_that_begins_to_hold_back_is_said_soon_whatever_was_before():
    waits = LimitWaits()
    assert first_said(waits, [(1000.0 + second, 0.1) for second in range(3000)]) is None
    moment, _ = first_said(waits, [(4000.0 + second, 1.0) for second in range(3000)])
    assert moment <= 4025.0


def test_a_pause_that_the_server_asked_for_is_none_of_the_limits():
    waits = LimitWaits()
    waits.paused(1100.0)
    assert first_said(waits, [(1000.0 + second, 100.0) for second in range(100)]) is None
    assert first_said(waits, [(1100.0 + second, 1.0) for second in range(100)]) is not None


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Warnings about the limit."""
    return [one.getMessage() for one in caplog.records if "holds the work back" in one.getMessage()]


def test_a_job_that_its_limit_holds_back_says_so_once(drive, server, make, clock, caplog):
    server.behave(vectors)
    embeddings = make(rate_limit={"requests_per_minute": 60}, max_batch_size=2)
    caplog.set_level(logging.WARNING, "langchain_hf_endpoint")
    drive.documents(embeddings, [f"text {number}" for number in range(12)])
    assert not said(caplog)
    for part in range(2):
        drive.documents(embeddings, [f"text {part} {number}" for number in range(60)])
    (words,) = said(caplog)
    assert "the limit of 60 requests per minute" in words
    assert "allows 2 texts per second" in words
    assert "rate_limit.requests_per_minute" in words


def test_a_server_that_asks_for_pauses_is_not_taken_for_the_limit(
    drive, server, make, clock, caplog
):
    def no_more_for_half_a_minute(request):
        reply = vectors(request)
        reply.headers.update({"ratelimit-remaining": "0", "ratelimit-reset": "30"})
        return reply

    caplog.set_level(logging.WARNING, "langchain_hf_endpoint")
    server.behave(no_more_for_half_a_minute)
    embeddings = make()
    for number in range(4):
        drive.query(embeddings, f"text {number}")
    assert clock.waited >= 90
    assert not said(caplog)
