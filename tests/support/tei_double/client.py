"""The double as its owner sees it: a process, a URL, a script and a log."""

from __future__ import annotations

import base64
import http.client
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from child_process import ChildProcess

from .settings import Entry, Scripted, Settings

if TYPE_CHECKING:
    from typing import Self

_HERE = Path(__file__).parents[1]


class TeiDouble:
    """A double in a process of its own; settings are those of `Settings`."""

    def __init__(self, **settings: Any) -> None:
        self._first = Settings(**settings)
        self._child: ChildProcess | None = None
        self.url = ""

    def start(self) -> Self:
        """Start the process; `url` is then set and answers."""
        command = [sys.executable, "-m", "tei_double", orjson.dumps(asdict(self._first)).decode()]
        environment = {**os.environ, "PYTHONPATH": str(_HERE)}
        self._child = ChildProcess(command, environment=environment)
        self.url = self._child.first_line()
        return self

    def stop(self) -> None:
        """End the process."""
        if self._child:
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def configure(self, **settings: Any) -> None:
        """Change these settings, from the next request on. A proxy starts anew (asleep)."""
        self._control("config", settings)

    def reset(self, **settings: Any) -> None:
        """Be a new server with these settings (else the defaults): no log, no script."""
        asdict(Settings(**settings))
        self._control("reset", settings)

    def script(self, *replies: Scripted) -> None:
        """Queue replies; the first that is for a request is used for it."""
        self._control("script", [_portable(reply) for reply in replies])

    def log(self, path: str = "", method: str = "") -> list[Entry]:
        """What arrived since the start or the last reset, in order; GETs are in it as well."""
        entries = [Entry(**entry) for entry in self._control("log")]
        return [
            entry for entry in entries if path in ("", entry.path) and method in ("", entry.method)
        ]

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self._child
        return self._child.pid

    def _control(self, what: str, content: object = None) -> Any:
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request("POST", f"/_double/{what}", orjson.dumps(content))
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        if reply.status != http.HTTPStatus.OK:
            raise ValueError(f"{what}: {content!r} was not understood")
        return orjson.loads(body)


def _portable(reply: Scripted) -> dict[str, Any]:
    fields = asdict(reply)
    if isinstance(reply.body, bytes):
        fields["body"] = {"base64": base64.b64encode(reply.body).decode()}
    return fields
