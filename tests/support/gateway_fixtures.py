"""A gateway of the tests' own, over the double or the embedded server."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from gateway_child import GatewayChild

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint.testing import ScriptedEndpoint


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayChild]:
    """The one gateway of the session, without a key; each test names its endpoints itself."""
    with GatewayChild(tmp_path_factory.mktemp("gateway") / "log") as child:
        yield child


@pytest.fixture
def client(gateway: GatewayChild) -> Iterator[httpx.Client]:
    """A bare HTTP client of the gateway; it leaves no endpoint behind."""
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        yield client
        for config in client.get("/_inference").json()["endpoints"]:
            client.delete(f"/_inference/{config['inference_id']}")


@pytest.fixture
def config(tei_double: ScriptedEndpoint) -> Callable[..., dict[str, Any]]:
    """The JSON of an endpoint over the double; its key is its own, and so is its limiter."""

    def config(**service_settings: object) -> dict[str, Any]:
        settings = {"url": tei_double.url, "api_key": f"hf_{uuid.uuid4().hex}", **service_settings}
        return {"service": "hugging_face", "service_settings": settings}

    return config


@pytest.fixture
def put(client: httpx.Client, config: Callable[..., dict[str, Any]]) -> Callable[..., str]:
    """Create an endpoint over the double; returns its path."""

    def put(inference_id: str = "mine", **service_settings: object) -> str:
        path = f"/_inference/text_embedding/{inference_id}"
        answer = client.put(path, json=config(**service_settings))
        assert answer.status_code == 200, answer.text
        return path

    return put
