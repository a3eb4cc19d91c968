"""Limits belong to entries of the registry; trying out an endpoint changes nothing for others."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import httpx
import pytest
from gateway_child import GatewayChild
from prometheus_client.parser import text_string_to_metric_families

from langchain_hf_endpoint.testing import faults

QUICK = {"rate_limit": {"requests_per_minute": 60_000}}
SLOW = {"rate_limit": {"requests_per_minute": 60}}


def sent(double) -> list[float]:
    return [entry.monotonic for entry in double.requests]


def ask(client, path: str, times: int = 1) -> None:
    for number in range(times):
        answer = client.post(path, json={"input": f"{path} {number}"})
        assert answer.status_code == 200, answer.text


def check_quick(client, path: str, double) -> None:
    """More than the one a second that the other limit allows."""
    double.forget()
    ask(client, path, 8)
    moments = sent(double)
    assert len(moments) == 8
    assert len(moments) > moments[-1] - moments[0] + 2


@pytest.mark.parametrize("query", ["", "?timeout=50ms"])
@pytest.mark.parametrize("wrong", [{}, {"dimensions": 7}])
def test_a_put_of_somebodys_url_does_not_slow_its_owner(client, config, tei_double, query, wrong):
    own = config(**QUICK)
    other = {**own, "service_settings": {**own["service_settings"], **SLOW, **wrong}}
    assert client.put("/_inference/text_embedding/own", json=own).status_code == 200
    answer = client.put(f"/_inference/text_embedding/other{query}", json=other)
    assert answer.status_code == (504 if query else 400 if wrong else 200)
    check_quick(client, "/_inference/own", tei_double)


async def test_a_bound_of_another_entry_does_not_hold(gateway, client, config, tei_double):
    own = config(**QUICK, max_batch_size=1)
    other = {**own, "service_settings": {**own["service_settings"], "max_concurrent_requests": 1}}
    assert client.put("/_inference/text_embedding/own", json=own).status_code == 200
    assert client.put("/_inference/text_embedding/other", json=other).status_code == 200
    tei_double.forget()
    tei_double.script(faults.hang())
    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as caller:
        hung = asyncio.create_task(caller.post("/_inference/own", json={"input": "hangs"}))
        while not sent(tei_double):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        answer = await caller.post("/_inference/own", json={"input": "goes past"})
        assert answer.status_code == 200
        hung.cancel()


def test_a_delete_gives_back_and_the_next_of_the_name_has_its_own_limit(client, config, tei_double):
    slow = config(**SLOW)
    assert client.put("/_inference/text_embedding/mine", json=slow).status_code == 200
    assert client.delete("/_inference/mine").status_code == 200
    quick = {**slow, "service_settings": {**slow["service_settings"], **QUICK}}
    assert client.put("/_inference/text_embedding/mine", json=quick).status_code == 200
    check_quick(client, "/_inference/mine", tei_double)


@pytest.fixture
def shared(tmp_path):
    """The URL of a gateway over a file, and the file."""
    database = tmp_path / "endpoints.db"
    with (
        GatewayChild(tmp_path / "log", database=str(database)) as child,
        httpx.Client(base_url=child.url, timeout=10) as client,
    ):
        yield client, database


def test_a_lock_on_the_file_keeps_writers_waiting_and_no_reader(shared, config):
    client, database = shared
    assert client.put("/_inference/text_embedding/mine", json=config()).status_code == 200
    change = {"service_settings": {"timeout": 30}}
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        for _ in range(40):  # each waits for the lock; the caller does not
            with pytest.raises(httpx.ReadTimeout):
                client.put("/_inference/mine/_update", json=change, timeout=0.02)
        ask(client, "/_inference/mine", 2)
        assert client.get("/_inference/mine").status_code == 200
        assert client.get("/v1/models").status_code == 200
        other.execute("ROLLBACK")


def test_series_of_an_endpoint_that_another_program_deleted_are_gone(shared, config):
    client, database = shared
    assert client.put("/_inference/text_embedding/mine", json=config()).status_code == 200
    ask(client, "/_inference/mine", 1)
    assert "mine" in labels(client)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("PRAGMA foreign_keys = ON")
        other.execute("DELETE FROM endpoints")
    assert "mine" not in labels(client)


def labels(client) -> set[str]:
    return {
        sample.labels.get("inference_id", "")
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
    }


def test_a_limit_that_another_program_raised_holds_at_the_next_request(shared, config, tei_double):
    client, database = shared
    slow = config(**SLOW)
    assert client.put("/_inference/text_embedding/mine", json=slow).status_code == 200
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute(
            "UPDATE endpoints SET config = json_set(config, "
            "'$.service_settings.rate_limit.requests_per_minute', 60000)"
        )
    check_quick(client, "/_inference/mine", tei_double)
