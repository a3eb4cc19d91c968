"""What a user writes by hand, at its best: no retries, no limit, no checks, one server.

Workers pull batches from one iterator; bodies and replies go through orjson, base64 through
pybase64, as ours does with the extra [fast].
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from pybase64 import b64decode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy.typing import NDArray

BATCH = 32
_JSON = {"Content-Type": "application/json"}


def _batches(texts: list[str]) -> list[list[str]]:
    return [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]


async def _work_off(
    batches: list[list[str]], at_once: int, embed: Callable[[list[str]], Awaitable[Sequence[Any]]]
) -> list[Sequence[Any]]:
    results: list[Sequence[Any]] = [()] * len(batches)
    waiting = iter(enumerate(batches))

    async def worker() -> None:
        for place, batch in waiting:
            results[place] = await embed(batch)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return results


async def aiohttp_batches(
    url: str, texts: list[str], decode: Callable[[bytes], Sequence[Any]], at_once: int = 16
) -> list[Sequence[Any]]:
    """The decoded replies, in order."""
    import aiohttp

    base64 = url.endswith("/v1/embeddings")

    async with aiohttp.ClientSession() as session:

        async def embed(batch: list[str]) -> Sequence[Any]:
            fields: dict[str, object] = {"inputs": batch, "truncate": True}
            if base64:
                fields = {"input": batch, "model": "tei", "encoding_format": "base64"}
            async with session.post(url, data=orjson.dumps(fields), headers=_JSON) as response:
                response.raise_for_status()
                return decode(await response.read())

        return await _work_off(_batches(texts), at_once, embed)


def list_rows(body: bytes) -> list[list[float]]:
    """TEI's own reply."""
    rows: list[list[float]] = orjson.loads(body)
    return rows


def _array_rows(body: bytes) -> NDArray[np.float32]:
    return np.array(orjson.loads(body), np.float32)


def _base64_arrays(body: bytes) -> list[NDArray[np.float32]]:
    data = orjson.loads(body)["data"]
    return [np.frombuffer(b64decode(item["embedding"]), "<f4") for item in data]


def _base64_lists(body: bytes) -> list[list[float]]:
    return [row.tolist() for row in _base64_arrays(body)]


def _joined(parts: list[Sequence[Any]]) -> list[list[float]]:
    return [row for part in parts for row in part]


def aiohttp_lists(url: str, texts: list[str]) -> list[list[float]]:
    return _joined(asyncio.run(aiohttp_batches(url + "/embed", texts, list_rows)))


def aiohttp_base64(url: str, texts: list[str]) -> list[list[float]]:
    return _joined(asyncio.run(aiohttp_batches(url + "/v1/embeddings", texts, _base64_lists)))


def aiohttp_arrays(url: str, texts: list[str]) -> NDArray[np.float32]:
    return np.concatenate(asyncio.run(aiohttp_batches(url + "/embed", texts, _array_rows)))


def aiohttp_base64_arrays(url: str, texts: list[str]) -> NDArray[np.float32]:
    parts = asyncio.run(aiohttp_batches(url + "/v1/embeddings", texts, _base64_arrays))
    return np.array(_joined(parts), np.float32)


def httpx_lists(url: str, texts: list[str]) -> list[list[float]]:
    return _joined(asyncio.run(_httpx_batches(url, texts)))


async def _httpx_batches(url: str, texts: list[str]) -> list[Sequence[Any]]:
    import httpx

    limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def embed(batch: list[str]) -> list[list[float]]:
            body = orjson.dumps({"inputs": batch, "truncate": True})
            response = await client.post(url + "/embed", content=body, headers=_JSON)
            return list_rows(response.raise_for_status().content)

        return await _work_off(_batches(texts), 8, embed)


def httpx_threads(url: str, texts: list[str]) -> list[list[float]]:
    import httpx

    limits = httpx.Limits(max_connections=8, max_keepalive_connections=8)
    with httpx.Client(limits=limits, timeout=60) as client, ThreadPoolExecutor(8) as pool:

        def embed(batch: list[str]) -> list[list[float]]:
            body = orjson.dumps({"inputs": batch, "truncate": True})
            response = client.post(url + "/embed", content=body, headers=_JSON)
            return list_rows(response.raise_for_status().content)

        return _joined(list(pool.map(embed, _batches(texts))))
