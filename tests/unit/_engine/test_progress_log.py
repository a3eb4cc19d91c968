"""What is logged of a call where there is no terminal."""

from __future__ import annotations

import logging

import pytest

from langchain_hf_endpoint._engine.actions import WaitReason
from langchain_hf_endpoint._engine.progress import ProgressLog

URL = "https://an.endpoint.example/embed"


class Time:
    """Passes when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "langchain_hf_endpoint")
    return lambda: [
        one.getMessage().removeprefix("an.endpoint.example: ") for one in caplog.records
    ]


def test_a_line_at_the_start_about_every_half_minute_and_at_the_end(lines):
    time = Time()
    log = ProgressLog(URL, time)
    log.planned(1000)
    for _ in range(100):
        time.now += 1
        log.done(10)
    log.close()
    assert lines() == [
        "embedding begins",
        "300 of 1000 chunks embedded in 30 s, 10 a second, about 70 s left",
        "600 of 1000 chunks embedded in 60 s, 10 a second, about 40 s left",
        "900 of 1000 chunks embedded in 90 s, 10 a second, about 10 s left",
        "1000 of 1000 chunks embedded in 100 s, 10 a second; done",
    ]


def test_it_says_what_is_waited_for(lines):
    time = Time()
    log = ProgressLog(URL, time)
    log.planned(10)
    for _ in range(5):
        log.waits(WaitReason.COLD_START, 8)
        time.now += 8
    assert lines()[1:] == [
        "0 of 10 chunks embedded in 32 s, 0 a second; waiting for the endpoint to start"
    ]


def test_what_is_not_waited_for_any_more_is_not_said(lines):
    time = Time()
    log = ProgressLog(URL, time)
    log.planned(10)
    log.waits(WaitReason.LIMITER, 3)
    time.now += 40
    log.done(5)
    assert lines()[1:] == ["5 of 10 chunks embedded in 40 s, 0 a second, about 40 s left"]


def test_the_last_line_says_how_a_call_failed(lines):
    log = ProgressLog(URL, Time())
    log.close(ValueError("of no concern"))
    assert lines()[1:] == ["0 of 0 chunks embedded in 0 s, 0 a second; ended with ValueError"]
