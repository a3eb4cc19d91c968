"""A server in a process of its own, which ends with its owner."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ChildProcess:
    """Starts a command with pipes on its stdin and stdout.

    A child of ours ends when its stdin does, which happens however its owner ends.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment or os.environ),
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def first_line(self) -> str:
        """Wait for the first line that the child prints, and return it."""
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"child ended with status {self._process.wait()}")
        return line

    def stop(self) -> None:
        """End it now and take it off the process table."""
        self._process.kill()
        self._process.communicate()
