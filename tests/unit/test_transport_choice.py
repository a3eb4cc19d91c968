"""Which library sends: as set, and for our own programs the fastest that is installed."""

from __future__ import annotations

import httpx
import pytest

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint, InferenceEndpoints
from langchain_hf_endpoint._http import clients
from langchain_hf_endpoint.cli.endpoints import endpoint_of
from langchain_hf_endpoint.endpoint import preferring_fast
from langchain_hf_endpoint.ray import EmbedChunks, EmbedTexts

URL = "http://embed.example:80"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def chosen(endpoint):
    return preferring_fast(endpoint).service_settings.transport


def test_a_library_call_takes_httpx_where_nothing_is_set():
    assert InferenceEndpoint(URL).service_settings.transport == "httpx"


def test_our_own_programs_take_the_fast_one_where_nothing_is_set():
    endpoint = InferenceEndpoint(URL, api_key="hf_secret", allow_insecure_http=True)
    fast = preferring_fast(endpoint)
    assert fast.service_settings.transport == "aiohttp"
    changed = {"transport": "aiohttp"}
    service = endpoint.service_settings.model_copy(update=changed)
    assert fast == endpoint.model_copy(update={"service_settings": service})


@pytest.mark.parametrize("name", ["httpx", "aiohttp"])
def test_what_is_set_stays(name):
    assert chosen(InferenceEndpoint(URL, transport=name)) == name
    service = {"url": URL, "transport": name}
    with InferenceEndpoints() as endpoints:
        config = {"service": "hugging_face", "service_settings": service}
        endpoints.put(inference_id="kept", inference_config=config, skip_validation=True)
        assert chosen(endpoints["kept"]) == name


def test_without_the_extra_it_is_httpx(monkeypatch):
    monkeypatch.setattr(clients, "find_spec", lambda _: None)
    assert chosen(InferenceEndpoint(URL)) == "httpx"


@pytest.mark.parametrize(
    ("proxy", "library"),
    [
        ("http://proxy.example:3128", "aiohttp"),
        ("socks5://proxy.example:1080", "httpx"),
        ("ftp://none", "httpx"),  # an error, which is said when something is sent
    ],
)
def test_a_proxy_that_only_httpx_can_use_is_left_to_it(environment, proxy, library):
    environment.setenv("HTTP_PROXY", proxy)
    assert chosen(InferenceEndpoint(URL)) == library


def test_the_command_line_and_the_classes_for_ray_are_such_programs():
    assert endpoint_of(URL, None, None).service_settings.transport == "aiohttp"
    embeddings = HFEndpointEmbeddings(url=URL)
    for kind in (EmbedTexts, EmbedChunks):
        assert kind(embeddings)._embeddings.endpoint.service_settings.transport == "aiohttp"
    assert embeddings.endpoint.service_settings.transport == "httpx"


async def test_a_client_of_the_users_own_keeps_its_place():
    async with httpx.AsyncClient() as client:
        embeddings = HFEndpointEmbeddings(url=URL, http_async_client=client)
        assert EmbedTexts(embeddings)._embeddings is embeddings
