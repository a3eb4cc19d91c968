"""What `show_progress_bar` writes on standard error."""

import logging
import re
import sys

import pytest
from arrivals import numbered

from langchain_hf_endpoint import EmbeddingError, HFEndpointEmbeddings
from langchain_hf_endpoint.testing import faults

SENTENCES = " ".join(f"This is sentence number {number} of a long text." for number in range(100))
CHUNKING = {"strategy": "sentence", "max_chunking_size": 50, "sentence_overlap": 0}


@pytest.fixture
def show(connect, monkeypatch):
    def show(**settings):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        endpoint = connect(**settings).endpoint
        return HFEndpointEmbeddings(endpoint=endpoint, show_progress_bar=True)

    return show


def _last_state(said):
    """The last line that stood there: each is written over the one before."""
    return [line for line in re.split(r"[\r\n]+", said) if line.strip()][-1]


METHODS = ["documents", "array", "chunks", "stream"]


@pytest.mark.parametrize("method", METHODS)
def test_it_ends_with_all_chunks_done_of_all(drive, show, capfd, method):
    embeddings = show(chunking_settings=CHUNKING)
    getattr(drive, method)(embeddings, [SENTENCES, *numbered(70)])
    count = len(drive.chunks(embeddings, [SENTENCES])[0])
    assert count > 10
    capfd_out = capfd.readouterr()
    assert capfd_out.out == ""
    assert f" {70 + count}/{70 + count} " in capfd_out.err
    assert "chunk/s" in capfd_out.err
    assert "embedding: 100%" in capfd_out.err


def test_texts_that_are_the_same_count_once(drive, show, capfd):
    drive.documents(show(), numbered(10) * 3)
    assert " 10/10 " in _last_state(capfd.readouterr().err)


def test_all_chunks_are_known_before_the_first_is_done(drive, tei_double, show, capfd):
    drive.documents(show(max_batch_size=10), numbered(100))
    totals = set(re.findall(r" \d+/(\d+) ", capfd.readouterr().err))
    assert totals <= {"0", "100"}


WAITS = {
    "refused": (
        {},
        faults.answer(429, headers={"retry-after": "1"}),
        "the server asks to slow down, 1 s",
    ),
    "cold start": (
        {},
        faults.answer(503, {"error": "starting"}, {"retry-after": "1"}),
        "waiting for the endpoint to start, 1 s",
    ),
    "failed": (
        {},
        faults.answer(500, {"error": "boom"}, {"retry-after": "1"}),
        "waiting to try again, 1 s",
    ),
    "limit": (
        {"rate_limit": {"requests_per_minute": 60}},
        None,
        "waiting for the rate limit, 1 s",
    ),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_it_says_in_words_what_the_call_waits_for(drive, tei_double, show, capfd, wait):
    settings, reply, words = wait
    tei_double.script(reply)
    drive.documents(show(**settings), numbered(10))
    said = capfd.readouterr().err
    assert words in said
    assert " 10/10 " in _last_state(said)
    assert words not in _last_state(said)


@pytest.mark.parametrize("method", METHODS)
def test_without_it_nothing_is_printed(drive, tei_double, connect, capfd, method):
    tei_double.script(faults.answer(429, headers={"retry-after": "0"}))
    getattr(drive, method)(connect(), numbered(70))
    assert capfd.readouterr() == ("", "")


def test_queries_and_calls_without_texts_have_none(drive, show, capfd):
    drive.query(show(), "a question")
    assert drive.documents(show(), []) == []
    assert capfd.readouterr() == ("", "")


def test_a_call_that_fails_leaves_its_bar_finished(drive, tei_double, show, capfd):
    tei_double.configure(rejects="REJECT")
    with pytest.raises(EmbeddingError):
        drive.documents(show(), [*numbered(40), "REJECT this"])
    said = capfd.readouterr().err
    assert said.endswith("\n")
    assert "embedding:" in _last_state(said)


@pytest.mark.parametrize("method", METHODS)
def test_where_there_is_no_terminal_start_and_end_are_logged(
    drive, show, capfd, caplog, monkeypatch, method
):
    embeddings = show()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # of another test's notebook
    with caplog.at_level(logging.INFO, "langchain_hf_endpoint"):
        getattr(drive, method)(embeddings, numbered(40))
    assert capfd.readouterr().err == ""
    said = [one.getMessage() for one in caplog.records if one.levelname == "INFO"]
    begin, end = (re.sub(r"^127\.0\.0\.1:\d+: ", "", one) for one in said)
    assert begin == "embedding begins"
    assert re.fullmatch(r"40 of 40 chunks embedded in \d+ s, \d+ a second; done", end)
