"""This package as it comes. Only the limit of requests per minute is out of the way.

Every call comes with another key, so that none profits from what the one before learned of the
server: the window begins at its beginning, connections are opened anew.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint import HFEndpointEmbeddings

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_LIMIT = {"requests_per_minute": 10_000_000}
_calls = count()


def embeddings(url: str, **settings: object) -> HFEndpointEmbeddings:
    """A client that knows nothing yet."""
    key = f"call-{next(_calls)}"
    return HFEndpointEmbeddings(url=url, api_key=key, **{"rate_limit": NO_LIMIT, **settings})


def embed(  # noqa: PLR0913 - what the contenders differ in
    url: str,
    texts: list[str],
    *,
    library: str,
    mode: str,
    form: str,
    wire: str,
    is_limited: bool = False,
) -> Sequence[Any]:
    """All texts; in JSON where the URL says TEI's own route, which knows no other form."""
    settings: dict[str, object] = {"rate_limit": {}} if is_limited else {}
    if library != "httpx":
        settings["transport"] = library
    own = embeddings(url + ("/embed" if wire == "json" else ""), **settings)
    if mode == "sync":
        return own.embed_array(texts) if form == "arrays" else own.embed_documents(texts)
    if form == "arrays":
        return asyncio.run(own.aembed_array(texts))
    return asyncio.run(own.aembed_documents(texts))


def first_and_second(url: str, texts: list[str]) -> tuple[float, float]:
    """Seconds of a process's first call to a server, and of its next one."""
    from time import perf_counter

    async def both() -> tuple[float, float]:
        own, begin = embeddings(url), perf_counter()
        await own.aembed_array(texts)
        middle = perf_counter()
        await own.aembed_array(texts)
        return middle - begin, perf_counter() - middle

    return asyncio.run(both())
