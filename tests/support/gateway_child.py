"""A gateway as a child process. Run as a script it serves, and ends when its stdin does.

What it logs goes to a file that the tests may read.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from child_process import ChildProcess

from langchain_hf_endpoint import InferenceEndpoints
from langchain_hf_endpoint.gateway import serve

if TYPE_CHECKING:
    from typing import Self


class GatewayChild:
    """A gateway over a registry of its own; the options are those of `create_app`.

    It runs on asyncio's loop, as without uvloop; with `uvloop` on that, where it is installed.
    """

    def __init__(self, log: Path, *, database: str | None = None, **options: object) -> None:
        self.log = log
        self._database = database
        self._options = options
        self._child: ChildProcess | None = None
        self.url = ""

    def __enter__(self) -> Self:
        arguments = json.dumps({"database": self._database, "log": str(self.log), **self._options})
        root = Path(__file__).parents[2]
        path = os.pathsep.join([str(root / "tests" / "support"), str(root)])
        environment = {**os.environ, "HF_TOKEN": "", "PYTHONPATH": path}
        command = [sys.executable, str(Path(__file__)), arguments]
        self._child = ChildProcess(command, environment=environment)
        try:
            self.url = self._child.first_line()
        except BaseException:
            self._child.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child
        self._child.stop()

    def put_mine(self, task_type: str, url: str) -> None:
        """Have it an endpoint `mine` at a URL."""
        settings = {"url": url, "api_key": "hf_of_a_test"}
        config = {"service": "hugging_face", "service_settings": settings}
        httpx.put(f"{self.url}/_inference/{task_type}/mine", json=config).raise_for_status()

    @property
    def pid(self) -> int:
        assert self._child
        return self._child.pid

    def is_alive(self) -> bool:
        assert self._child
        return self._child.is_alive()


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def _say(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def _main() -> None:
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    options = json.loads(sys.argv[1])
    if not options.pop("uvloop", False):
        sys.modules["uvloop"] = None  # uvicorn takes it wherever it can be imported
    logging.basicConfig(filename=options.pop("log"), level=logging.DEBUG)
    with InferenceEndpoints(options.pop("database")) as endpoints:
        serve(endpoints, port=0, ready=_say, **options)


if __name__ == "__main__":
    _main()
