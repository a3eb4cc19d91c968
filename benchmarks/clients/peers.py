"""Packages that people use for this, as they come and set as well as they can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from numpy import float32
    from numpy.typing import NDArray

BATCH = 32
_KEY = "none"


def _openai(url: str, **settings: Any) -> Any:
    from langchain_openai import OpenAIEmbeddings

    return OpenAIEmbeddings(base_url=url + "/v1", api_key=_KEY, model="tei", **settings)


def openai_defaults(url: str, texts: list[str]) -> list[list[float]]:
    vectors: list[list[float]] = _openai(url).embed_documents(texts)
    return vectors


# With `check_embedding_ctx_length` it would send the token ids of OpenAI's own models, which any
# other model reads as other words.
def openai_best(url: str, texts: list[str]) -> list[list[float]]:
    embeddings = _openai(url, chunk_size=BATCH, check_embedding_ctx_length=False)
    vectors: list[list[float]] = embeddings.embed_documents(texts)
    return vectors


def openai_async(url: str, texts: list[str]) -> list[list[float]]:
    embeddings = _openai(url, chunk_size=BATCH, check_embedding_ctx_length=False)
    vectors: list[list[float]] = asyncio.run(embeddings.aembed_documents(texts))
    return vectors


def _llama(url: str, **settings: Any) -> Any:
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    return TextEmbeddingsInference(model_name="tei", base_url=url, **settings)


def llama_defaults(url: str, texts: list[str]) -> list[list[float]]:
    vectors: list[list[float]] = _llama(url).get_text_embedding_batch(texts)
    return vectors


def llama_async(url: str, texts: list[str]) -> list[list[float]]:
    vectors: list[list[float]] = asyncio.run(_llama(url).aget_text_embedding_batch(texts))
    return vectors


def llama_best(url: str, texts: list[str]) -> list[list[float]]:
    embeddings = _llama(url, embed_batch_size=BATCH)
    embeddings.num_workers = 16
    vectors: list[list[float]] = asyncio.run(embeddings.aget_text_embedding_batch(texts))
    return vectors


def _haystack(url: str, **settings: Any) -> Any:
    from haystack_integrations.components.embedders.huggingface_api import (
        HuggingFaceAPIDocumentEmbedder,
    )

    return HuggingFaceAPIDocumentEmbedder(
        "text_embeddings_inference", {"url": url}, progress_bar=False, token=None, **settings
    )


def _documents(texts: list[str]) -> list[Any]:
    from haystack import Document

    return [Document(content=text) for text in texts]


def haystack_defaults(url: str, texts: list[str]) -> list[list[float]]:
    documents = _haystack(url).run(_documents(texts))["documents"]
    return [document.embedding for document in documents]


def haystack_async(url: str, texts: list[str], **settings: Any) -> list[list[float]]:
    embedder = _haystack(url, **settings)
    documents = asyncio.run(embedder.run_async(_documents(texts)))["documents"]
    return [document.embedding for document in documents]


def haystack_best(url: str, texts: list[str]) -> list[list[float]]:
    return haystack_async(url, texts, concurrency_limit=64)


async def _gathered(
    texts: list[str], at_once: int, embed: Callable[[list[str]], Awaitable[Sequence[Any]]]
) -> list[Sequence[Any]]:
    """The loop around a client that sends what it is given in one request."""
    gate = asyncio.Semaphore(at_once)

    async def gated(batch: list[str]) -> Sequence[Any]:
        async with gate:
            return await embed(batch)

    starts = range(0, len(texts), BATCH)
    return await asyncio.gather(*(gated(texts[at : at + BATCH]) for at in starts))


def _joined(parts: list[Sequence[Any]]) -> list[list[float]]:
    return [row for part in parts for row in part]


def hub_gather(url: str, texts: list[str]) -> NDArray[float32]:
    import numpy as np
    from huggingface_hub import AsyncInferenceClient

    async def call() -> list[Sequence[Any]]:
        async with AsyncInferenceClient(model=url, timeout=60) as client:

            async def embed(batch: list[str]) -> Sequence[Any]:
                # A list is taken, though only a text is promised.
                rows: Any = await client.feature_extraction(batch, truncate=True)
                return rows

            return await _gathered(texts, 64, embed)

    return np.concatenate(asyncio.run(call()))


def openai_package(url: str, texts: list[str]) -> list[list[float]]:
    from openai import OpenAI

    with OpenAI(base_url=url + "/v1", api_key=_KEY) as client:
        return [item.embedding for item in client.embeddings.create(input=texts, model="tei").data]


def openai_package_gather(url: str, texts: list[str]) -> list[list[float]]:
    from openai import AsyncOpenAI

    async def call() -> list[Sequence[Any]]:
        async with AsyncOpenAI(base_url=url + "/v1", api_key=_KEY) as client:

            async def embed(batch: list[str]) -> Sequence[Any]:
                reply = await client.embeddings.create(input=batch, model="tei")
                return [item.embedding for item in reply.data]

            return await _gathered(texts, 64, embed)

    return _joined(asyncio.run(call()))


def _litellm(url: str) -> dict[str, Any]:
    return {"model": "openai/tei", "api_base": url + "/v1", "api_key": _KEY}


def litellm(url: str, texts: list[str]) -> list[list[float]]:
    import litellm as package

    return [item["embedding"] for item in package.embedding(input=texts, **_litellm(url)).data]


def litellm_gather(url: str, texts: list[str]) -> list[list[float]]:
    import litellm as package

    async def embed(batch: list[str]) -> Sequence[Any]:
        reply = await package.aembedding(input=batch, **_litellm(url))
        return [item["embedding"] for item in reply.data]

    return _joined(asyncio.run(_gathered(texts, 64, embed)))


def _pydantic_ai(url: str) -> Any:
    from pydantic_ai import Embedder
    from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=url + "/v1", api_key=_KEY)
    return Embedder(OpenAIEmbeddingModel("tei", provider=provider))


def pydantic_ai(url: str, texts: list[str]) -> list[list[float]]:
    vectors: list[list[float]] = _pydantic_ai(url).embed_documents_sync(texts).embeddings
    return vectors


def pydantic_ai_gather(url: str, texts: list[str]) -> list[list[float]]:
    async def call() -> list[Sequence[Any]]:
        embedder = _pydantic_ai(url)

        async def embed(batch: list[str]) -> Sequence[Any]:
            rows: Sequence[Any] = (await embedder.embed_documents(batch)).embeddings
            return rows

        return await _gathered(texts, 64, embed)

    return _joined(asyncio.run(call()))


def _baseten(url: str, texts: list[str], **settings: Any) -> Any:
    from baseten_performance_client import PerformanceClient, RequestProcessingPreference

    preference = RequestProcessingPreference(**settings) if settings else None
    return PerformanceClient(url, api_key=_KEY).embed(texts, "tei", preference=preference)


_BASETEN_BEST = {
    "batch_size": BATCH, "max_concurrent_requests": 64, "max_chars_per_request": 1_000_000
}  # fmt: skip


def baseten_lists(url: str, texts: list[str]) -> list[list[float]]:
    return [item.embedding for item in _baseten(url, texts).data]


def baseten_arrays(url: str, texts: list[str]) -> NDArray[float32]:
    matrix: NDArray[float32] = _baseten(url, texts).numpy()
    return matrix


def baseten_best_lists(url: str, texts: list[str]) -> list[list[float]]:
    return [item.embedding for item in _baseten(url, texts, **_BASETEN_BEST).data]


def baseten_best_arrays(url: str, texts: list[str]) -> NDArray[float32]:
    matrix: NDArray[float32] = _baseten(url, texts, **_BASETEN_BEST).numpy()
    return matrix
