"""Child processes that measure: each contender runs in one of its own, called again and again.

A `Child` is a process that has imported one function; each call goes to it as a line of JSON, and
its record comes back as one. So contenders can take turns without paying for their imports in every
round. Functions measure themselves with `Cost`, so that what they prepare does not count.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

ROOT = Path(__file__).parents[1]
SCRATCH = ROOT / ".benchmarks"
"""For what a run leaves behind: records, what children said on stderr, NLTK's data."""

Record = dict[str, Any]
_QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_NOT_OURS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "HF_TOKEN", "SSL_CERT_FILE")
"""The first two slow numpy down where someone has set them for another machine's sake."""


class Cost:
    """The wall time, the processor time and the memory that a block of code takes."""

    seconds = cpu_seconds = peak_mb = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        self.cpu_seconds = cpu_seconds() - self._cpu
        self.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def record(self) -> Record:
        """What was measured."""
        return {
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_mb": self.peak_mb,
        }


def cpu_seconds() -> float:
    """Processor time of this process, all threads and the kernel's share included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class Child:
    """A process that holds one function of the benchmarks, ``module:function``."""

    def __init__(self, function: str, name: str, environment: dict[str, str] | None = None) -> None:
        SCRATCH.mkdir(exist_ok=True)
        self._log = (SCRATCH / f"{name.replace('/', ' ')}.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.children", function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            env=child_environment() | (environment or {}),
            text=True,
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def call(self, *, patience: float = 120.0, **arguments: object) -> Record:
        """Call the function; its record, or one whose ``error`` says what became of it.

        Args:
            patience: Seconds after which the process is ended.
            **arguments: The function's.
        """
        assert self._process.stdin
        assert self._process.stdout
        watch = threading.Timer(patience, self._process.kill)
        watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(arguments) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        finally:
            watch.cancel()
        if line:
            record: Record = json.loads(line)
            return record
        return {"error": f"no result within {patience:g} s, or the process died"}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def child_environment() -> dict[str, str]:
    """The environment of all children: no telemetry, no tokens, numpy's own choice of kernels."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_OURS}
    return kept | _QUIET


@contextlib.contextmanager
def children(
    functions: dict[str, str], environment: dict[str, str] | None = None
) -> Iterator[dict[str, Child]]:
    """A child for each name, with the function it holds; all are ended at the end."""
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(Child(function, name, environment))
            for name, function in functions.items()
        }


def _serve(function: Callable[..., Record]) -> None:
    """In the child: answer calls until stdin ends. What libraries print goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            record = function(**json.loads(line))
        except Exception as error:  # noqa: BLE001 - a peer that fails is a result
            traceback.print_exc()
            record = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]}
        answers.write(json.dumps(record) + "\n")
        answers.flush()


if __name__ == "__main__":
    module, _, name = sys.argv[1].partition(":")
    _serve(getattr(importlib.import_module(module), name))
