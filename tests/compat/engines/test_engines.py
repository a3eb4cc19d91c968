"""The examples of the pages on clusters, each on two local workers of the real engine.

Opt-in: they run where the engines are installed (`make test-engines`).
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from langchain_hf_endpoint.testing import expected_vector

EXAMPLES = Path(__file__).parents[3] / "examples"
BOOK = EXAMPLES / "data" / "alice_in_wonderland.txt"
LIMIT = 240
PARAGRAPHS = 90  # before the tale whose shape the double would truncate
BAD = "A paragraph that the server rejects: <bad>"  # one in a hundred, or nearly


@pytest.fixture
def book(tmp_path):
    """The beginning of the book; its paragraphs."""
    paragraphs = BOOK.read_text(encoding="utf-8").split("\n\n")[:PARAGRAPHS]
    paragraphs.insert(PARAGRAPHS // 2, BAD)
    path = tmp_path / "book.txt"
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    return path, [text.strip() for text in paragraphs if text.strip()]


@pytest.fixture
def run(book, tmp_path, tei_double, redis_server):
    """Run an example on two workers; what it wrote is in a folder."""

    def run(script, *, kills_a_worker=False):
        folder = tmp_path / "out"
        folder.mkdir()
        tei_double.configure(rejects="<bad>")
        variables = {
            "HF_ENDPOINT_URL": tei_double.url,
            "HF_ENDPOINT_REDIS_URL": redis_server.url,
            "HF_ENDPOINT_LIMIT": str(LIMIT),
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "PYSPARK_PYTHON": sys.executable,
        }
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / script), str(book[0]), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **variables},
        )
        try:
            if kills_a_worker:
                tei_double.configure(seconds_per_request=0.5)
                kill_a_worker(process.pid, tei_double)
            said, errors = process.communicate(timeout=240)
        finally:
            process.kill()
        assert process.returncode == 0, errors[-3000:]
        assert re.search(r"\d+ paragraphs are in .*, 1 of them without a vector", said)
        arrivals = sorted(entry.monotonic for entry in tei_double.arrivals)
        assert len(arrivals) >= 8
        for number, moment in enumerate(arrivals, 1):  # at most the burst and the pace
            assert number <= LIMIT / 60 + (moment - arrivals[0]) * LIMIT / 60 + 1.5
        # Each process asks once what the server is.
        assert [entry.path for entry in tei_double.arrivals].count("/info") >= 2
        return folder

    return run


def kill_a_worker(driver, double):
    """Kill a worker of this driver's that waits for an answer of the double."""
    psutil = pytest.importorskip("psutil")
    port = int(double.url.rpartition(":")[2])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for worker in psutil.Process(driver).children(recursive=True) if double.requests else ():
            with suppress(psutil.Error):  # it has ended by itself
                connections = worker.net_connections("tcp")
                if any(one.raddr and one.raddr.port == port for one in connections):
                    worker.send_signal(signal.SIGKILL)
                    return
        time.sleep(0.05)
    raise AssertionError("no worker sends anything")


def lines_in(folder):
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def rows_in(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    return [
        row for path in folder.glob("*.parquet") for row in parquet.read_table(path).to_pylist()
    ]


def assert_right(rows, texts=None):
    if texts is not None:
        assert sorted(row["text"] for row in rows) == sorted(texts)
    assert [row["text"] for row in rows if row["error"]] == [BAD]
    for row in rows:
        if row["error"]:
            assert row["embedding"] is None
            continue
        assert row["embedding"] == pytest.approx(expected_vector(row["text"]).tolist(), abs=1e-6)


def test_ray(run, book):
    pytest.importorskip("ray")
    rows = rows_in(run("ray_ingest.py"))
    assert_right(rows)
    assert {row["paragraph"] for row in rows} >= set(range(0, len(book[1]), 50))


def test_dask(run, book):
    pytest.importorskip("distributed")
    assert_right(lines_in(run("clusters/dask_ingest.py")), book[1])


def test_dask_embeds_again_what_a_killed_worker_had(run, book):
    pytest.importorskip("distributed")
    assert_right(lines_in(run("clusters/dask_ingest.py", kills_a_worker=True)), book[1])


def test_ray_embeds_again_what_a_killed_actor_had(run, book):
    pytest.importorskip("ray")
    rows = rows_in(run("ray_ingest.py", kills_a_worker=True))
    assert_right(rows)
    places = [(row["paragraph"], row["start"]) for row in rows]
    assert len(places) == len(set(places))
    assert len({row["paragraph"] for row in rows}) == len(book[1])


def test_spark(run, book):
    pytest.importorskip("pyspark")
    assert_right(rows_in(run("clusters/spark_ingest.py")), book[1])


def test_spark_embeds_again_what_a_killed_worker_had(run, book):
    pytest.importorskip("pyspark")
    assert_right(rows_in(run("clusters/spark_ingest.py", kills_a_worker=True)), book[1])


def test_beam(run, book):
    # No worker is killed here: Beam's runner for one machine ends the job then, unlike a cluster's.
    pytest.importorskip("apache_beam")
    assert_right(lines_in(run("clusters/beam_ingest.py")), book[1])
