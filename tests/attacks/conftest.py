"""A gateway for rough use, and how large attacks are."""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from gateway_child import GatewayChild

from langchain_hf_endpoint._session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tei_double import TeiDouble

LAST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRy01"


def pytest_addoption(parser: pytest.Parser) -> None:
    """They are known where `tests/attacks` is named on the command line."""
    parser.addoption("--times", type=int, default=1, help="so many times the size of each attack")


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """By how much an attack is larger than in the test suite."""
    return int(request.config.getoption("--times", 1))


@pytest.fixture(autouse=True)
def _nothing_left_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield
    session.close_sessions()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayChild]:
    """A gateway without a key, of each test file its own: what it used at most is theirs."""
    with GatewayChild(tmp_path_factory.mktemp("attacked") / "log") as child:
        yield child


@pytest.fixture
def client(gateway: GatewayChild) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=60) as client:
        yield client


@pytest.fixture
def mine(client: httpx.Client, tei_double: TeiDouble) -> Iterator[str]:
    """An endpoint over the double; its path."""
    path = "/_inference/text_embedding/mine"
    settings = {"url": tei_double.url, "api_key": KEY}
    config = {"service": "hugging_face", "service_settings": settings}
    client.put(path, json=config).raise_for_status()
    yield path
    client.delete(path)


def answer_to(gateway: GatewayChild, sent: bytes) -> bytes:
    """Send bytes over a connection of their own, and behind them a request that is the last.

    All that is answered.
    """
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent + LAST)
        parts = []
        with suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                parts.append(part)
    return b"".join(parts)


@pytest.fixture
def say(gateway: GatewayChild) -> Callable[[bytes], bytes]:
    """`answer_to` the gateway of the file."""
    return partial(answer_to, gateway)
