"""What a user writes by hand, at its best: no retries, no limit, no checks, one server.

Workers pull batches from one iterator; bodies and replies go through orjson, base64 through
pybase64, as ours does with the extra [fast]. Each library has a function that opens it for so many
requests at once and gives one that posts a body and returns the reply's.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from pybase64 import b64decode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Post = Callable[[str, bytes], Awaitable[bytes]]
    SyncPost = Callable[[str, bytes], bytes]
    Decode = Callable[[bytes], Sequence[Any]]

BATCH = 32
_JSON = {"Content-Type": "application/json"}


def _authority() -> bytes | None:
    """Whom to trust, for those that do not look there by themselves."""
    path = os.environ.get("SSL_CERT_FILE")
    return Path(path).read_bytes() if path else None


@asynccontextmanager
async def _aiohttp(at_once: int) -> AsyncIterator[Post]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(url: str, body: bytes) -> bytes:
            async with session.post(url, data=body, headers=_JSON) as response:
                response.raise_for_status()
                return await response.read()

        yield post


@asynccontextmanager
async def _httpx(at_once: int) -> AsyncIterator[Post]:
    """Clients of 8 connections each: httpx looks at all of a client's at each request."""
    import httpx

    limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=60))
            for _ in range(-(-at_once // 8))
        ]
        turn = 0

        async def post(url: str, body: bytes) -> bytes:
            nonlocal turn
            turn += 1
            response = await clients[turn % len(clients)].post(url, content=body, headers=_JSON)
            return response.raise_for_status().content

        yield post


@contextmanager
def _httpx_sync(at_once: int) -> Iterator[SyncPost]:
    import httpx

    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    with httpx.Client(limits=limits, timeout=60) as client:

        def post(url: str, body: bytes) -> bytes:
            response = client.post(url, content=body, headers=_JSON)
            return response.raise_for_status().content

        yield post


def _of_pyqwest(at_once: int) -> dict[str, Any]:
    return {
        "tls_ca_cert": _authority(),
        "pool_max_idle_per_host": at_once,
        "timeout": 60.0,
        "use_system_dns": True,
        "enable_otel": False,
    }


@asynccontextmanager
async def _pyqwest(at_once: int) -> AsyncIterator[Post]:
    import pyqwest

    async with pyqwest.HTTPTransport(**_of_pyqwest(at_once)) as transport:
        client = pyqwest.Client(transport)

        async def post(url: str, body: bytes) -> bytes:
            response = await client.post(url, _JSON, body)
            assert response.status == 200
            return response.content

        yield post


@contextmanager
def _pyqwest_sync(at_once: int) -> Iterator[SyncPost]:
    import pyqwest

    with pyqwest.SyncHTTPTransport(**_of_pyqwest(at_once)) as transport:
        client = pyqwest.SyncClient(transport)

        def post(url: str, body: bytes) -> bytes:
            response = client.post(url, _JSON, body)
            assert response.status == 200
            return response.content

        yield post


ASYNC = {"aiohttp": _aiohttp, "httpx": _httpx, "pyqwest": _pyqwest}
SYNC = {"httpx": _httpx_sync, "pyqwest": _pyqwest_sync}


def list_rows(body: bytes) -> list[list[float]]:
    """TEI's own reply."""
    rows: list[list[float]] = orjson.loads(body)
    return rows


def _base64_arrays(body: bytes) -> list[NDArray[np.float32]]:
    data = orjson.loads(body)["data"]
    return [np.frombuffer(b64decode(item["embedding"]), "<f4") for item in data]


def _base64_lists(body: bytes) -> list[list[float]]:
    return [row.tolist() for row in _base64_arrays(body)]


def _bodies(texts: list[str], *, base64: bool) -> Iterator[bytes]:
    """Of the batches; each is made when it is about to be sent."""
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        fields: dict[str, object] = {"inputs": batch, "truncate": True}
        if base64:
            fields = {"input": batch, "model": "tei", "encoding_format": "base64"}
        yield orjson.dumps(fields)


async def _by_tasks(
    library: str, url: str, bodies: Iterator[bytes], decode: Decode, at_once: int
) -> list[Sequence[Any]]:
    results: dict[int, Sequence[Any]] = {}
    waiting = enumerate(bodies)

    async def worker(post: Post) -> None:
        for place, body in waiting:
            results[place] = decode(await post(url, body))

    async with ASYNC[library](at_once) as post:
        await asyncio.gather(*(worker(post) for _ in range(at_once)))
    return [results[place] for place in sorted(results)]


def _by_threads(
    library: str, url: str, bodies: Iterator[bytes], decode: Decode, at_once: int
) -> list[Sequence[Any]]:
    with SYNC[library](at_once) as post, ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda body: decode(post(url, body)), list(bodies)))


async def aiohttp_batches(
    url: str, texts: list[str], decode: Decode, at_once: int = 16
) -> list[Sequence[Any]]:
    """The decoded replies, in order."""
    bodies = _bodies(texts, base64=url.endswith("/v1/embeddings"))
    return await _by_tasks("aiohttp", url, bodies, decode, at_once)


def embed(  # noqa: PLR0913 - what the contenders differ in
    url: str, texts: list[str], *, library: str, mode: str, form: str, wire: str, at_once: int
) -> Sequence[Any]:
    """All texts, by this library."""
    base64 = wire == "base64"
    decode: Decode = list_rows
    if base64:
        decode = _base64_arrays if form == "arrays" else _base64_lists
    bodies = _bodies(texts, base64=base64)
    url += "/v1/embeddings" if base64 else "/embed"
    if mode == "sync":
        parts = _by_threads(library, url, bodies, decode, at_once)
    else:
        parts = asyncio.run(_by_tasks(library, url, bodies, decode, at_once))
    rows = [row for part in parts for row in part]
    return np.array(rows, np.float32) if form == "arrays" else rows
