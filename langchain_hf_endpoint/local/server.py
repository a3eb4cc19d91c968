"""Run the local server in a child process, which alone imports the packages of the extra."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock, Timer
from typing import IO, Self

from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.local.errors import LocalServerError, from_record
from langchain_hf_endpoint.local.files import MINILM, ModelInfo

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_MAX_PORT = 65535


class LocalServer:
    """An embedding server on this machine, in a process of its own.

    It starts in less than a second, holds about 350 MB, and ends with ``stop()``, with the
    ``with`` statement, or with this process, however that ends.

    Args:
        port: Port on 127.0.0.1; 0 takes a free one.
        model_dir: A folder with ``model.onnx`` (or ``onnx/model.onnx``) and ``tokenizer.json`` to
            serve instead of all-MiniLM-L6-v2; its files are taken as they are.
        threads: Inputs that are run at the same time; None: one for each processor.

    Raises:
        SettingsError: An argument is out of its range.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        model_dir: str | os.PathLike[str] | None = None,
        threads: int | None = None,
    ) -> None:
        if not 0 <= port <= _MAX_PORT:
            raise SettingsError(("port", f"must be in 0..{_MAX_PORT}, not {port}"))
        if threads is not None and threads < 1:
            raise SettingsError(("threads", f"must be at least 1, not {threads}"))
        self._port = port
        self._model_dir = None if model_dir is None else Path(model_dir)
        self._threads = threads
        self._child: _Child | None = None
        self._lock = Lock()

    def start(self) -> Self:
        """Start the server and wait until it answers; nothing where it runs already.

        Raises:
            MissingExtraError: The packages of the extra are not installed.
            LocalServerError: It did not start; the message has the child's own words.
        """
        with self._lock:
            if self._child is None or not self._child.alive:
                self._end_child()
                self._child = _Child(self._command())
                atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """End the server; nothing where it does not run, or in a process forked from its owner."""
        with self._lock:
            self._end_child()
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        child = self._child
        return child is not None and child.alive

    @property
    def url(self) -> str:
        """Where it listens, ``http://127.0.0.1:<port>``.

        Raises:
            LocalServerError: It is not running.
        """
        return self._running_child().url

    @property
    def pid(self) -> int:
        """The number of the child process.

        Raises:
            LocalServerError: It is not running.
        """
        return self._running_child().pid

    @property
    def model(self) -> ModelInfo:
        """What it serves.

        Raises:
            LocalServerError: It serves a folder, which is read by the child, and is not running.
        """
        if self._model_dir is None:
            return MINILM
        return self._running_child().model

    def describe(self) -> str:
        """A sentence that says what is served, under which licence, and where."""
        child = self._child
        if child is None or not child.alive:
            what = str(MINILM) if self._model_dir is None else str(self._model_dir)
            return f"A local server for {what}; not running."
        return f"A local server for {child.model} at {child.url}."

    def __str__(self) -> str:
        return self.describe()

    def __repr__(self) -> str:
        child = self._child
        state = f"{child.url}, pid {child.pid}" if child and child.alive else "not running"
        return f"<LocalServer {self._model_dir or MINILM.model_id}, {state}>"

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _running_child(self) -> _Child:
        child = self._child
        if child is None or not child.alive:
            raise LocalServerError(
                "The local server is not running",
                advice="Call start(), or use it in a with statement.",
            )
        return child

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", __package__, "--owned", "--port", str(self._port)]
        if self._model_dir is not None:
            command += ["--model-dir", str(self._model_dir.absolute())]
        if self._threads is not None:
            command += ["--threads", str(self._threads)]
        return command


class _Child:
    """The running process, which ends when its stdin is closed.

    The system closes it when this process ends in any way, SIGKILL included. A process forked from
    this one holds it open as well.
    """

    def __init__(self, command: list[str]) -> None:
        self._owner = os.getpid()
        # A file and no pipe: nobody reads it while the server runs, and a full pipe would stop the
        # child.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                encoding="utf-8",
                cwd=_ROOT,  # where the package is found, and a file of the user's cannot hide it
                # Ctrl-C in a terminal or notebook is not meant for it: on POSIX, and on Windows.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
            try:
                self.url, self.model = _announced(self._first_line(said))
            except BaseException:
                self.end()
                raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it is there; a forked process cannot know and takes its owner's word."""
        return os.getpid() != self._owner or self._process.poll() is None

    def end(self) -> None:
        """Close its pipes, and take it off the process table."""
        # A process forked from the owner has copies of the pipes, but the child is not its own to
        # end.
        if os.getpid() != self._owner:
            return
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _first_line(self, said: IO[str]) -> str:
        """What the child says first; it ends without a word where even its error went wrong."""
        # `readline` has no time limit of its own: a child that is ended ends the line.
        timer = Timer(_START_SECONDS, self._process.kill)
        timer.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout else ""
        finally:
            timer.cancel()
        if line:
            return line
        status = self._process.wait()
        said.seek(0)
        words = said.read()[-2000:].strip() or f"it said nothing in {_START_SECONDS:.0f} s"
        raise LocalServerError(f"The local server ended with status {status}: {words}")


def _announced(line: str) -> tuple[str, ModelInfo]:
    """The URL and the model that the child serves, or the error that it met."""
    record = json.loads(line)
    if "error" in record:
        raise from_record(record["error"])
    return record["url"], ModelInfo(**record["model"])
