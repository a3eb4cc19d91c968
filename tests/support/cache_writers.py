"""Three processes that embed through one cache until they are killed, round after round.

Started as a script: it forks the writers, so that a round costs no imports. Each says on its pipe
which texts have come out: they must be in the file, and nothing that is in it may be wrong.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path

import numpy as np

from langchain_hf_endpoint import ChunkCache, HFEndpointEmbeddings
from langchain_hf_endpoint._session.fingerprint import TEXTS as TELLING
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector

WRITERS = 3
PATIENCE = 20.0  # seconds for the first texts to come out, on however busy a machine
SETTINGS = {"rate_limit": {"requests_per_minute": 10_000_000}}


def embedded(url, path, texts):
    """Whether the vectors of these texts are right, through the cache."""
    embeddings = HFEndpointEmbeddings(url=url, cache=ChunkCache(path), **SETTINGS)
    right = np.stack([expected_vector(text) for text in texts])
    return np.array_equal(embeddings.embed_array(texts), right)


def write(url, path, name, pipe):
    """Embed new texts and old ones until the end."""
    number = 0
    while True:
        texts = [f"{name} {each}" for each in range(number, number + 40)]
        if not embedded(url, path, texts):
            os._exit(3)
        os.write(pipe, json.dumps(texts[:8]).encode() + b"\n")
        number += 20  # half of the next ones are there


def start(url, path, name):
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(reading)
            write(url, path, name, writing)
        except BaseException:  # noqa: BLE001 - told, since nobody else would
            traceback.print_exc()
        finally:
            os._exit(4)
    os.close(writing)
    return pid, reading


def kill_rounds(url, path, seed):
    """For each line on standard input a round: print which texts were said to have come out."""
    dice = random.Random(seed)
    for number, _ in enumerate(sys.stdin):
        writers = [start(url, path, f"{number}-{writer}") for writer in range(WRITERS)]
        if number % 4:  # else they are killed while they begin
            select.select([pipe for _, pipe in writers], [], [], PATIENCE)
        time.sleep(dice.uniform(0, 0.2))
        for pid, _ in writers:
            os.kill(pid, signal.SIGKILL)
        codes = {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid, _ in writers}
        assert codes == {-signal.SIGKILL}, codes
        said = []
        for _, pipe in writers:
            with os.fdopen(pipe, "rb") as file:
                lines = file.read().splitlines(keepends=True)
            said += [text for line in lines if line.endswith(b"\n") for text in json.loads(line)]
        sys.stdout.write(json.dumps(sorted(set(said))) + "\n")
        sys.stdout.flush()


def entries_of(path):
    """How many the file has, which must be whole."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        if connection.execute("SELECT name FROM sqlite_master").fetchall() == []:
            return 0  # the first writer was killed as it made the file
        return connection.execute("SELECT count(*) FROM vectors").fetchone()[0]


def main(folder, rounds, seed):
    """Print how many texts were said to be done, and how many entries the file has in the end."""
    path = Path(folder) / "vectors.cache"
    done = entries = 0
    with ScriptedEndpoint() as double:
        # The forks are another process's, since this one has the endpoint's thread.
        command = [sys.executable, __file__, "kill", double.url, str(path), str(seed)]
        with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as killer:
            for _ in range(rounds):
                killer.stdin.write("\n")
                killer.stdin.flush()
                said = json.loads(killer.stdout.readline())
                done += len(said)
                double.forget()
                assert not said or embedded(double.url, path, said), "a wrong vector"
                sent = {text for entry in double.requests for text in entry.texts} - {*TELLING}
                assert not sent & set(said), f"came out and was not kept: {sent}"
                before, entries = entries, entries_of(path) if path.exists() else 0
                assert before <= entries, "entries are lost"
    sys.stdout.write(json.dumps({"done": done, "entries": entries}))


if __name__ == "__main__":
    if sys.argv[1] == "kill":
        kill_rounds(*sys.argv[2:])
    else:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
