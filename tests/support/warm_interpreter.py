"""Runs scripts in interpreters of their own, forked from one that has imported other packages.

To import LangChain, pydantic and httpx is most of the work of a small script. The package itself,
and what looks at the environment as it is imported, is left to each script.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

_IMPORTED = (
    "asyncio",
    "httpx",
    "langchain_core.documents",
    "langchain_core.embeddings",
    "langchain_core.runnables",
    "langchain_core.vectorstores",
    "langchain_text_splitters",
    "nltk.tokenize.punkt",
    "numpy",
    "orjson",
    "pydantic",
    "starlette.applications",
    "uvicorn",
)
_SECONDS = 300  # a script may take


class WarmInterpreter:
    """An interpreter that makes others by `fork`, one after another."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "default::ResourceWarning", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, script: Path, folder: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run a script in a folder; neither its streams nor its environment are inherited."""
        told = [folder / f".{script.stem}.{stream}" for stream in ("out", "err")]
        order = [str(script), str(folder), dict(environment), *map(str, told)]
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        out, err = (path.read_text(encoding="utf-8") for path in told)
        return subprocess.CompletedProcess([str(script)], status, out, err)


def _serve() -> None:
    for name in _IMPORTED:
        with suppress(ImportError):  # what this environment does without
            importlib.import_module(name)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            _become(*json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(script: str, folder: str, environment: dict[str, str], out: str, err: str) -> None:
    signal.alarm(_SECONDS)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [script]
    sys.path[:] = [
        str(Path(script).parent),
        *environment["PYTHONPATH"].split(os.pathsep),
        *sys.path[1:],
    ]
    # Its names live to the interpreter's end, as those of a script do.
    vars(sys.modules["__main__"]).update(runpy.run_path(script, run_name="__main__"))


if __name__ == "__main__":
    _serve()
