"""Packages that people use for this, as they come and set as well as they can be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


def hub_gather(url: str, texts: list[str]) -> NDArray[float32]:
    return asyncio.run(_hub(url, texts, 64))


async def _hub(url: str, texts: list[str], at_once: int) -> NDArray[float32]:
    import numpy as np
    from huggingface_hub import AsyncInferenceClient

    gate = asyncio.Semaphore(at_once)
    async with AsyncInferenceClient(model=url, timeout=60) as client:

        async def embed(batch: list[str]) -> NDArray[float32]:
            async with gate:
                # A list is taken, though only a text is promised.
                rows: Any = await client.feature_extraction(batch, truncate=True)
                return rows

        starts = range(0, len(texts), BATCH)
        parts = await asyncio.gather(*(embed(texts[at : at + BATCH]) for at in starts))
        return np.concatenate(parts)
