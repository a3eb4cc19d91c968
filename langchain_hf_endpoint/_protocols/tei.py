"""Speak Text Embeddings Inference's own protocol: ``POST /embed``, and ``/`` for a dense model.

https://github.com/huggingface/text-embeddings-inference (router/src/http).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._protocols.base import post
from langchain_hf_endpoint._protocols.parsing import answers, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._messages import (
        Failure,
        Form,
        InputOptions,
        Request,
        Response,
        Vectors,
    )


class TextEmbeddingsInference:
    """TEI's own routes, and what imitates them. Answers ``[[0.1, …], …]``."""

    name: str = "tei"

    def encode(self, url: str, inputs: Sequence[bytes], options: InputOptions) -> Request:
        """Build the request. See ``Dialect.encode``."""
        fields: dict[str, object] = {
            # Left out, it is false up to TEI 1.8 and true from 1.9. Where the cut is made is left
            # to the server: every version's default is the same (``Right``), while the spelling of
            # the field's values changed in 1.9.
            "truncate": options.truncate,
            "normalize": options.normalize,
        }
        if options.prompt_name is not None:
            fields["prompt_name"] = options.prompt_name
        if options.dimensions is not None:
            fields["dimensions"] = options.dimensions
        # A list also of one, so that the answer has one shape.
        return post(url, "inputs", inputs, fields)

    def decode(self, response: Response, count: int, form: Form = "lists") -> Vectors | Failure:
        """Read the response. See ``Dialect.decode``."""
        return read(response, count, form)

    def answers(self, response: Response) -> str | None:
        """Name the shape of what may be vectors. See ``Dialect.answers``."""
        return answers(response)

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:  # noqa: ARG002 - none
        """Nothing: TEI carries every option (``dimensions`` from 1.8.0 on)."""
        return []


class HuggingFace(TextEmbeddingsInference):
    """The common ground of the servers that take ``inputs``.

    The body is TEI's: each of these servers takes its fields or passes over them. ``normalize``
    is said even where it is true, since hf-serve hands it to sentence-transformers, whose own
    default is false. That the toolkit ignores options, without a word, cannot be known.
    """

    name = "hugging_face"
