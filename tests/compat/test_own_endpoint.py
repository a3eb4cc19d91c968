"""`make test-servers URL=…`, against the double: few requests, and nothing of the key."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from gateway_child import GatewayChild

from langchain_hf_endpoint.testing import FaultPlan, ScriptedEndpoint, faults

ROOT = Path(__file__).parents[2]
KEY = "hf_a-key-that-must-not-show"


@pytest.fixture
def ask(tmp_path):
    """What pytest prints of the tests of one URL."""

    def ask(url, module="conformance", *options):
        file = tmp_path / "key"
        file.write_text(f"{KEY}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pytest", f"tests/compat/servers/test_{module}.py"]
        command += ["-n", "0", "-p", "no:cacheprovider", "--url", url, "--key-file", str(file)]
        command += options
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        run = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        printed = run.stdout + run.stderr
        assert KEY not in printed
        return run.returncode, printed

    return ask


def test_an_endpoint_that_embeds_is_understood_by_few_requests(ask):
    with ScriptedEndpoint(api_key=KEY, max_input_length=300, model_id="of/mine") as endpoint:
        status, printed = ask(endpoint.url)
        requests = len(endpoint.arrivals)
    assert status == 0, printed
    assert requests <= 40
    for line in ("dialect: tei", "model_id: of/mine", f"requests sent: {requests}"):
        assert line in printed


def test_an_endpoint_that_reranks_is_understood_too(ask):
    with ScriptedEndpoint(api_key=KEY, shape="reranker") as endpoint:
        status, printed = ask(endpoint.url, "reranking")
        assert len(endpoint.arrivals) <= 40
    assert status == 0, printed


def test_of_several_models_the_one_is_asked_that_is_named(ask, tmp_path):
    with (
        ScriptedEndpoint() as one,
        ScriptedEndpoint(dimensions=48) as other,
        GatewayChild(tmp_path / "log", api_key=KEY) as gateway,
    ):
        for name, server in (("one", one), ("other", other)):
            settings = {"url": server.url, "api_key": "hf_of_a_test"}
            httpx.put(
                f"{gateway.url}/_inference/text_embedding/{name}",
                json={"service": "hugging_face", "service_settings": settings},
                headers={"Authorization": f"Bearer {KEY}"},
            ).raise_for_status()
        # Without the name it is refused: there are two.
        options = ("conformance", "--model", "other", "-k", "recognised")
        status, printed = ask(f"{gateway.url}/v1", *options)
    assert status == 0, printed
    assert "dimensions: 48" in printed


def test_a_server_that_mixes_vectors_up_fails(ask):
    plan = FaultPlan(seed=1, chances={faults.equal_length_mask(): 1.0})
    with ScriptedEndpoint(api_key=KEY, plan=plan) as endpoint:
        status, printed = ask(endpoint.url)
    assert status == 1, printed
    assert "FAILED tests/compat/servers/test_conformance.py::test_a_text_has_one_vector" in printed
