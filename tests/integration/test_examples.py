"""The examples as a user runs them: unchanged, in a process of their own, on a shorter book."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
KEPT = 10_000  # characters: the little bottle is in them
BOTTLE = "What was written on the label of the little bottle?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The examples beside the beginning of their book."""
    folder = tmp_path_factory.mktemp("examples")
    for script in EXAMPLES.glob("*.py"):
        shutil.copy(script, folder)
    (folder / "data").mkdir()
    for book in (EXAMPLES / "data").glob("*.txt"):
        (folder / "data" / book.name).write_text(book.read_text(encoding="ascii")[:KEPT])
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    """Run an example; variables of this machine that would change it are left out."""
    for name in ("HF_TOKEN", "HF_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)

    def run(name, **variables):
        return subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", str(folder / name)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, "COLUMNS": "100", **variables},
        )

    return run


def _questions(printed):
    return re.findall(r"^\S.*\?", printed, re.MULTILINE)


def test_the_quickstart_answers_five_questions_with_passages(run):
    done = run("quickstart.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert "all-MiniLM-L6-v2" in done.stdout
    assert re.search(r"words cut into \d+ chunks in .* embedded into 384 dimensions", done.stdout)
    assert len(_questions(done.stdout)) == 5
    assert len(re.findall(r"^   [123]\. 0\.\d{3} @\d+", done.stdout, re.MULTILINE)) == 15
    best = done.stdout.partition(BOTTLE)[2].partition("   2. ")[0]
    assert "bottle" in best.lower()


def test_the_chain_quotes_a_sentence_for_each_question(run):
    done = run("rag_chain.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(_questions(done.stdout)) == 5
    quoted = done.stdout.partition(BOTTLE)[2].strip().partition("\n")[0]
    assert "bottle" in quoted.lower()


def test_the_inference_endpoint_example_prints_what_the_endpoint_finds(run, tei_double):
    done = run("inference_endpoint.py", HF_ENDPOINT_URL=tei_double.url)
    assert (done.returncode, "Error" in done.stderr) == (0, False)
    assert "scripted/endpoint" in done.stdout
    assert len(_questions(done.stdout)) == 5
    assert len(re.findall(r"^   [123]\. .*@\d+", done.stdout, re.MULTILINE)) == 15
    arrived = [text for entry in tei_double.requests for text in entry.texts]
    assert BOTTLE in arrived
    passages = int(re.search(r"cut into (\d+) chunks", done.stdout)[1])
    assert passages >= 5
    assert "\r" not in done.stderr  # no bar where there is no terminal


def test_the_inference_endpoint_example_says_what_is_missing(run):
    done = run("inference_endpoint.py")
    assert (done.returncode, done.stdout) == (2, "")
    assert "HF_ENDPOINT_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_inference_endpoint_example_says_what_went_wrong(run, tei_double):
    tei_double.configure(api_key="another")
    done = run("inference_endpoint.py", HF_ENDPOINT_URL=tei_double.url, HF_TOKEN="hf_not-for-it")
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hf_not-for-it" not in done.stdout + done.stderr
    assert all("authorization" not in entry.headers for entry in tei_double.arrivals)
