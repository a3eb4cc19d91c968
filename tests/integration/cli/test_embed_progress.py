"""What `hf-endpoint embed` shows while it runs, and how much memory it takes."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
from commands import run
from rich.console import Console

from langchain_hf_endpoint._engine.actions import WaitReason
from langchain_hf_endpoint._messages import Cause
from langchain_hf_endpoint.cli.progress import Stats, picture, shown, words
from langchain_hf_endpoint.testing import faults


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tally(clock) -> Stats:
    return Stats(clock)


def drawn(tally: Stats) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(picture(tally))
    return console.file.getvalue()


def test_rate_and_time_left(tally, clock):
    tally.read(0.25)
    tally.planned(500)
    tally.done(200)
    clock.now += 10
    # A quarter of the input is 500 chunks: 2000 in all, 1800 to go, 20 a second.
    assert tally.rate() == 20
    assert tally.seconds_left() == 90
    assert words(tally) == "200 of 500 chunks · 20/s · 1:30 left"
    assert "10%" in drawn(tally)


def test_hours_are_told_as_such(tally, clock):
    tally.read(0.5)
    tally.planned(5000)
    tally.done(1000)
    clock.now += 1000
    assert "2:30:00 left" in words(tally)


def test_of_standard_input_no_end_is_known(tally, clock):
    tally.read(None)
    tally.planned(10)
    tally.done(10)
    clock.now += 1
    assert "left" not in words(tally)
    assert "%" not in drawn(tally)


def test_what_is_waited_for_is_said_while_it_is(tally, clock):
    tally.waits(WaitReason.LIMITER, 8)
    assert "waiting for the rate limit, 8 s" in words(tally)
    clock.now += 5
    assert "waiting for the rate limit, 3 s" in words(tally)
    clock.now += 5
    assert "waiting" not in words(tally)
    assert "8 s at the rate limit" in words(tally)


def test_waits_at_the_same_time_count_once(tally, clock):
    for _ in range(10):
        tally.waits(WaitReason.LIMITER, 4)
    clock.now += 5
    assert tally.limiter_wait_seconds == 4


def test_retries_are_counted_with_their_reason(tally):
    tally.waits(WaitReason.RETRY, 0.1, Cause.SERVER)
    tally.waits(WaitReason.REFUSED, 2, Cause.RATE_LIMITED)
    tally.waits(WaitReason.COLD_START, 30, Cause.NOT_READY)
    assert (tally.retries.total(), tally.retries[Cause.RATE_LIMITED.value]) == (3, 1)
    assert "3 retries" in words(tally)
    assert "waiting for the endpoint to start, 30 s" in words(tally)


def test_a_terminal_gets_live_lines_and_keeps_none(tally):
    tally.planned(10)
    tally.done(4)
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80)
    with shown(tally, console):
        pass
    assert "4 of 10 chunks" in file.getvalue()
    assert file.getvalue().endswith(("\x1b[2K", "\x1b[?25h"))


def test_without_a_terminal_a_line_is_logged_about_every_half_minute(tally, clock, capsys):
    with shown(tally, Console(file=io.StringIO())):
        for _ in range(7):
            tally.planned(10)
            clock.now += 10
            tally.done(10)
    first, *later = capsys.readouterr().err.splitlines()
    assert first.endswith(" INFO embedding begins")
    said = [line.split(" INFO ")[1] for line in later]
    assert said == [f"{done} of {done} chunks · 1/s" for done in (30, 60, 70)]


def test_known_vectors_are_said_apart(tally):
    tally.found()
    assert "1 known" in words(tally)


def test_the_summary_tells_of_retries(tei_double, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(json.dumps({"text": f"Text {n}."}) for n in range(100)))
    tei_double.script(*[faults.answer(503, headers={"retry-after": "0"})] * 2)
    done = run("embed", file, "-e", tei_double.url, "-o", tmp_path / "out.npy", "--json")
    assert json.loads(done.stdout)["retries"] == 2


MEASURED = """
import resource, sys
from langchain_hf_endpoint.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes there")
def test_memory_does_not_grow_with_the_input(tei_double, tmp_path):
    peaks = []
    for count in (500, 5_000):
        source = tmp_path / "in.jsonl"
        with source.open("w") as file:
            for number in range(count):
                file.write(json.dumps({"text": f"Text number {number}. " + "word " * 240}) + "\n")
        command = [sys.executable, "-c", MEASURED, "embed", str(source), "-e", tei_double.url]
        done = subprocess.run(
            [*command, "-o", str(tmp_path / f"{count}.npy")],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stderr.split()[-1]))
    # Those 4,500 more are 5.4 MB of text and 6.9 MB of vectors.
    assert peaks[1] - peaks[0] < 6_000, peaks
