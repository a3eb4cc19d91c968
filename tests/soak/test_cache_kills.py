"""A cache whose writers are killed 200 times under load."""

import json
import subprocess
import sys

import cache_writers
import pytest


@pytest.mark.skipif(not hasattr(cache_writers.os, "fork"), reason="needs fork")
def test_a_file_outlives_two_hundred_kills_of_its_writers(tmp_path):
    command = [sys.executable, cache_writers.__file__, str(tmp_path), "200", "3"]
    run = subprocess.run(command, capture_output=True, check=False, text=True, timeout=1800)
    assert run.returncode == 0, run.stderr
    counted = json.loads(run.stdout)
    assert counted["done"] > 1000
