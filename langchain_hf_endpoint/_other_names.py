"""Words that people bring from other libraries, and the field of ours that each of them means.

It knows names. It must not know what a field takes.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_OTHER_NAMES: Mapping[str, str] = {
    "url": "api_base api_url base_url endpoint_url host inference_server_url model_id "
    "model_name openai_api_base repo_id server_url uri",
    "model": "model_id model_name repo_id",
    "api_key": "access_token api_token auth_token bearer hf_api_key hf_token huggingface_api_key "
    "huggingfacehub_api_token key openai_api_key token",
    "api_key_env": "key_env token_env",
    "dialect": "api_format backend protocol provider server_type",
    "max_wait": "max_retries max_retry_time num_retries retries retry retry_max_seconds",
    "timeout": "client_timeout read_timeout request_timeout timeout_seconds",
    "max_batch_size": "batch_size chunk_size embed_batch_size encode_batch_size inputs_per_request "
    "max_client_batch_size",
    "max_concurrent_requests": "concurrency max_concurrency max_connections max_parallel "
    "max_workers parallelism",
    "requests_per_minute": "rate_limit_per_minute requests_per_second rpm",
    "max_chunking_size": "chunk_size max_tokens max_words size",
    "overlap": "chunk_overlap",
    "sentence_overlap": "chunk_overlap overlap_sentences",
    "language": "lang locale",
    "normalize": "normalise normalize_embeddings",
    "truncate": "truncation",
    "dimensions": "dimension dims embedding_dim n_dimensions output_dimensionality",
    "query_prompt": "instruction prompt query_instruction query_prefix",
    "document_prompt": "document_prefix embed_instruction prompt passage_prefix passage_prompt "
    "text_instruction",
    "query_prompt_name": "prompt_name",
    "task_settings": "encode_kwargs model_kwargs parameters query_encode_kwargs",
    "chunking_settings": "chunking text_splitter",
    "inference_id": "endpoint_id endpoint_name id name",
    "rate_limiter": "limiter",
    "show_progress_bar": "progress progress_bar show_progress",
    "http_client": "client http headers default_headers proxies proxy session",
    "http_async_client": "async_client async_http_client",
    "tls": "ca_bundle cert ssl ssl_verify verify verify_ssl",
}
NAMES_OF_KEYS = frozenset({"api_key", *_OTHER_NAMES["api_key"].split()})
"""Under these names a key may be given, by mistake too."""


def unknown_field(
    name: str, allowed: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> str:
    """What is said of a field that there is not: what it may mean, and what there is.

    Args:
        name: The field.
        allowed: The fields that there are.
        elsewhere: Fields of other sections, and how they are written from here.
    """
    written = {field: field for field in allowed}
    for field, form in (elsewhere or {}).items():
        written.setdefault(field, form)
    meant = [written[field] for field in _meant_by(name.lower(), written)]
    hint = f" (did you mean {' or '.join(dict.fromkeys(meant))}?)" if meant else ""
    return f"unknown field{hint}; allowed here: {', '.join(allowed)}"


def _meant_by(name: str, fields: Iterable[str]) -> list[str]:
    if name in fields:
        return [name]
    known = [field for field in fields if name in _OTHER_NAMES.get(field, "").split()]
    return known or difflib.get_close_matches(name, fields, n=1, cutoff=0.75)
