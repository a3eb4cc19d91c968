"""`hf-endpoint embed` that is killed, interrupted or refused, and goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from arrivals import wait_for_posts
from commands import embed, rows_of, run, vectors_of

from langchain_hf_endpoint._session.fingerprint import TEXTS as TELLING
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 600
TEXTS = [f"Text number {number}." for number in range(COUNT)]


@pytest.fixture
def texts(tmp_path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def start(double, texts, output, *, at_once) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "langchain_hf_endpoint.cli", "embed", str(texts)]
    return subprocess.Popen(
        [*command, "-e", double.url, "-o", str(output), "--at-once", str(at_once)],
        env={**os.environ, "HF_TOKEN": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def sent(double) -> list[str]:
    """The texts that were sent; those that tell which model it is left out."""
    return [text for entry in double.requests for text in entry.texts if text not in TELLING]


def journalled(output) -> int:
    with closing(sqlite3.connect(f"{output}.journal")) as journal:
        return journal.execute("SELECT count(*) FROM vectors").fetchone()[0]


def assert_complete(output) -> None:
    assert np.array_equal(vectors_of(output), np.stack([expected_vector(text) for text in TEXTS]))
    assert not list(output.parent.glob(f"{output.name}.*"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_was_received_before_the_end_is_not_sent_again(tei_double, texts, tmp_path, how):
    tei_double.configure(seconds_per_request=0.1)
    output = tmp_path / "out.jsonl"
    with start(tei_double, texts, output, at_once=2) as process:
        wait_for_posts(tei_double, 8)
        process.send_signal(how)
        _, said = process.communicate(timeout=30)
    assert not output.exists()
    if how is signal.SIGINT:
        assert process.returncode == 130
        assert "--resume" in said
    kept, before = journalled(output), tei_double.requests
    answered = sum(len(entry.texts) for entry in before if entry.status == 200)
    # What was answered when nobody was there any more: two batches at once, some in line.
    in_house = sum(len(entry.texts) for entry in before[-8:])
    assert 0 < kept < COUNT
    assert answered - kept <= in_house
    tei_double.forget()
    tei_double.configure(seconds_per_request=0)
    summary = embed(texts, tei_double, output, "--resume")
    assert len(sent(tei_double)) == COUNT - kept == summary["embedded"]
    assert_complete(output)


def test_a_journal_whose_end_was_torn_off_costs_no_more_than_that_end(tei_double, texts, tmp_path):
    tei_double.configure(seconds_per_request=0.1)
    output = tmp_path / "out.jsonl"
    with start(tei_double, texts, output, at_once=2) as process:
        wait_for_posts(tei_double, 8)
        process.kill()
    copy = tmp_path / "copy"
    copy.mkdir()
    for ending in ("", "-wal"):
        shutil.copy(f"{output}.journal{ending}", copy)
    log = tmp_path / "out.jsonl.journal-wal"
    torn = log.read_bytes()[:-20_000]  # a power cut: more than a page of the last entry is lost
    log.write_bytes(torn + b"garbage" * 1000)
    whole, kept = journalled(copy / "out.jsonl"), journalled(output)
    assert 0 < kept < whole
    tei_double.forget()
    tei_double.configure(seconds_per_request=0)
    embed(texts, tei_double, output, "--resume")
    assert len(sent(tei_double)) == COUNT - kept
    assert_complete(output)


def test_an_endpoint_that_refuses_leaves_what_it_gave(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    tei_double.script(None, None, *[faults.answer(402, {"error": "no credit"})] * 99)
    refused = run("embed", texts, "-e", tei_double.url, "-o", output)
    assert refused.exit_code == 4
    assert "credit" in refused.stderr
    given = journalled(output)
    assert 0 < given <= 32  # of a file that is read slowly, what there is goes at once
    tei_double.forget()
    embed(texts, tei_double, output, "--resume")
    assert len(sent(tei_double)) == COUNT - given
    assert_complete(output)


def test_without_resume_an_unfinished_run_is_not_touched(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    tei_double.script(None, None, *[faults.answer(401, {"error": "no"})] * 99)
    embed(texts, tei_double, output, status=4)
    given = journalled(output)
    assert given > 0
    tei_double.forget()
    again = run("embed", texts, "-e", tei_double.url, "-o", output)
    assert again.exit_code == 1
    assert "--resume" in again.stderr
    assert journalled(output) == given
    assert tei_double.requests == []


def test_other_settings_than_those_of_the_journal_are_refused(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    tei_double.script(None, None, *[faults.answer(401, {"error": "no"})] * 99)
    embed(texts, tei_double, output, status=4)
    tei_double.forget()
    tei_double.configure(model_id="another/model")
    again = run("embed", texts, "-e", tei_double.url, "-o", output, "--resume")
    assert again.exit_code == 1
    assert "scripted/endpoint" in again.stderr
    assert "another/model" in again.stderr
    assert tei_double.requests == []


def test_other_chunks_are_no_other_settings(tei_double, tmp_path):
    source = tmp_path / "long.txt"
    source.write_text(" ".join(f"This is sentence {number}." for number in range(200)))
    output = tmp_path / "out.jsonl"
    tei_double.script(*[faults.answer(401, {"error": "no"})] * 99)
    embed(source, tei_double, output, status=4)
    tei_double.forget()
    assert embed(source, tei_double, output, "--resume", "--size", "50")["chunks"] > 10


def test_a_complete_output_is_left_alone(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    embed(texts, tei_double, output)
    before = output.stat().st_mtime_ns
    tei_double.forget()
    assert embed(texts, tei_double, output, "--resume")["was_complete"]
    refused = run("embed", texts, "-e", tei_double.url, "-o", output)
    assert refused.exit_code == 1
    assert "exists" in refused.stderr
    assert output.stat().st_mtime_ns == before
    assert tei_double.requests == []


def test_failed_texts_are_tried_again_alone(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    tei_double.configure(rejects="number 77.")
    first = embed(texts, tei_double, output, status=3)
    assert (first["failed"], first["rows"]) == (1, COUNT - 1)
    tei_double.forget()
    tei_double.configure(rejects="")
    second = embed(texts, tei_double, output, "--resume")
    assert sent(tei_double) == ["Text number 77."]
    assert (second["failed"], second["rows"]) == (0, COUNT)
    assert_complete(output)
    assert not (tmp_path / "out.jsonl.failures.jsonl").exists()


def test_two_at_once_on_one_output_do_not_mix(tei_double, texts, tmp_path):
    tei_double.configure(seconds_per_request=0.2)
    output = tmp_path / "out.jsonl"
    with start(tei_double, texts, output, at_once=2) as process:
        wait_for_posts(tei_double, 2)
        second = run("embed", texts, "-e", tei_double.url, "-o", output, "--resume")
        process.kill()
    assert second.exit_code == 1
    assert "in use" in second.stderr


def test_a_file_that_is_no_journal_is_not_overwritten(tei_double, texts, tmp_path):
    other = tmp_path / "out.jsonl.journal"
    other.write_text("My notes.")
    refused = run("embed", texts, "-e", tei_double.url, "-o", tmp_path / "out.jsonl", "--resume")
    assert refused.exit_code == 1
    assert other.read_text() == "My notes."


def test_vectors_of_two_models_at_one_host_do_not_get_into_one_file(texts, tmp_path):
    output = tmp_path / "out.jsonl"
    with ScriptedEndpoint(shape="embeddings") as server:  # which does not say what its model is
        server.script(None, None, *[faults.answer(402)] * 20)
        assert run("embed", texts, "-e", f"{server.url}/predict", "-o", output).exit_code == 4
        assert journalled(output) > 0
        server.forget()
        other = run("embed", texts, "-e", f"{server.url}/invocations", "-o", output, "--resume")
        assert other.exit_code == 1
        assert "/predict" in other.output
        assert not sent(server)
        same = run("embed", texts, "-e", f"{server.url}/predict", "-o", output, "--resume")
        assert same.exit_code == 0


def test_a_text_that_fails_alone_costs_no_other_and_resume_goes_past_it(
    tei_double, texts, tmp_path
):
    output = tmp_path / "out.jsonl"
    tei_double.configure(rejects="number 300.")
    first = embed(texts, tei_double, output, status=3)
    assert (first["rows"], first["failed"], first["unsent"]) == (COUNT - 1, 1, 0)
    (failed,) = rows_of(tmp_path / "out.jsonl.failures.jsonl")
    assert (failed["row"], failed["error"]) == (301, "InputError")
    assert len(sent(tei_double)) < COUNT + 100
    again = embed(texts, tei_double, output, "--resume", status=3)
    assert (again["rows"], again["failed"], again["embedded"]) == (COUNT - 1, 1, 0)


def test_an_endpoint_that_gives_up_on_the_way_leaves_what_it_gave_in_the_output(
    tei_double, texts, tmp_path
):
    output = tmp_path / "out.jsonl"
    tei_double.configure(rejects="number 100.")  # of the longest, which are sent first
    tei_double.script(*[None] * 16, *[faults.answer(402, {"error": "no credit"})] * 99)
    ended = run("embed", texts, "-e", tei_double.url, "-o", output, "--at-once", 1)
    assert ended.exit_code == 4
    assert "credit" in ended.stderr
    assert "--resume" in ended.stdout
    rows = rows_of(output)
    assert len(rows) == journalled(output) > 0
    # The text that was at fault itself is named; those that were not sent are not.
    failures = tmp_path / "out.jsonl.failures.jsonl"
    assert [one["row"] for one in rows_of(failures)] == [101]
    tei_double.forget()
    tei_double.configure(rejects="")
    embed(texts, tei_double, output, "--resume")
    assert len(sent(tei_double)) == COUNT - len(rows)
    assert_complete(output)


def test_of_a_text_that_was_sent_in_part_no_part_is_in_the_output(tei_double, tmp_path):
    source, output = tmp_path / "x.jsonl", tmp_path / "out.jsonl"
    long = " ".join(f"This is sentence {number} of it." for number in range(2000))
    whole = "Extraordinarily " * 19  # it has more letters than a chunk of the other: it goes first
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in (whole, long)))
    tei_double.script(*[None] * 3, *[faults.answer(402, {"error": "none"})] * 99)
    more = ("--size", "20", "--overlap", "0", "--at-once", "1")
    ended = embed(source, tei_double, output, *more, status=4)
    assert [row["text"] for row in rows_of(output)] == [whole.strip()]
    assert (ended["unsent"], ended["failed"]) == (1, 0)
    assert "none" in ended["error"]


NOTHING_RECEIVED = {
    "a wrong column": (["x.csv", "--text-column", "wrong"], 200, 1),
    "a wrong column of lines": (["x.jsonl", "--text-column", "wrong"], 200, 3),
    "a wrong column in the second file": (["x.csv", "y.csv"], 200, 1),
    "a key that is not accepted": (["x.csv"], 401, 4),
}


@pytest.mark.parametrize("case", NOTHING_RECEIVED)
def test_where_nothing_was_received_nothing_is_left(tei_double, tmp_path, monkeypatch, case):
    wrong, reply, status = NOTHING_RECEIVED[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("id,text\n1,hello\n")
    (tmp_path / "y.csv").write_text("id,words\n1,hello\n")
    (tmp_path / "x.jsonl").write_text('{"text": "hello"}')
    if reply != 200:
        tei_double.script(*[faults.answer(reply, {"error": "no"})] * 9)
    more = ("-e", tei_double.url, "-o", "out.jsonl")
    assert run("embed", *wrong, *more).exit_code == status
    assert not (tmp_path / "out.jsonl.journal").exists()
    tei_double.forget()
    assert run("embed", wrong[0], *more).exit_code == 0


def test_an_output_that_cannot_be_written_is_said_and_gone_on_with(
    tei_double, texts, tmp_path, monkeypatch
):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    output = tmp_path / "out.jsonl"
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        done = run("embed", texts, "-e", tei_double.url, "-o", output)
    assert done.exit_code == 1
    assert f"{output} cannot be written: No space left on device" in done.stderr
    tei_double.forget()
    embed(texts, tei_double, output, "--resume")
    assert tei_double.requests == []
    assert_complete(output)


def test_a_cache_saves_what_another_run_has_sent(tei_double, texts, tmp_path):
    cache = tmp_path / "vectors.cache"
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert embed(texts, tei_double, first, "--cache", cache)["embedded"] == COUNT
    with texts.open("a", encoding="utf-8") as file:
        file.write('{"text": "A new one."}\n')
    tei_double.forget()
    summary = embed(texts, tei_double, second, "--cache", cache)
    assert sent(tei_double) == ["A new one."]
    assert (summary["embedded"], summary["rows"]) == (1, COUNT + 1)
    assert np.array_equal(vectors_of(second)[:-1], vectors_of(first))
    assert np.array_equal(vectors_of(second)[-1], expected_vector("A new one."))


def test_a_cache_within_the_folder_that_is_read_is_not_read(tei_double, texts, tmp_path):
    cache = tmp_path / "vectors.jsonl"
    assert embed(tmp_path, tei_double, tmp_path / "out.npy", "--cache", cache)["texts"] == COUNT


# The model


def cut_short(double, texts, output):
    """A run that ended early; its journal has vectors."""
    double.script(None, None, *[faults.answer(402, {"error": "no credit"})] * 99)
    assert run("embed", texts, "-e", double.url, "-o", output).exit_code == 4
    assert journalled(output) > 0
    double.forget()


@pytest.mark.parametrize("cosine", [0.0, 0.9, 0.98])
def test_vectors_of_another_model_of_the_same_name_do_not_get_into_one_file(
    tei_double, texts, tmp_path, cosine
):
    output = tmp_path / "out.jsonl"
    cut_short(tei_double, texts, output)
    output.unlink()
    tei_double.script(faults.swapped(cosine))
    refused = run("embed", texts, "-e", tei_double.url, "-o", output, "--resume")
    assert refused.exit_code == 1
    assert "another model" in refused.stderr
    assert not refused.stdout
    assert not output.exists()
    assert not sent(tei_double)
    tei_double.forget()
    embed(texts, tei_double, output, "--resume")
    assert_complete(output)


def test_the_same_model_at_another_host_is_gone_on_with(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    cut_short(tei_double, texts, output)
    given = journalled(output)
    with ScriptedEndpoint() as moved:
        embed(texts, moved, output, "--resume")
        assert len(sent(moved)) == COUNT - given
    assert_complete(output)


def test_a_model_that_is_swapped_while_it_runs_ends_the_run(tei_double, texts, tmp_path):
    output = tmp_path / "out.jsonl"
    tei_double.script(*[None] * 4, faults.swapped())
    ended = run("embed", texts, "-e", tei_double.url, "-o", output)
    assert ended.exit_code == 4
    assert "another model" in ended.stderr
    rows = rows_of(output)
    assert len(rows) == journalled(output) > 0
    assert all(np.allclose(row["embedding"], expected_vector(row["text"])) for row in rows)
    tei_double.forget()
    embed(texts, tei_double, output, "--resume")
    assert_complete(output)


@pytest.mark.parametrize("name", ["out.npy", "../here/out.npy", "out.npy.journal"])
def test_a_cache_that_is_the_output_is_refused_before_anything_is_done(
    tei_double, texts, tmp_path, name
):
    folder = tmp_path / "here"
    folder.mkdir()
    done = run(
        "embed", texts, "-e", tei_double.url, "-o", folder / "out.npy", "--cache", folder / name
    )
    assert done.exit_code == 1
    assert "--cache: " in done.stderr
    assert not tei_double.arrivals
    assert not list(folder.iterdir())
