"""The types a user of the embeddings sees. Checked by mypy --strict, never run."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from typing import Any, assert_type

import httpx
import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.rate_limiters import BaseRateLimiter, InMemoryRateLimiter
from numpy.typing import NDArray
from pydantic import SecretStr

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddedChunk,
    EmbeddingError,
    HFEndpointEmbeddings,
    HFEndpointError,
    InferenceEndpoint,
    InputError,
    RequestsPerMinuteLimiter,
)


def constructors(endpoint: InferenceEndpoint) -> Embeddings:
    """Every way that the contract shows."""
    HFEndpointEmbeddings(url="https://x.hf.space", api_key="hf_x")
    HFEndpointEmbeddings(url="https://x.hf.space", api_key=SecretStr("hf_x"), timeout=5)
    HFEndpointEmbeddings(
        url="https://x.hf.space",
        api_key_env="KEY",
        rate_limit={"requests_per_minute": 600},
        dialect="tei",
        chunking_settings={"strategy": "word"},
        task_settings={"normalize": True},
    )
    HFEndpointEmbeddings(endpoint=endpoint, show_progress_bar=True)
    HFEndpointEmbeddings(endpoint=endpoint, rate_limiter=RequestsPerMinuteLimiter(60))
    HFEndpointEmbeddings(endpoint=endpoint, http_client=httpx.Client())
    HFEndpointEmbeddings(endpoint=endpoint, http_async_client=httpx.AsyncClient())
    return HFEndpointEmbeddings(endpoint=endpoint, rate_limiter=InMemoryRateLimiter())


def sync_results(embeddings: HFEndpointEmbeddings) -> None:
    """What each method returns."""
    assert_type(embeddings.embed_documents(["a"]), list[list[float]])
    assert_type(embeddings.embed_query("a"), list[float])
    assert_type(embeddings.embed_array(["a"]), NDArray[np.float32])
    assert_type(embeddings.embed_chunks(["a"]), list[list[EmbeddedChunk]])
    stream = embeddings.stream_chunks(str(n) for n in range(3))
    assert_type(stream, Generator[EmbeddedChunk, None, None])
    as_iterator: Iterator[EmbeddedChunk] = stream
    assert_type(next(as_iterator), EmbeddedChunk)
    assert_type(embeddings.dimensions, int | None)
    assert_type(embeddings.endpoint, InferenceEndpoint)
    assert_type(embeddings.rate_limiter, BaseRateLimiter | None)
    assert_type(embeddings.show_progress_bar, bool)


async def async_results(embeddings: HFEndpointEmbeddings, more: AsyncIterator[str]) -> None:
    """The async twins return the same."""
    assert_type(await embeddings.aembed_documents(["a"]), list[list[float]])
    assert_type(await embeddings.aembed_query("a"), list[float])
    assert_type(await embeddings.aembed_array(["a"]), NDArray[np.float32])
    assert_type(await embeddings.aembed_chunks(["a"]), list[list[EmbeddedChunk]])
    assert_type(embeddings.astream_chunks(["a"]), AsyncGenerator[EmbeddedChunk, None])
    async for piece in embeddings.astream_chunks(more):
        assert_type(piece, EmbeddedChunk)


def chunks(piece: EmbeddedChunk) -> None:
    """A chunk's parts."""
    assert_type(piece.text, str)
    assert_type(piece.start, int)
    assert_type(piece.end, int)
    assert_type(piece.embedding, NDArray[np.float32])
    assert_type(piece.text_index, int)
    piece.text = "other"  # type: ignore[misc]  # frozen


def failures(embeddings: HFEndpointEmbeddings) -> None:
    """What a caught error holds."""
    try:
        embeddings.embed_documents(["a"])
    except AuthenticationError as error:
        assert_type(error.status, int | None)
    except EmbeddingError as error:
        assert_type(error.completed, Mapping[int, Any])
        assert_type(error.failures, Mapping[int, HFEndpointError])
    except InputError as error:
        assert_type(error.index, int | None)
    except HFEndpointError as error:
        assert_type(error.host, str)
        assert_type(error.attempts, int)


def mistakes(embeddings: HFEndpointEmbeddings) -> None:
    """What a type checker finds for the user."""
    embeddings.embed_documents("a")  # type: ignore[arg-type]
    embeddings.embed_query(["a"])  # type: ignore[arg-type]
    embeddings.embed_array([1])  # type: ignore[list-item]
    HFEndpointEmbeddings(endpoint="https://x.hf.space")  # type: ignore[arg-type]
    HFEndpointEmbeddings(url="https://x.hf.space", timeout="5")  # type: ignore[arg-type]
    HFEndpointEmbeddings(url="https://x.hf.space", dialect="vllm")  # type: ignore[arg-type]
    HFEndpointEmbeddings(url="https://x.hf.space", batch_size=32)  # type: ignore[arg-type]
    HFEndpointEmbeddings(url="https://x.hf.space", rate_limiter=60)  # type: ignore[arg-type]
    HFEndpointEmbeddings(url="https://x.hf.space", http_client=httpx.AsyncClient())  # type: ignore[arg-type]
    embeddings.show_progress_bar = True  # type: ignore[misc]  # frozen
