"""`hf-endpoint serve` and `hf-endpoint local`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest
from typer.testing import CliRunner

from langchain_hf_endpoint import gateway
from langchain_hf_endpoint.cli.app import app

KEY = "gateway-key-of-a-test"


@pytest.fixture
def served(monkeypatch):
    """What the gateway was asked to serve with; nothing is served."""
    asked = {}
    monkeypatch.setattr(gateway, "serve", lambda endpoints, **options: asked.update(options))
    monkeypatch.delenv("HF_ENDPOINT_GATEWAY_KEY", raising=False)
    return asked


def run(*arguments: str, **more: object):
    return CliRunner().invoke(app, arguments, **more)


def key_of(served) -> str | None:
    key = served["api_key"]
    return key and key.get_secret_value()


def test_without_options_it_serves_on_loopback_without_a_key(served):
    assert run("serve").exit_code == 0
    assert (served["host"], served["port"], key_of(served)) == ("127.0.0.1", 9200, None)
    assert served["allow_urls"] == gateway.DEFAULT_ALLOWED_URLS
    assert served["environment_keys"] is False


def test_the_key_comes_from_the_environment_a_file_or_a_prompt(served, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT_GATEWAY_KEY", "of-the-environment")
    run("serve")
    assert key_of(served) == "of-the-environment"
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    run("serve", "--api-key-file", str(file))
    assert key_of(served) == "of-the-file"
    shown = run("serve", "--ask-key", input="of-the-prompt\n")
    assert key_of(served) == "of-the-prompt"
    assert "of-the-prompt" not in shown.output


def test_a_key_on_the_command_line_is_not_taken_and_not_repeated(served):
    shown = run("serve", "--api-key", KEY)
    assert shown.exit_code == 2
    for instead in ("--api-key-file", "--ask-key", "HF_ENDPOINT_GATEWAY_KEY"):
        assert instead in shown.stderr
    assert KEY not in shown.output
    assert not served
    assert "--api-key " not in run("serve", "--help").output


@pytest.mark.parametrize("content", ["", " \n", None])
def test_a_key_file_that_holds_none_is_refused(served, tmp_path, content):
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    assert run("serve", "--api-key-file", str(file)).exit_code == 2
    assert not served


def test_more_hosts_may_be_allowed(served):
    run("serve", "--allow-url", "10.0.0.5:8080", "--allow-url", "https://*.example.com")
    assert served["allow_urls"] == (
        *gateway.DEFAULT_ALLOWED_URLS,
        "10.0.0.5:8080",
        "https://*.example.com",
    )


def test_an_open_address_without_a_key_is_refused_in_words(monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT_GATEWAY_KEY", raising=False)
    refused = run("serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.exit_code == 1
    assert "needs a key" in refused.output


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "langchain_hf_endpoint.cli", *arguments]
    environment = {**os.environ, "HF_ENDPOINT_GATEWAY_KEY": KEY}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("command", ["serve", "local"])
def test_it_says_where_it_listens_and_ends_with_ctrl_c(tmp_path, command):
    more = ["--database", str(tmp_path / "endpoints.db")] if command == "serve" else []
    with start(command, "--port", "0", *more) as process:
        try:
            said = process.stdout.readline()
            if command == "local":
                said = process.stdout.readline()
            url = next(word for word in said.split() if word.startswith("http://"))
            assert httpx.get(f"{url}/health").status_code == 200
            if command == "serve":
                assert httpx.get(url).status_code == 401
                headers = {"authorization": f"ApiKey {KEY}"}
                assert httpx.get(url, headers=headers).status_code == 200
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert "Traceback" not in errors
    assert KEY not in errors
    assert process.returncode in (0, 130, -signal.SIGINT)


def test_replicas_share_their_limits_in_the_redis_that_the_environment_names(served, monkeypatch):
    run("serve")
    assert served["redis_url"] is None
    url = "redis://:open-sesame@127.0.0.1/0"
    monkeypatch.setenv("HF_ENDPOINT_REDIS_URL", url)
    shown = run("serve", "--replicas", "3")
    assert served["redis_url"].get_secret_value() == url
    assert served["replicas"] == 3
    assert "sesame" not in shown.output


def test_it_serves_the_registry_that_the_environment_names(served, tmp_path, monkeypatch, registry):
    put = run("put", "mine", "--url", "http://127.0.0.1:9", "--skip-validation")
    assert put.exit_code == 0
    names = []
    monkeypatch.setattr(gateway, "serve", lambda endpoints, **_: names.extend(endpoints))
    run("serve")
    run("serve", "--database", str(tmp_path / "other.db"))
    run("serve", "--database", ":memory:")
    assert names == ["mine"]


def test_it_serves_what_put_keeps_where_no_registry_is_named(served, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ENDPOINT_REGISTRY")
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    names = []
    monkeypatch.setattr(gateway, "serve", lambda endpoints, **_: names.extend(endpoints))
    assert run("serve").exit_code == 0
    run("put", "mine", "--url", "http://127.0.0.1:9", "--skip-validation")
    run("serve")
    assert names == ["mine"]


def test_two_keys_and_other_options_are_handed_on(served, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT_GATEWAY_MANAGE_KEY", "of-those-who-manage")
    others = {
        "max_waiting_bytes": 30_000_000,
        "max_connections": 7,
        "request_seconds": 8.0,
        "shutdown_seconds": 9,
        "tei_at_root": "mine",
    }
    options = [f"--{name.replace('_', '-')}={value}" for name, value in others.items()]
    assert run("serve", *options).exit_code == 0
    assert served["manage_key"].get_secret_value() == "of-those-who-manage"
    assert others.items() <= served.items()
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    run("serve", "--manage-key-file", str(file))
    assert served["manage_key"].get_secret_value() == "of-the-file"


def test_loopback_is_no_default_where_others_reach_the_gateway(served, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT_GATEWAY_KEY", KEY)
    run("serve", "--host", "0.0.0.0")
    assert "127.0.0.1" not in served["allow_urls"]
    run("serve", "--host", "0.0.0.0", "--allow-url", "127.0.0.1:8080")
    assert "127.0.0.1:8080" in served["allow_urls"]
