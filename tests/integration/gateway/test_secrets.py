"""An endpoint's key is given to the gateway, and is in none of its answers, metrics and logs."""

from __future__ import annotations

import json
import uuid

import pytest

from langchain_hf_endpoint.testing import faults

PART = "CaNaRyCaNaRy"
PATH = "/_inference/text_embedding/mine"


@pytest.fixture
def ask(client):
    """One request; its whole answer is looked through before it is given."""

    def ask(method, path, body=None, **headers):
        answer = client.request(method, path, json=body, headers=headers)
        assert PART not in answer.text
        assert PART not in repr(answer.headers)
        return answer

    return ask


@pytest.fixture
def key():
    """One for each test: the limiter and what was learned go by URL and key."""
    return f"hf_{PART}{uuid.uuid4().hex}"


@pytest.fixture
def mine(ask, config, key, tei_double):
    """The settings of an endpoint that is there."""
    tei_double.configure(api_key=key)
    own = config(api_key=key, max_wait=0.0)
    answer = ask("PUT", PATH, own)
    assert answer.status_code == 200, answer.text
    return own


READS = [
    "/", "/health", "/metrics", "/v1/models", "/v1/models/mine", "/_inference", "/_inference/_all",
    "/_inference/mine", PATH, f"/nowhere/{uuid.uuid4().hex}",
]  # fmt: skip
USES = {
    PATH: {"input": ["one", "two"]},
    "/_inference/mine/_chunks": {"input": ["one"]},
    "/v1/embeddings": {"model": "mine", "input": ["one", "two"]},
}


def test_no_answer_and_no_metric_holds_the_key(ask, mine):
    for path, body in USES.items():
        assert ask("POST", path, body).status_code == 200
    for path in READS:
        ask("GET", path)
    limit = {"service_settings": {"rate_limit": {"requests_per_minute": 7}}}
    assert ask("PUT", f"{PATH}/_update", limit).status_code == 200
    assert ask("DELETE", PATH).status_code == 200


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 503])
def test_no_answer_holds_a_key_that_the_server_repeats(ask, mine, key, tei_double, status):
    said = f"Invalid token {key}"
    headers = {"X-Error-Message": said, "Retry-After": "0"}
    for path, body in USES.items():
        tei_double.script(*[faults.answer(status, {"error": said}, headers)] * 40)
        assert ask("POST", path, body).status_code >= 400
        tei_double.forget()
        tei_double.configure(api_key=key)
    ask("GET", "/metrics")


def test_no_refusal_of_a_put_holds_the_key(ask, mine, key):
    service = mine["service_settings"]
    wrong = [
        mine,  # the name is taken
        {**mine, "service": key},
        {**mine, "service_settings": {**service, "rate_limit": key}},
        {**mine, "service_settings": {**service, "api_key": [key]}},
        {**mine, "service_settings": {**service, "timeout": key}},
        {**mine, "service_settings": {**service, "url": f"https://user:{key}@x.hf.space"}},
        {**mine, "service_settings": {**service, "url": f"https://x.hf.space/#{key}"}},
        {**mine, "service_settings": key},
        {**mine, "chunking_settings": {"strategy": key}},
        {**mine, "task_settings": {"api_key": key}},
        {"service_settings": json.dumps(service)},
        [mine],
        key,
    ]
    for body in wrong:
        assert ask("PUT", PATH, body).status_code == 400
    update = {"service_settings": {"api_key": key}}
    assert ask("PUT", f"{PATH}/_update", update).status_code == 400


def test_no_log_at_debug_holds_the_key(gateway, ask, mine, key, tei_double):
    tei_double.script(faults.answer(401, {"error": f"Invalid token {key}"}))
    ask("POST", PATH, {"input": ["one"]})
    log = gateway.log.read_text()
    assert "DEBUG" in log
    assert "_inference.infer" in log
    assert PART not in log
