"""A gateway for rough use, and how large attacks are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
from attacking import KEY, answer_to
from gateway_child import GatewayChild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint.testing import ScriptedEndpoint


def pytest_addoption(parser: pytest.Parser) -> None:
    """They are known where `tests/attacks` is named on the command line."""
    parser.addoption("--times", type=int, default=1, help="so many times the size of each attack")


@pytest.fixture(scope="session")
def times(request: pytest.FixtureRequest) -> int:
    """By how much an attack is larger than in the test suite."""
    return int(request.config.getoption("--times", 1))


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
def mine(client: httpx.Client, tei_double: ScriptedEndpoint) -> Iterator[str]:
    """An endpoint over the double; its path."""
    path = "/_inference/text_embedding/mine"
    settings = {"url": tei_double.url, "api_key": KEY}
    config = {"service": "hugging_face", "service_settings": settings}
    client.put(path, json=config).raise_for_status()
    yield path
    client.delete(path)


@pytest.fixture
def say(gateway: GatewayChild) -> Callable[[bytes], bytes]:
    """`answer_to` the gateway of the file."""
    return partial(answer_to, gateway)
