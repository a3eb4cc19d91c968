"""Embed text through a Hugging Face inference endpoint: chunked, batched, limited, retried.

Start with `HFEndpointEmbeddings`, LangChain's interface, or `InferenceEndpoint`, what it wraps.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from langchain_hf_endpoint._package import __version__

if TYPE_CHECKING:
    from langchain_hf_endpoint._engine.usage import EmbeddingUsage, get_embedding_usage
    from langchain_hf_endpoint.cache import ChunkCache
    from langchain_hf_endpoint.chunking import Chunk, chunk
    from langchain_hf_endpoint.chunking.chunks import EmbeddedChunk
    from langchain_hf_endpoint.embeddings import HFEndpointEmbeddings
    from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint
    from langchain_hf_endpoint.errors import (
        AuthenticationError,
        EmbeddingError,
        EndpointExistsError,
        EndpointNotFoundError,
        EndpointNotReadyError,
        EndpointPausedError,
        EndpointValidationError,
        HFEndpointError,
        InputError,
        MissingExtraError,
        ModelChangedError,
        PaymentRequiredError,
        ProtocolError,
        RateLimitedError,
        RegistryError,
        ServerError,
        SettingsError,
        TransportError,
        UnknownEndpointError,
    )
    from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter
    from langchain_hf_endpoint.redis import RedisRequestsPerMinuteLimiter
    from langchain_hf_endpoint.registry import InferenceEndpoints
    from langchain_hf_endpoint.reranker import HFEndpointReranker
    from langchain_hf_endpoint.settings import (
        ChunkingSettings,
        RateLimit,
        ServiceSettings,
        TaskSettings,
        TlsSettings,
    )
    from langchain_hf_endpoint.splitter import HFEndpointTextSplitter

_ROOMS = {
    "cache": ("ChunkCache",),
    "_engine.usage": ("EmbeddingUsage", "get_embedding_usage"),
    "chunking": ("Chunk", "chunk"),
    "chunking.chunks": ("EmbeddedChunk",),
    "embeddings": ("HFEndpointEmbeddings",),
    "endpoint": ("EndpointDescription", "InferenceEndpoint"),
    "limiter": ("RequestsPerMinuteLimiter",),
    "redis": ("RedisRequestsPerMinuteLimiter",),
    "registry": ("InferenceEndpoints",),
    "reranker": ("HFEndpointReranker",),
    "settings": ("ChunkingSettings", "RateLimit", "ServiceSettings", "TaskSettings", "TlsSettings"),
    "splitter": ("HFEndpointTextSplitter",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AuthenticationError",
    "Chunk",
    "ChunkCache",
    "ChunkingSettings",
    "EmbeddedChunk",
    "EmbeddingError",
    "EmbeddingUsage",
    "EndpointDescription",
    "EndpointExistsError",
    "EndpointNotFoundError",
    "EndpointNotReadyError",
    "EndpointPausedError",
    "EndpointValidationError",
    "HFEndpointEmbeddings",
    "HFEndpointError",
    "HFEndpointReranker",
    "HFEndpointTextSplitter",
    "InferenceEndpoint",
    "InferenceEndpoints",
    "InputError",
    "MissingExtraError",
    "ModelChangedError",
    "PaymentRequiredError",
    "ProtocolError",
    "RateLimit",
    "RateLimitedError",
    "RedisRequestsPerMinuteLimiter",
    "RegistryError",
    "RequestsPerMinuteLimiter",
    "ServerError",
    "ServiceSettings",
    "SettingsError",
    "TaskSettings",
    "TlsSettings",
    "TransportError",
    "UnknownEndpointError",
    "__version__",
    "chunk",
    "get_embedding_usage",
]


def __getattr__(name: str) -> object:
    """Load a public name's module when the name is first used, so that importing stays quick."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = _ROOM_OF.get(name, "errors")  # every other one is an exception
    return getattr(importlib.import_module(f"{__name__}.{room}"), name)


def __dir__() -> list[str]:
    return __all__
