"""The types of the parts that work without an endpoint. Checked by mypy --strict, never run."""

from typing import assert_type

from langchain_core.documents import Document
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_text_splitters import TextSplitter

from langchain_hf_endpoint import (
    Chunk,
    ChunkingSettings,
    HFEndpointTextSplitter,
    RequestsPerMinuteLimiter,
    chunk,
)


def chunking(text: str) -> None:
    """The plain function."""
    assert_type(chunk(text), list[Chunk])
    assert_type(chunk(text, ChunkingSettings()), list[Chunk])
    assert_type(chunk(text, {"strategy": "word", "max_chunking_size": 100}), list[Chunk])
    (piece,) = chunk(text)
    assert_type(piece.text, str)
    assert_type((piece.start, piece.end), tuple[int, int])
    piece.start = 1  # type: ignore[misc]  # frozen
    chunk(text.encode())  # type: ignore[arg-type]


def splitting(documents: list[Document]) -> TextSplitter:
    """LangChain's splitter."""
    splitter = HFEndpointTextSplitter({"strategy": "word"}, add_start_index=True)
    assert_type(splitter.split_text("a"), list[str])
    assert_type(splitter.create_documents(["a"], [{"source": "b"}]), list[Document])
    assert_type(splitter.split_documents(documents), list[Document])
    splitter.transform_documents(documents)
    return splitter


async def limiting() -> BaseRateLimiter:
    """LangChain's rate limiter."""
    limiter = RequestsPerMinuteLimiter(3000, burst=10)
    assert_type(limiter.acquire(blocking=False), bool)
    assert_type(await limiter.aacquire(), bool)
    assert_type(await limiter.async_acquire(), bool)
    assert_type(limiter.requests_per_minute, int)
    return limiter
