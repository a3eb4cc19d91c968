"""Hugging Face's other servers: ``{"inputs": […]}`` in, ``{"embeddings": [[…]]}`` or ``[[…]]`` out.

Who speaks it: hf-serve (https://pypi.org/project/hf-serve/, options read at the root), the
inference toolkit (https://github.com/huggingface/huggingface-inference-toolkit, options ignored)
and custom handlers on it, the serverless router (https://huggingface.co/docs/inference-providers,
TEI's options).
"""

from __future__ import annotations

from langchain_hf_endpoint._protocols.tei import TextEmbeddingsInference


class HuggingFace(TextEmbeddingsInference):
    """The common ground of the servers that take ``inputs``.

    The body is TEI's: each of these servers takes its fields or passes over them. ``normalize``
    is said even where it is true, since hf-serve hands it to sentence-transformers, whose own
    default is false. That the toolkit ignores options, without a word, cannot be known.
    """

    name = "hugging_face"
