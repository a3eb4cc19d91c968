"""Read what a server says of itself: TEI's ``GET /info``.

https://github.com/huggingface/text-embeddings-inference (router/src/lib.rs, ``Info``)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import ServerInfo
from langchain_hf_endpoint._protocols.base import get, json_of, positive_integer, split_url
from langchain_hf_endpoint._protocols.errors import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint._messages import Request, Response
    from langchain_hf_endpoint._protocols.base import JSON

_WITHOUT_INFO = ("router.huggingface.co", "api-inference.huggingface.co")
"""Serverless: one host for all models, in front of whichever server."""

_ROUTES = (
    *("/v1/embeddings", "/embeddings", "/embed", "/v1/rerank", "/v2/rerank", "/rerank"),
    *("/invocations", "/predict", "/v1", "/v2"),
)
"""The routes of TEI and its like, longest first."""


def beside(url: str, route: str) -> str | None:
    """Another route of the server behind an embeddings URL; None where it has none.

    Behind a gateway's own path the server is taken to be mounted at that path. A query, which may
    be what the gateway knows its callers by, stays.
    """
    parts = split_url(url)
    if parts is None or not parts.netloc or parts.hostname in _WITHOUT_INFO:
        return None
    if "/pipeline/" in parts.path:
        return None
    path = parts.path.rstrip("/")
    own = next((known for known in _ROUTES if path.endswith(known)), "")
    return parts._replace(path=path.removesuffix(own) + route, fragment="").geturl()


def get_beside(url: str, route: str) -> Request | None:
    """Ask another route of the server behind an embeddings URL; None where it has none."""
    url_beside = beside(url, route)
    return None if url_beside is None else get(url_beside)


def info_request(url: str) -> Request | None:
    """Ask the server behind an embeddings URL about itself (``GET /info``)."""
    return get_beside(url, "/info")


def read_info(response: Response) -> ServerInfo | None:
    """Read the answer; None where it is not one of TEI's or TGI's."""
    told = json_of(response)
    if not isinstance(told, dict):
        return None
    if "max_client_batch_size" in told or isinstance(told.get("model_type"), dict):
        return ServerInfo(
            kind="tei",
            version=_text(told, "version"),
            model_id=_model_id(told),
            model_path=None if _model_id(told) else _text(told, "model_id"),
            max_input_tokens=positive_integer(told.get("max_input_length")),
            max_batch_size=positive_integer(told.get("max_client_batch_size")),
            max_concurrent_inputs=positive_integer(told.get("max_concurrent_requests")),
            truncates=told.get("auto_truncate") is True,
            unfit=_unfit(told.get("model_type")),
            unfit_to_score=_unfit_to_score(told.get("model_type")),
            fault=_fault(told),
        )
    if "max_total_tokens" in told:
        # https://github.com/huggingface/text-generation-inference
        return ServerInfo(
            kind="tgi",
            version=_text(told, "version"),
            model_id=_model_id(told),
            unfit="Text Generation Inference, which makes no embeddings",
            unfit_to_score="Text Generation Inference, which does not rerank",
        )
    return None


def _unfit(model_type: JSON) -> str | None:
    """Say why no dense embeddings come from a model of this type.

    Posting to such a server's ``/`` would give scores or labels, since TEI's root route does
    whatever the model is for.
    """
    if not isinstance(model_type, dict) or not model_type:
        return None
    kind = next(iter(model_type))
    if str(kind).lower() != "embedding":
        return f"it serves a {shortened(str(kind), 40)}, not an embedding model"
    details = model_type[kind]
    pooling = details.get("pooling") if isinstance(details, dict) else None
    if isinstance(pooling, str) and pooling.lower() == "splade":
        return "it serves a SPLADE model, whose embeddings are sparse"
    return None


def _unfit_to_score(model_type: JSON) -> str | None:
    """Say why no scores come from a model of this type."""
    if not isinstance(model_type, dict) or not model_type or "reranker" in model_type:
        return None
    kind = shortened(str(next(iter(model_type))), 40)
    return f"it has a model of the type {kind}, not a reranker"


_WITHOUT_MASK = re.compile(r"qwen3|gemma-?3|embedding-?gemma", re.IGNORECASE)
_WITHOUT_MASK_UNTIL = (1, 9, 3)


def _fault(told: Mapping[str, JSON]) -> str | None:
    """Say what TEI's candle backend does wrong with some models.

    It makes batches of inputs from all requests, and where those have as many tokens each it leaves
    out the attention mask: https://github.com/huggingface/text-embeddings-inference/issues/882.
    Flash attention, of CUDA images in half precision, has a mask of its own.
    """
    version = _text(told, "version") or ""
    release = tuple(map(int, re.findall(r"\d+", version)[:3]))
    model = _text(told, "model_id") or ""
    is_flash = told.get("model_dtype") == "float16" and told.get("docker_label") is not None
    if not _WITHOUT_MASK.search(model) or release > _WITHOUT_MASK_UNTIL or is_flash:
        return None
    return (
        f"is TEI {version} with {model}: of texts that have as many tokens each it makes wrong "
        "vectors where they share a batch (issue 882 of text-embeddings-inference)"
    )


def _model_id(told: Mapping[str, JSON]) -> str | None:
    """Return the model's name, unless it is a folder: ``/repository`` on Inference Endpoints."""
    for field in ("model_id", "served_model_name"):
        name = _text(told, field)
        if name is not None and not name.startswith(("/", ".")):
            return name
    return None


def _text(told: Mapping[str, JSON], field: str) -> str | None:
    value = told.get(field)
    return (shortened(value, 200) or None) if isinstance(value, str) else None
