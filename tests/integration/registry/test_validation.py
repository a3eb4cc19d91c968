"""A put asks the endpoint once, over real sockets, and believes what it shows."""

import asyncio
import pickle
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_hf_endpoint import (
    AuthenticationError,
    EndpointExistsError,
    EndpointPausedError,
    EndpointValidationError,
    HFEndpointEmbeddings,
    InferenceEndpoints,
    ModelChangedError,
    ProtocolError,
    SettingsError,
    TransportError,
)
from langchain_hf_endpoint.testing import ScriptedEndpoint, faults

CANARY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa"


@pytest.fixture
def endpoints(tmp_path):
    with InferenceEndpoints(tmp_path / "endpoints.db") as endpoints:
        yield endpoints


@pytest.fixture(params=["sync", "async"])
def put(request, endpoints, tei_double):
    """`put` and `aput` of an endpoint at the double."""

    def put(inference_id="a", *, task=None, leave=None, **service):
        parts = {"service_settings": {"url": tei_double.url, **service}}
        request_body = {
            "inference_id": inference_id,
            "inference_config": parts if task is None else {**parts, "task_settings": task},
            **(leave or {}),
        }
        if request.param == "sync":
            return endpoints.put(**request_body)
        return asyncio.run(endpoints.aput(**request_body))

    return put


def posts(double):
    return len(double.requests)


def test_a_put_calls_once_and_stores_what_the_endpoint_shows(put, endpoints, tei_double):
    stored = put()
    assert posts(tei_double) == 1
    shown = {"model_id": "scripted/endpoint", "dimensions": 384, "similarity": "cosine"}
    assert shown.items() <= stored["service_settings"].items()
    assert endpoints.get(inference_id="a") == stored
    assert len(HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query("Hello.")) == 384
    assert endpoints.get() == [stored]
    assert posts(tei_double) == 2


def test_without_validation_nothing_is_sent(put, endpoints, tei_double):
    stored = put(leave={"skip_validation": True})
    assert tei_double.arrivals == []
    assert stored["service_settings"]["similarity"] == "cosine"
    assert "dimensions" not in stored["service_settings"]


def test_a_name_in_use_costs_no_request(put, tei_double):
    put()
    before = len(tei_double.arrivals)
    with pytest.raises(EndpointExistsError):
        put()
    assert len(tei_double.arrivals) == before


def test_dimensions_that_are_right_are_taken_and_wrong_ones_refused(put, endpoints, tei_double):
    put("right", dimensions=384, model_id="scripted/endpoint", similarity="l2_norm")
    assert endpoints.get(inference_id="right")["service_settings"]["similarity"] == "l2_norm"
    with pytest.raises(SettingsError) as caught:
        put("wrong", dimensions=1024, model_id="another")
    (first, text), (second, other) = caught.value.problems
    assert (first, second) == ("service_settings.dimensions", "service_settings.model_id")
    assert "1024" in text
    assert "384" in text
    assert "another" in other
    assert "scripted/endpoint" in other
    assert list(endpoints) == ["right"]


def test_dimensions_that_were_asked_for_and_did_not_come_are_refused(put, endpoints, tei_double):
    tei_double.script(faults.ragged())
    with pytest.raises(EndpointValidationError, match="64 dimensions were asked for and 63 came"):
        put(task={"dimensions": 64})
    assert len(endpoints) == 0


@pytest.mark.parametrize(
    ("replies", "cause"),
    [
        ([faults.answer(401, {"error": "who?"})], AuthenticationError),
        ([faults.answer(400, {"error": "Bad Request: Invalid state"})], EndpointPausedError),
        ([faults.null()], ProtocolError),
        ([faults.reset()] * 99, TransportError),
    ],
    ids=["refused", "paused", "null", "reset"],
)
def test_a_failing_call_refuses_the_put_and_says_why(put, endpoints, tei_double, replies, cause):
    tei_double.script(*replies)
    with pytest.raises(EndpointValidationError, match="was not created") as caught:
        put(api_key=CANARY, max_wait=0)
    assert type(caught.value.__cause__) is cause
    assert caught.value.problem.endswith(caught.value.__cause__.problem)
    assert caught.value.host == caught.value.__cause__.host != ""
    assert CANARY not in str(caught.value) + repr(vars(caught.value.__cause__))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert len(endpoints) == 0
    tei_double.forget()
    put(api_key=CANARY)
    assert list(endpoints) == ["a"]


def test_a_variable_that_is_not_set_is_a_wrong_setting(put, endpoints, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(SettingsError, match="MY_KEY is not set"):
        put(api_key_env="MY_KEY")
    assert len(endpoints) == 0


@pytest.mark.parametrize("other", [{"dimensions": 768}, {"model_id": "another/model"}], ids=str)
def test_a_name_comes_back_with_another_model_only_on_request(put, endpoints, other):
    put()
    endpoints.delete(inference_id="a")
    put()
    endpoints.delete(inference_id="a")
    with ScriptedEndpoint(**other) as changed:
        with pytest.raises(ModelChangedError) as caught:
            put(url=changed.url)
        assert "scripted/endpoint (384 dimensions)" in str(caught.value)
        assert str(*other.values()) in str(caught.value)
        assert len(endpoints) == 0
        stored = put(url=changed.url, leave={"allow_model_change": True})
        assert other.items() <= stored["service_settings"].items()


def test_of_two_puts_of_one_name_at_the_same_time_exactly_one_wins(put, endpoints, tei_double):
    tei_double.configure(seconds_per_request=0.2)
    at_once, outcomes = threading.Barrier(4), []

    def compete(number):
        at_once.wait()
        try:
            put(max_batch_size=number + 1)
            outcomes.append(number)
        except EndpointExistsError:
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(compete, range(4)))
    (winner,) = outcomes
    assert endpoints["a"].service_settings.max_batch_size == winner + 1


def test_an_endpoint_with_its_own_dimensions_keeps_them(put, endpoints):
    put(task={"dimensions": 64})
    assert endpoints.get(inference_id="a")["service_settings"]["dimensions"] == 64


def test_a_key_that_was_used_for_a_put_is_in_no_table_but_that_of_the_secrets(
    put, endpoints, tei_double, tmp_path, caplog
):
    with caplog.at_level(0):
        put(api_key=CANARY)
        endpoints["a"].describe()
    sent = [entry.headers.get("authorization") for entry in tei_double.requests]
    assert sent == [f"Bearer {CANARY}"] * 2
    assert CANARY not in caplog.text
    connection = sqlite3.connect(tmp_path / "endpoints.db")
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    rows = {name: str(list(connection.execute(f"SELECT * FROM {name}"))) for name in names}
    connection.close()
    assert {name for name in names if CANARY in rows[name]} == {"secrets"}


def test_an_updated_rate_limit_holds_at_once_for_those_who_use_the_endpoint(tei_double, caplog):
    endpoints = InferenceEndpoints()
    config = {
        "service_settings": {"url": tei_double.url, "rate_limit": {"requests_per_minute": 60}}
    }
    endpoints.put(inference_id="a", inference_config=config)
    embeddings = HFEndpointEmbeddings(endpoint=endpoints["a"])
    limit = {"service_settings": {"rate_limit": {"requests_per_minute": 60_000}}}
    endpoints.update(inference_id="a", inference_config=limit)
    # At one request a second these would come a quarter of a minute apart.
    for number in range(8):
        embeddings.embed_query(f"query {number}")
        HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query(f"another {number}")
    arrivals = [entry.monotonic for entry in tei_double.requests]
    assert arrivals[-1] - arrivals[1] < 10
    assert "lower" not in caplog.text
