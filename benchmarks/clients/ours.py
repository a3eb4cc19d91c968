"""This package as it comes. Only the limit of requests per minute is out of the way.

Every call comes with another key, so that none profits from what the one before learned of the
server: the window begins at its beginning, connections are opened anew.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from langchain_hf_endpoint import HFEndpointEmbeddings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NO_LIMIT = {"requests_per_minute": 10_000_000}
_calls = count()


FAST = {"transport": "aiohttp"}
"""What the extra ``[fast]`` is for."""


def embeddings(url: str, **settings: object) -> HFEndpointEmbeddings:
    """A client that knows nothing yet."""
    key = f"call-{next(_calls)}"
    return HFEndpointEmbeddings(url=url, api_key=key, rate_limit=NO_LIMIT, **settings)


def documents(url: str, texts: list[str]) -> list[list[float]]:
    return embeddings(url).embed_documents(texts)


def adocuments(url: str, texts: list[str], **settings: object) -> list[list[float]]:
    return asyncio.run(embeddings(url, **settings).aembed_documents(texts))


def adocuments_base64(url: str, texts: list[str]) -> list[list[float]]:
    return adocuments(url + "/v1/embeddings", texts)


def array(url: str, texts: list[str]) -> NDArray[np.float32]:
    return embeddings(url).embed_array(texts)


def aarray(url: str, texts: list[str], **settings: object) -> NDArray[np.float32]:
    return asyncio.run(embeddings(url, **settings).aembed_array(texts))


def aarray_base64(url: str, texts: list[str]) -> NDArray[np.float32]:
    return aarray(url + "/v1/embeddings", texts)


def fast_documents(url: str, texts: list[str]) -> list[list[float]]:
    return adocuments(url, texts, **FAST)


def fast_documents_base64(url: str, texts: list[str]) -> list[list[float]]:
    return adocuments(url + "/v1/embeddings", texts, **FAST)


def fast_array(url: str, texts: list[str]) -> NDArray[np.float32]:
    return aarray(url, texts, **FAST)


def fast_array_base64(url: str, texts: list[str]) -> NDArray[np.float32]:
    return aarray(url + "/v1/embeddings", texts, **FAST)
