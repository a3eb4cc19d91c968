"""Gateways in processes of their own: ours, bare pass-throughs on the same parts, LiteLLM's proxy.

Run as ``python -m benchmarks.gateways NAME``: it prints its URL and serves until its stdin ends.
LiteLLM's proxy is started by its own command.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.children import ROOT, SCRATCH, child_environment
from benchmarks.clients import DEFAULT, FAST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

MODEL = "measured"
"""The name of the endpoint, which is OpenAI's ``model``."""
OURS, LITELLM = "ours", "LiteLLM's proxy"
PASS_THROUGHS = {f"pass-through, {library}": library for library in (DEFAULT, FAST)}
GATEWAYS = (OURS, *PASS_THROUGHS, LITELLM)
_JSON = {"Content-Type": "application/json"}
_WITHOUT_KEY = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"}
"""None of them checks a key."""
_PATIENCE = 120.0


@contextmanager
def gateway(name: str, upstream: str) -> Iterator[tuple[str, int]]:
    """Its address, ``host:port``, and its process's number."""
    SCRATCH.mkdir(exist_ok=True)
    environment = child_environment() | {"UPSTREAM": upstream, **_WITHOUT_KEY}
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.gateways", name]
    if name == LITELLM:
        command = _of_litellm(upstream, port)
    with (SCRATCH / "gateway.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log if name == LITELLM else subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            env=environment,
            text=True,
        )
        try:
            address = f"127.0.0.1:{port}"
            if process.stdout:
                address = process.stdout.readline().strip().removeprefix("http://")
            else:
                _wait_for(address, process)
            if name == OURS:
                _put(address, upstream)
            yield address, process.pid
        finally:
            process.kill()
            process.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(address: str, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(address.split(":")).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing listens at {address}")


def _put(address: str, upstream: str) -> None:
    settings = {"url": upstream, "rate_limit": {"requests_per_minute": 10_000_000}}
    config = {"service": "hugging_face", "service_settings": settings}
    connection = http.client.HTTPConnection(address, timeout=60)
    path = f"/_inference/text_embedding/{MODEL}"
    connection.request("PUT", path, json.dumps(config), _JSON)
    assert connection.getresponse().status == http.client.OK
    connection.close()


def _of_litellm(upstream: str, port: int) -> list[str]:
    parameters = {"model": "openai/tei", "api_base": f"{upstream}/v1", "api_key": "none"}
    models = [{"model_name": MODEL, "litellm_params": parameters}]
    path = SCRATCH / "litellm.yaml"
    path.write_text(json.dumps({"model_list": models}), encoding="utf-8")  # which is YAML, too
    own = str(Path(sys.executable).with_name("litellm"))
    address = ("--host", "127.0.0.1", "--port", str(port))
    return [own, "--config", str(path), *address, "--telemetry", "False"]


def _serve_ours() -> None:
    from langchain_hf_endpoint import InferenceEndpoints
    from langchain_hf_endpoint.gateway import serve

    serve(InferenceEndpoints(), port=0, ready=lambda url: print(url, flush=True))


def _serve_pass_through(library: str) -> None:
    """What a user writes by hand: the body goes on as it came, and so does the reply."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.responses import Response as Answer
    from starlette.routing import Route

    from benchmarks.clients import bare

    url = os.environ["UPSTREAM"] + "/v1/embeddings"
    held: dict[str, Any] = {}

    async def pass_on(request: Request) -> Response:
        if not held:
            held["opened"] = bare.ASYNC[library](64)
            held["post"] = await held["opened"].__aenter__()
        reply = await held["post"](url, await request.body())
        return Answer(reply, media_type="application/json")

    app = Starlette(routes=[Route("/v1/embeddings", pass_on, methods=["POST"])])
    config = uvicorn.Config(app, http="h11", ws="none", access_log=False, log_level="error")
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    # LiteLLM's proxy brings these, and uvicorn would take them; our gateway does not ask for them.
    sys.modules["uvloop"] = sys.modules["httptools"] = None  # type: ignore[assignment]
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    if sys.argv[1] == OURS:
        _serve_ours()
    else:
        _serve_pass_through(PASS_THROUGHS[sys.argv[1]])
