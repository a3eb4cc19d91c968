"""Nothing lost, nothing wrong, nothing left behind: thousands of calls under faults of every kind.

A scenario is a function of its seed:
`python -m pytest tests/soak/chaos --seed 1234` runs one again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from scenario import scenario_of
from thoroughness import amount

HERE = Path(__file__).parent
SCENARIOS = amount(100, 300)
WORKERS = max(2, min(8, (os.cpu_count() or 1) + 1))  # most of their time is waiting


class Crew:
    """Processes that share the seeds, and what they tell."""

    def __init__(self, seeds: range, workers: int) -> None:
        self.records: list[dict] = []
        self.problems: list[str] = []
        self._threads = [
            threading.Thread(target=self._follow, args=(seeds[place::workers],))
            for place in range(min(workers, len(seeds)))
        ]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _follow(self, seeds: range) -> None:
        command = [sys.executable, str(HERE / "chaos_worker.py")]
        command += [str(number) for number in (seeds.start, seeds.stop, seeds.step)]
        begun = None
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            said: list[str] = []
            listener = threading.Thread(target=lambda: said.extend(process.stderr))
            listener.start()
            for line in process.stdout:
                told = json.loads(line)
                if "begun" in told:
                    begun = told["begun"]
                else:
                    self.records.append(told)
            listener.join()
        if process.returncode:
            self.problems.append(f"seed {begun} hangs or breaks its process:\n{''.join(said)}")


def test_every_text_gets_its_vector_or_an_error_that_names_it(request, record_property):
    option = request.config.getoption
    first = option("--first-seed", default=None) or 1
    count = option("--scenarios", default=None) or SCENARIOS
    seed = option("--seed", default=None)
    seeds = range(first, first + count) if seed is None else range(seed, seed + 1)
    begun = time.monotonic()
    crew = Crew(seeds, WORKERS)
    crew.run()
    record_property("chaos", json.dumps(_figures(crew.records, time.monotonic() - begun)))
    for record in crew.records:
        if record["violations"]:
            crew.problems.append(_told(record))
    assert not crew.problems, "\n\n".join(crew.problems[:10])
    assert len(crew.records) == len(seeds)


def _told(record: dict) -> str:
    number = record["seed"]
    broken = "\n".join(f"  - {violation}" for violation in record["violations"][:10])
    again = f"python -m pytest tests/soak/chaos --seed {number}"
    return f"seed {number}, again with: {again}\n{scenario_of(number)}\n{broken}"


def _figures(records: list[dict], seconds: float) -> dict[str, str]:
    faults: Counter[str] = Counter()
    moods: Counter[str] = Counter()
    for record in records:
        faults.update(record["faults"])
        moods[record["mood"]] += 1
    slowest = max(records, key=lambda record: record["seconds"], default=None)
    return {
        "scenarios": f"{len(records)} in {seconds:.0f} s, by mood {_counts(moods)}",
        "requests": f"{sum(record['requests'] for record in records)}, "
        f"for {sum(record['texts'] for record in records)} texts",
        "billed": f"{sum(record['tokens'] for record in records)} tokens; to the request in "
        f"{sum(record['billed_exactly'] for record in records)} scenarios",
        "faults": f"{faults.total()}: {_counts(faults)}",
        "slowest": slowest and f"seed {slowest['seed']}, {slowest['seconds']:.1f} s",
        "violations": sum(bool(record["violations"]) for record in records),
    }


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())


@pytest.mark.parametrize("seed", [1, 77, 4711])
def test_a_scenario_is_a_function_of_its_seed(seed):
    once, again = scenario_of(seed), scenario_of(seed)
    assert repr(once) == repr(again)
    assert repr(once) != repr(scenario_of(seed + 1))
