"""Several gateways with one limit in Redis."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack

import httpx
import pytest
from gateway_child import GatewayChild
from redis_server import RedisServer

from langchain_hf_endpoint import InferenceEndpoints, SettingsError
from langchain_hf_endpoint.gateway import create_app


@pytest.fixture
def redis_server():
    server = RedisServer()
    yield server
    server.close()


async def ask(urls, count):
    async with httpx.AsyncClient(timeout=60) as client:
        calls = [
            client.post(urls[number % len(urls)], json={"input": f"text {number}"})
            for number in range(count)
        ]
        return [answer.status_code for answer in await asyncio.gather(*calls)]


async def test_two_replicas_keep_to_one_limit_and_each_to_its_part_while_redis_is_away(
    tmp_path, redis_server, tei_double, config
):
    settings = config(rate_limit={"requests_per_minute": 600}, max_batch_size=1)
    urls = []
    with ExitStack() as stack:
        for name in ("one", "two"):
            child = stack.enter_context(
                GatewayChild(tmp_path / name, redis_url=redis_server.url, replicas=2)
            )
            async with httpx.AsyncClient(base_url=child.url, timeout=60) as client:
                put = await client.put(f"/_inference/text_embedding/of-{name}", json=settings)
            assert put.status_code == 200, put.text
            urls.append(f"{child.url}/_inference/of-{name}")
        tei_double.forget()
        begun = time.monotonic()
        assert set(await ask(urls, 30)) == {200}
        arrivals = sorted(entry.monotonic for entry in tei_double.requests)
        redis_server.kill()
        assert set(await ask(urls, 4)) == {200}
    assert len(arrivals) == 30
    for number, moment in enumerate(arrivals, 1):
        assert number <= 10 + (moment - begun) * 10 + 1


async def test_while_redis_is_away_requests_fail_where_nothing_else_was_said(redis_server, config):
    app = create_app(InferenceEndpoints(), redis_url=redis_server.url)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        put = await client.put("/_inference/text_embedding/mine", json=config())
        assert put.status_code == 200, put.text
        assert (await client.post("/_inference/mine", json={"input": "a text"})).status_code == 200
        redis_server.kill()
        answer = await client.post("/_inference/mine", json={"input": "a text"})
    assert answer.status_code == 400
    assert "Redis that keeps the rate limit does not answer" in answer.text


@pytest.mark.parametrize("wrong", [{"redis_url": "http://x"}, {"replicas": 0}])
def test_a_redis_that_cannot_be_used_is_refused_at_the_start(wrong):
    with pytest.raises(SettingsError):
        create_app(InferenceEndpoints(), **{"redis_url": "redis://127.0.0.1", **wrong})
