"""Ask each kind of server for vectors and read its responses: the wire formats, without I/O."""

from __future__ import annotations

from langchain_hf_endpoint._protocols.base import Dialect
from langchain_hf_endpoint._protocols.detection import (
    DIALECTS,
    Route,
    base64_route,
    candidates,
    conclude,
    declines,
    numbered,
    recognise,
    rerank_candidates,
)
from langchain_hf_endpoint._protocols.errors import explain, refuses_base64, shortened
from langchain_hf_endpoint._protocols.openai import (
    ServedModels,
    models_request,
    props_request,
    read_context_length,
    read_models,
    unknown_model,
)
from langchain_hf_endpoint._protocols.parsing import tokens_reported
from langchain_hf_endpoint._protocols.rerank import RERANK_DIALECTS
from langchain_hf_endpoint._protocols.retry_after import wait_foretold
from langchain_hf_endpoint._protocols.server_info import info_request, read_info
from langchain_hf_endpoint._protocols.tokenize import (
    Tokens,
    batches_of_words,
    read_tokens,
    read_words,
    tokenize_request,
    words_request,
)

__all__ = [
    "DIALECTS",
    "RERANK_DIALECTS",
    "Dialect",
    "Route",
    "ServedModels",
    "Tokens",
    "base64_route",
    "batches_of_words",
    "candidates",
    "conclude",
    "declines",
    "explain",
    "info_request",
    "models_request",
    "numbered",
    "props_request",
    "read_context_length",
    "read_info",
    "read_models",
    "read_tokens",
    "read_words",
    "recognise",
    "refuses_base64",
    "rerank_candidates",
    "shortened",
    "tokenize_request",
    "tokens_reported",
    "unknown_model",
    "wait_foretold",
    "words_request",
]
