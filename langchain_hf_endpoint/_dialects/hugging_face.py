"""Hugging Face's other servers: ``{"inputs": […]}`` in, ``{"embeddings": [[…]]}`` or ``[[…]]`` out.

Who speaks it: hf-serve (https://pypi.org/project/hf-serve/, options read at the root), the
inference toolkit (https://github.com/huggingface/huggingface-inference-toolkit, options ignored)
and custom handlers on it, the serverless router (https://huggingface.co/docs/inference-providers,
TEI's options).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._dialects.base import post
from langchain_hf_endpoint._dialects.reading import read
from langchain_hf_endpoint._dialects.tei import native_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._wire import Failure, InputOptions, Reply, Request, Rows


class HuggingFace:
    """The common ground of the servers that take ``inputs``.

    The body is TEI's: each of these servers takes its fields or passes over them. ``normalize``
    is said even where it is true, since hf-serve hands it to sentence-transformers, whose own
    default is false.
    """

    name = "hugging_face"

    def encode(self, url: str, inputs: Sequence[str], options: InputOptions) -> Request:
        """Build the request. See ``Dialect.encode``."""
        return post(url, native_fields(inputs, options), inputs)

    def decode(self, reply: Reply, count: int) -> Rows | Failure:
        """Read the reply. See ``Dialect.decode``."""
        return read(reply, count)

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:  # noqa: ARG002 - none
        """Nothing that could be known: the toolkit alone ignores options, without a word."""
        return []
