"""A registry whose writers are killed, and one that many write at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import registry_writers
from thoroughness import amount

from langchain_hf_endpoint import InferenceEndpoints

PUT_MANY = """
import json, sys, threading
from langchain_hf_endpoint import EndpointExistsError, InferenceEndpoints

path, process = sys.argv[1:]
sys.stdin.readline()
endpoints = InferenceEndpoints(path)
won = []

def put(name, mark):
    config = {"service_settings": {"url": "https://example.org", "max_batch_size": mark}}
    endpoints.put(inference_id=name, inference_config=config, skip_validation=True)

def work(thread):
    mark = 1 + 10 * int(process) + thread
    for number in range(10):
        put(f"own-{process}-{thread}-{number}", mark)
        try:
            put(f"shared-{number}", mark)
            won.append((number, mark))
        except EndpointExistsError:
            pass

threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
endpoints.close()
print(json.dumps(won))
"""


@pytest.mark.skipif(not hasattr(registry_writers.os, "fork"), reason="needs fork")
def test_a_file_whose_writers_are_killed_opens_and_holds_every_change_that_was_done(tmp_path):
    """Rounds of 200 changes by four processes, killed at a random moment of each."""
    run = subprocess.run(
        [sys.executable, registry_writers.__file__, str(tmp_path), str(amount(6, 10)), "7"],
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    counted = json.loads(run.stdout)
    assert counted["rounds"] >= 3
    assert counted["killed"] > 0
    assert counted["done"] > 0
    modes = {oct(file.stat().st_mode & 0o777) for file in Path(tmp_path).iterdir()}
    assert modes == {"0o600"}


def test_processes_and_threads_that_make_and_fill_one_file_at_once_lose_nothing(tmp_path):
    path = tmp_path / "endpoints.db"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", PUT_MANY, str(path), str(process)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in range(4)
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert [child.returncode for child in children] == [0] * 4
    won = [tuple(pair) for output in outputs for pair in json.loads(output)]
    with InferenceEndpoints(path) as endpoints:
        assert sum(name.startswith("own-") for name in endpoints) == 4 * 3 * 10
        assert sorted(number for number, _ in won) == list(range(10))
        for number, mark in won:
            assert endpoints[f"shared-{number}"].service_settings.max_batch_size == mark


def test_a_writer_that_is_killed_leaves_its_lock_to_the_next(tmp_path):
    path = tmp_path / "endpoints.db"
    script = (
        "import sys\n"
        "from langchain_hf_endpoint import InferenceEndpoints\n"
        "endpoints = InferenceEndpoints(sys.argv[1])\n"
        "with endpoints._connections.writing() as connection:\n"
        "    connection.execute(\"INSERT INTO last_models VALUES ('half', 'a', 1)\")\n"
        "    print('in the midst', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.readline() == "in the midst\n"
    with InferenceEndpoints(path) as endpoints:
        assert len(endpoints) == 0  # a reader does not wait
        child.kill()
        child.communicate()
        endpoints.put(
            inference_id="half",
            inference_config={"service_settings": {"url": "https://x.org", "dimensions": 2}},
            skip_validation=True,
        )
        assert list(endpoints) == ["half"]
