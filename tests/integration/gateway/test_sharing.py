"""What callers share, and what they must not feel of each other."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid

import httpx
from gateway_child import GatewayChild
from prometheus_client.parser import text_string_to_metric_families

from langchain_hf_endpoint.testing import faults


def sent(double):
    return double.requests


async def until(condition):
    while not condition():  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.01)


async def test_small_requests_of_many_callers_leave_in_full_batches(gateway, put, tei_double):
    path = put(max_concurrent_requests=1)
    tei_double.forget()
    tei_double.configure(seconds_per_request=0.5)  # in which callers come, on a busy machine too
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        calls = (client.post(path, json={"input": f"text {number}"}) for number in range(96))
        answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200}
    assert sum(len(entry.texts) for entry in sent(tei_double)) == 96
    assert len(sent(tei_double)) <= 16


async def test_a_client_that_hangs_up_frees_its_place(gateway, put, tei_double):
    path = put(max_concurrent_requests=1)
    tei_double.forget()
    tei_double.script(faults.hang())
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        hung = asyncio.create_task(client.post(path, json={"input": "hung"}))
        await until(lambda: sent(tei_double))
        behind = asyncio.create_task(client.post(path, json={"input": "left before"}))
        await until(lambda: waiting(gateway) == 1)
        behind.cancel()
        await until(lambda: waiting(gateway) == 0)
        next_one = asyncio.create_task(client.post(path, json={"input": "next"}))
        await until(lambda: waiting(gateway) == 1)
        hung.cancel()
        assert (await next_one).status_code == 200
    # Of a request that hangs the double reads no texts.
    assert [entry.texts for entry in sent(tei_double)] == [("hung",), ("next",)]


async def test_a_full_queue_is_429_with_a_time_to_come_back(tmp_path, tei_double, config):
    settings = config(max_concurrent_requests=1)
    with GatewayChild(tmp_path / "log", max_queue=2) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            put = await client.put("/_inference/text_embedding/mine", json=settings)
            assert put.status_code == 200, put.text
            tei_double.script(faults.hang())
            body = {"input": "text"}
            calls = [asyncio.create_task(client.post("/_inference/mine", json=body))]
            await until(lambda: len(sent(tei_double)) == 2)
            calls += [asyncio.create_task(client.post("/_inference/mine", json=body)) for _ in "ab"]
            await until(lambda: waiting(gateway) == 2)
            refused = await client.post("/_inference/mine", json=body)
            as_openai = await client.post("/v1/embeddings", json={"model": "mine", **body})
            calls[0].cancel()
            answers = await asyncio.gather(*calls[1:])
    assert refused.status_code == as_openai.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["error"]["type"] == "es_rejected_execution_exception"
    assert {answer.status_code for answer in answers} == {200}


async def test_what_is_under_way_is_finished_before_the_end(tmp_path, tei_double, config):
    with GatewayChild(tmp_path / "log") as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            await client.put("/_inference/text_embedding/mine", json=config())
            tei_double.script(faults.late(0.5))
            call = asyncio.create_task(client.post("/_inference/mine", json={"input": "text"}))
            await until(lambda: len(sent(tei_double)) == 2)
            os.kill(gateway.pid, signal.SIGTERM)
            assert (await call).status_code == 200
        await until(lambda: not gateway.is_alive())


def test_endpoints_outlast_the_gateway_in_its_file(tmp_path, tei_double, config):
    database = str(tmp_path / "endpoints.db")
    with GatewayChild(tmp_path / "log", database=database) as gateway:
        httpx.put(f"{gateway.url}/_inference/text_embedding/mine", json=config())
    with GatewayChild(tmp_path / "log", database=database) as gateway:
        answer = httpx.post(f"{gateway.url}/_inference/mine", json={"input": "text"})
        assert answer.status_code == 200


def test_a_key_that_was_typed_into_a_put_is_nowhere(tmp_path, tei_double):
    key, own = f"hf_{uuid.uuid4().hex}", f"gateway-{uuid.uuid4().hex}"
    database = tmp_path / "endpoints.db"
    seen: list[str] = []
    with GatewayChild(tmp_path / "log", database=str(database), api_key=own) as gateway:
        headers = {"authorization": f"Bearer {own}"}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=30) as client:

            def call(method, path, **content):
                answer = client.request(method, path, **content)
                seen.append(f"{answer.status_code} {answer.headers} {answer.text}")
                return answer

            settings = {"url": tei_double.url, "api_key": key}
            good = {"service": "hugging_face", "service_settings": settings}
            path = "/_inference/text_embedding/mine"
            assert call("PUT", path, json=good).status_code == 200
            call("PUT", path, json=good)
            for wrong in (
                {**good, "api_key": key},
                {**good, key: key},
                {**good, "service": key},
                {**good, "service_settings": {**settings, "api_key": [key]}},
                {**good, "service_settings": {**settings, "url": key}},
                {**good, "service_settings": {**settings, "timeout": key}},
                {**good, "service_settings": {**settings, "api_key_env": key}},
                {**good, "service_settings": key},
            ):
                assert call("PUT", f"{path}2", json=wrong).status_code == 400
            call(
                "PUT",
                path,
                content=f'{{"api_key": "{key}"',
                headers={"content-type": "application/json"},
            )
            call("PUT", f"{path}/_update", json={"service_settings": {"api_key": key}})
            tei_double.script(faults.answer(401, f"the key {key} is wrong"))
            call("POST", path, json={"input": "private text"})
            call("POST", path, json={"input": "private text", "task_settings": {"api_key": key}})
            call("POST", "/v1/embeddings", json={"model": "mine", "input": "a", "api_key": key})
            for public in (path, "/_inference", "/metrics", "/v1/models", "/"):
                call("GET", public)
            call("GET", path, headers={"authorization": f"Bearer {key}"})
        log = gateway.log.read_text()
    assert '"route": "_inference.infer"' in log
    for secret in (key, own, "private text"):
        assert secret not in log
        assert not [answer for answer in seen if secret in answer]


def test_a_rate_limit_that_is_raised_holds_at_once(client, put, tei_double):
    path = put(rate_limit={"requests_per_minute": 60})
    change = {"service_settings": {"rate_limit": {"requests_per_minute": 60_000}}}
    assert client.put(f"{path}/_update", json=change).status_code == 200
    tei_double.forget()
    for number in range(20):
        client.post(path, json={"input": f"text {number}"})
    times = [entry.monotonic for entry in sent(tei_double)]
    assert len(times) == 20
    assert len(times) > times[-1] - times[0] + 2  # more than one a second


def metrics(gateway) -> dict[object, float]:
    text = httpx.get(f"{gateway.url}/metrics").text
    return {
        (sample.name.removeprefix("hf_gateway_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def waiting(gateway) -> float:
    return metrics(gateway)["waiting",]


def test_the_metrics_count_requests_inputs_and_retries(gateway, client, put, tei_double):
    path = put("counted")
    tei_double.script(faults.answer(429, headers={"retry-after": "0"}))
    client.post(path, json={"input": ["a", "b"]})
    client.post(path, json={"input": "a", "input_type": "search"})
    found = metrics(gateway)
    assert found["inputs_total", "counted", "document"] == 2
    assert found["inputs_total", "counted", "query"] == 1
    assert found["endpoint_retries_total", "refused", "counted"] == 1
    assert found["endpoint_batch_inputs_count", "counted"] == 3
    assert found["endpoint_batch_inputs_sum", "counted"] == 5
    assert found["endpoint_tokens_total", "counted"] == 9
    assert found["in_flight",] == 1
    assert found["requests_total", "POST", "_inference.infer", "200"] >= 2
    client.delete(path)
    assert not [name for name in metrics(gateway) if "counted" in name]


def test_the_access_log_is_json_without_texts(gateway, client, put):
    path = put("logged")
    client.post(path, json={"input": ["one text", "another"], "input_type": "search"})
    client.get("/health")  # a line is written when its answer is out: by now it is there
    lines = [line for line in gateway.log.read_text().splitlines() if '"logged"' in line]
    record = json.loads(lines[-1].split("access:", 1)[1])
    assert record.pop("seconds") < 30
    assert record == {
        "route": "_inference.infer",
        "method": "POST",
        "status": 200,
        "inference_id": "logged",
        "inputs": 2,
        "lane": "query",
        "client": "127.0.0.1",
    }
