"""The local server's application under load, over a model whose work the test holds back."""

from __future__ import annotations

import json
import threading
from contextlib import asynccontextmanager

import anyio
import httpx
import numpy as np
import pytest

from langchain_hf_endpoint.local.app import Service, create_app
from langchain_hf_endpoint.local.files import ModelInfo


class HeldModel:
    """Embeds a text as (its length, 1) once `gate` is open, or at once where it is not held."""

    info = ModelInfo("held/model", "MIT", dimensions=2, max_input_tokens=8, weights="none")

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = 0
        self.holds = lambda _ids: True

    def ids(self, text: str, *, cut: bool, keep_end: bool = False) -> list[int]:
        return [ord(letter) for letter in text]

    def embed(self, ids: list[int]) -> np.ndarray:
        self.begun += 1
        assert not self.holds(ids) or self.gate.wait(20)
        return np.array([len(ids), 1], np.float32)


@pytest.fixture
def model():
    return HeldModel()


@pytest.fixture
def app(model):
    return create_app(Service(model, threads=1))


@asynccontextmanager
async def client_of(app):
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://local", timeout=20) as it:
        yield it


async def test_health_answers_while_the_model_works(app, model):
    async with client_of(app) as client, anyio.create_task_group() as tasks:
        replies = []

        async def embed() -> None:
            body = {"inputs": ["a", "bbb"], "normalize": False}
            replies.append(await client.post("/embed", json=body))

        tasks.start_soon(embed)
        while not model.begun:
            await anyio.lowlevel.checkpoint()
        for path in ("/health", "/", "/info"):
            assert (await client.get(path)).status_code == 200
        assert not replies
        model.gate.set()
    assert replies[0].json() == [[1.0, 1.0], [3.0, 1.0]]


async def test_a_query_does_not_wait_for_the_documents_before_it(app, model):
    model.holds = lambda ids: len(ids) > 1
    async with client_of(app) as client, anyio.create_task_group() as tasks:
        replies = []

        async def embed() -> None:
            replies.append(await client.post("/embed", json={"inputs": ["bbb"] * 32}))

        tasks.start_soon(embed)
        while not model.begun:
            await anyio.lowlevel.checkpoint()
        query = await client.post("/embed", json={"inputs": ["a"], "normalize": False})
        assert query.json() == [[1.0, 1.0]]
        assert not replies
        model.gate.set()
    assert len(replies[0].json()) == 32


async def test_more_than_512_inputs_at_once_are_refused(app, model):
    body = {"inputs": ["a"] * 32}
    async with client_of(app) as client, anyio.create_task_group() as tasks:
        statuses = []

        async def embed() -> None:
            statuses.append((await client.post("/embed", json=body)).status_code)
            model.gate.set()

        for _ in range(17):
            tasks.start_soon(embed)
    assert sorted(statuses) == [200] * 16 + [429]


async def test_what_a_client_left_behind_is_dropped(app, model):
    body = json.dumps({"inputs": ["a"] * 32}).encode()
    sent = []

    async def receive():
        if not sent:
            sent.append(1)
            return {"type": "http.request", "body": body, "more_body": False}
        while not model.begun:
            await anyio.lowlevel.checkpoint()
        model.gate.set()
        return {"type": "http.disconnect"}

    async def send(_message):
        sent.append(2)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/embed", "headers": headers}
    await app({**scope, "query_string": b"", "root_path": "", "state": {}}, receive, send)
    assert model.begun < 32


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"inputs": ["a"] * 33}, 422, "batch size 33 > maximum allowed batch size 32"),
        ({"inputs": []}, 400, "`inputs` cannot be empty"),
        ({"inputs": ["a", ""]}, 400, "`inputs` cannot be empty"),
        ({"inputs": "a" * 9, "truncate": False}, 422, "less than 8 tokens. Given: 9"),
        ({"inputs": "a" * 2001, "truncate": False}, 422, "less than 2000 characters. Given: 2001"),
        ({"inputs": "a", "dimensions": 0}, 422, "`dimensions` should be positive"),
        ({"inputs": "a", "dimensions": 3}, 422, "`dimensions` should be smaller than"),
        ({"inputs": "a", "prompt_name": "q"}, 422, "`default-prompt-name` is set to `q` but no"),
        ({"inputs": "a", "truncation_direction": "up"}, 422, "unknown variant `up`"),
        ({"inputs": 3}, 422, "data did not match"),
        ({"inputs": [1, "a"]}, 422, "data did not match"),
        ({}, 422, "missing field `inputs`"),
        ([], 422, "invalid type"),
    ],
)
async def test_refusals_are_in_tei_s_words(app, body, status, words):
    async with client_of(app) as client:
        reply = await client.post("/embed", json=body)
    assert reply.status_code == status
    assert words in reply.text


async def test_openai_routes_have_flat_errors(app):
    async with client_of(app) as client:
        for path in ("/v1/embeddings", "/embeddings"):
            reply = await client.post(path, json={"input": []})
            message = "Input validation error: `inputs` cannot be empty"
            assert reply.json() == {"message": message, "code": 400, "type": "Empty"}


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"{}", "text/plain", 415), (b"x" * 2_000_001, "", 413)],
)
async def test_what_is_no_request_is_refused_in_plain_text(app, content, kind, status):
    async with client_of(app) as client:
        reply = await client.post("/embed", content=content, headers={"content-type": kind})
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith("text/plain")
