"""`python chaos_worker.py FIRST STOP STEP`: runs these seeds, a line of JSON for each.

It is a process of its own, so that a scenario that hangs can be ended: all stacks are then written
to stderr.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import sys
import threading
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from scenario import FIRST_DELAY, LONGEST_DELAY, scenario_of

_OPEN_FILES = Path("/proc/self/fd")
HANGS_AFTER = 120.0  # seconds, on however busy a machine


@dataclass
class Record:
    """What is told of one scenario."""

    seed: int
    mood: str
    seconds: float = 0.0
    requests: int = 0
    texts: int = 0
    tokens: int = 0
    billed_exactly: bool = False
    faults: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


def main() -> None:
    """Run the seeds that the command line names."""
    from langchain_hf_endpoint._engine import call  # noqa: PLC0415 - after warnings became errors

    call.RetryPolicy = partial(
        call.RetryPolicy, first_delay=FIRST_DELAY, longest_delay=LONGEST_DELAY
    )
    problems: list[str] = []
    sys.unraisablehook = lambda unraisable: problems.append(f"unraisable: {unraisable}")
    threading.excepthook = lambda args: problems.append(f"in a thread: {args.exc_value!r}")
    run_one(0, problems)  # what is loaded or opened once is there from here on
    problems.clear()
    for seed in range(*map(int, sys.argv[1:4])):
        _tell({"begun": seed})
        faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
        record = run_one(seed, problems)
        faulthandler.cancel_dump_traceback_later()
        _tell(asdict(record))


def _tell(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def run_one(seed: int, problems: list[str]) -> Record:
    """Run one seed and judge it."""
    from acting import run  # noqa: PLC0415 - as above
    from judging import is_billed_exactly, judge  # noqa: PLC0415

    scenario = scenario_of(seed)
    record = Record(seed, scenario.mood)
    begun, files = time.monotonic(), _open_files()
    ran = run(scenario)
    record.seconds = time.monotonic() - begun
    record.violations = judge(ran)
    record.requests = len(ran.arrivals)
    record.tokens, record.billed_exactly = ran.usage.tokens or 0, is_billed_exactly(ran)
    record.texts = sum(len(ended.call.texts) for ended in ran.ended)
    record.faults = dict(Counter(one.fault for one in ran.arrivals if one.fault))
    overload = sum(one.status == 429 and not one.fault for one in ran.arrivals)
    if overload:
        record.faults["no_permits_left"] = overload
    del ran
    if _open_files() != files:
        gc.collect()
        if (now := _open_files()) != files:
            record.violations.append(f"{files} files were open, and {now} are")
    record.violations += problems
    problems.clear()
    return record


def _open_files() -> int:
    """How many, where the system says so."""
    return len(list(_OPEN_FILES.iterdir())) if _OPEN_FILES.is_dir() else 0


if __name__ == "__main__":
    warnings.simplefilter("error")
    main()
