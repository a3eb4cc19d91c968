"""Callers who begin and do not go on: nobody else notices, and the end comes in time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import ExitStack

import httpx
import pytest
from gateway_child import GatewayChild

from langchain_hf_endpoint.testing import faults

HEAD = b"POST /_inference/mine HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def plug(gateway, sent: bytes) -> socket.socket:
    host, port = gateway.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(sent)
    return connection


def said(connection: socket.socket) -> bytes:
    """All that comes until the gateway closes."""
    parts = []
    try:
        while part := connection.recv(10_000):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.fixture(scope="module")
def hurried(tmp_path_factory):
    """A gateway that waits a second for a request, and has few connections."""
    log = tmp_path_factory.mktemp("hurried") / "log"
    with GatewayChild(log, request_seconds=1, max_connections=20) as child:
        yield child


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", HEAD])
def test_half_a_head_is_closed(hurried, sent):
    with plug(hurried, sent) as connection:
        assert said(connection) == b""


def test_half_a_head_on_a_used_connection_is_closed(hurried):
    with plug(hurried, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
        answer = b""
        while b"ok" not in answer:
            answer += connection.recv(1000)
        connection.sendall(b"GET /hea")
        assert said(connection) == b""


@pytest.mark.parametrize("length", [b"Content-Length: 100\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_half_a_body_is_408(hurried, length):
    with plug(hurried, HEAD + length + b"\r\n") as connection:
        answer = said(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"not complete within 1 s" in answer


def test_half_a_body_that_nobody_reads_is_closed(hurried):
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    with plug(hurried, head + b"a") as connection:
        answer = connection.recv(1000)
        connection.sendall(b"b")
        assert b"200" in answer + said(connection)


def test_more_connections_than_there_may_be_keep_nobody_out(hurried):
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(plug(hurried, b"GET /health HT"))
        assert httpx.get(f"{hurried.url}/health").status_code == 200


@pytest.mark.parametrize("sent", [b"GET /hea", HEAD + b"Content-Length: 9\r\n\r\n"])
def test_who_does_not_go_on_does_not_keep_the_gateway_from_ending(tmp_path, sent):
    with GatewayChild(tmp_path / "log", shutdown_seconds=1) as gateway, plug(gateway, sent) as end:
        os.kill(gateway.pid, signal.SIGTERM)
        said(end)
        while gateway.is_alive():
            os.sched_yield()


def test_what_is_under_way_has_only_so_long_at_the_end(tmp_path, client, config, tei_double):
    with GatewayChild(tmp_path / "log", shutdown_seconds=1) as gateway:
        httpx.put(f"{gateway.url}/_inference/text_embedding/mine", json=config()).raise_for_status()
        tei_double.script(faults.hang())
        body = b'{"input": "a"}'
        length = f"Content-Length: {len(body)}\r\n\r\n".encode()
        with plug(gateway, HEAD + length + body) as connection:
            os.kill(gateway.pid, signal.SIGTERM)
            said(connection)
            while gateway.is_alive():
                os.sched_yield()


async def test_bytes_that_wait_are_bounded_and_given_back(tmp_path, config, tei_double):
    options = {"max_body_bytes": 100_000, "max_waiting_bytes": 250_000}
    with GatewayChild(tmp_path / "log", **options) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
            one_each = config(max_batch_size=1)
            put = await client.put("/_inference/text_embedding/mine", json=one_each)
            assert put.status_code == 200
            tei_double.script(*[faults.hang()] * 2)
            before = len(tei_double.requests)
            body = {"input": "a " * 45_000}

            async def ask(more: str = "") -> httpx.Response:
                return await client.post("/_inference/mine", json={"input": body["input"] + more})

            held = [asyncio.create_task(ask(more)) for more in "ab"]
            while len(tei_double.requests) < before + 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
            refused = await asyncio.gather(*(ask() for _ in range(4)))
            as_openai = await client.post("/v1/embeddings", json={"model": "mine", **body})
            small = await client.get("/_inference/mine")
            for one in held:
                one.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            answer = await ask()
            while answer.status_code == 429:
                answer = await ask()
    assert {one.status_code for one in (*refused, as_openai)} == {429}
    assert refused[0].json()["error"]["type"] == "es_rejected_execution_exception"
    assert refused[0].headers["retry-after"]
    assert small.status_code == 200
    assert answer.status_code == 200
