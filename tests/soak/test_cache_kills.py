"""A cache whose writers are killed under load: 20 times, or as often as CACHE_KILLS says."""

import json
import os
import subprocess
import sys

import cache_writers
import pytest


@pytest.mark.skipif(not hasattr(cache_writers.os, "fork"), reason="needs fork")
def test_a_file_outlives_many_kills_of_its_writers(tmp_path):
    kills = os.environ.get("CACHE_KILLS", "20")
    command = [sys.executable, cache_writers.__file__, str(tmp_path), kills, "3"]
    run = subprocess.run(command, capture_output=True, check=False, text=True, timeout=1800)
    assert run.returncode == 0, run.stderr
    counted = json.loads(run.stdout)
    assert counted["done"] > 4 * int(kills)
