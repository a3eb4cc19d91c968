"""Errors of a local server, and how they travel from the child process to its owner."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from langchain_hf_endpoint import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

INSTALL = 'pip install "langchain-hf-endpoint[local]"'
CONTAINER = (
    "docker run -p 8080:80 ghcr.io/huggingface/text-embeddings-inference:cpu-1.9 "
    "--model-id sentence-transformers/all-MiniLM-L6-v2"
)
"""The same model on Hugging Face's own server, for machines without onnxruntime."""


class LocalServerError(errors.HFEndpointError):
    """The local server did not start, or is not running."""


class MissingExtraError(LocalServerError, errors.MissingExtraError):
    """A package of the extra ``[local]`` is not installed, or does not work on this machine."""


@contextmanager
def importing() -> Iterator[None]:
    """Say of an import that fails which extra is missing, and the two ways out of it."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(
            f"The local server needs packages that are not here: {error}",
            advice=f"Install them with {INSTALL}. Where onnxruntime has no build for this machine, "
            f"run Hugging Face's server instead: {CONTAINER}",
        ) from error


def as_record(error: LocalServerError) -> dict[str, str]:
    """The error as JSON can carry it."""
    kind = "missing" if isinstance(error, MissingExtraError) else "start"
    return {"kind": kind, "problem": error.problem, "advice": error.advice}


def from_record(record: dict[str, str]) -> LocalServerError:
    """The error that ``as_record`` was given."""
    kind = MissingExtraError if record["kind"] == "missing" else LocalServerError
    return kind(record["problem"], advice=record["advice"])
