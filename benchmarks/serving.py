"""The measuring server as its owner sees it: a process, a URL, a behaviour, a log."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.children import ROOT, SCRATCH, child_environment

if TYPE_CHECKING:
    from typing import Self

    from benchmarks.tei_server import Behaviour


class Served(NamedTuple):
    """A batch that was answered or refused; moments are those of ``time.monotonic``."""

    arrived: float
    begun: float
    ended: float
    inputs: int
    status: int


class Server:
    """A server in a process of its own, which ends with its owner.

    Attributes:
        url: Where it is, over plain http.
        encrypted_url: Where it is, over TLS.
        authority: The file that says whose certificate it has.
    """

    def __enter__(self) -> Self:
        SCRATCH.mkdir(exist_ok=True)
        self.authority = str(SCRATCH / f"authority of {os.getpid()}.pem")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.tei_server", self.authority],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=child_environment(),
            text=True,
        )
        assert self._process.stdout
        self.url, self.encrypted_url = self._process.stdout.readline().split()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        Path(self.authority).unlink(missing_ok=True)

    def behave(self, behaviour: Behaviour) -> None:
        """Be another server from now on, with an empty log."""
        self._ask("POST", "/_configure", asdict(behaviour))

    def log(self) -> list[Served]:
        """What was asked for since."""
        return [Served(*entry) for entry in self.report()["log"]]

    def report(self) -> dict[str, Any]:
        """The log with the number of connections and the server's processor time so far."""
        return self._ask("GET", "/_log")

    def _ask(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        try:
            connection.request(method, path, json.dumps(content))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()
