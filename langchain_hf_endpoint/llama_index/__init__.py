"""LlamaIndex: an embedding model, a node parser and a reranker over inference endpoints.

::

    from llama_index.core import Document, VectorStoreIndex
    from langchain_hf_endpoint.llama_index import HFEndpointEmbedding, HFEndpointNodeParser

    index = VectorStoreIndex.from_documents(
        [Document(text="…")],
        embed_model=HFEndpointEmbedding(url="https://…", api_key="hf_…"),
        transformations=[HFEndpointNodeParser()],
    )

`pip install "langchain-hf-endpoint[llama-index]"` brings llama-index-core. It takes seconds to
load, and is loaded when one of these classes is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._package import lazy_names
from langchain_hf_endpoint.errors import MissingExtraError

if TYPE_CHECKING:
    from .embedding import HFEndpointEmbedding
    from .node_parser import HFEndpointNodeParser
    from .rerank import HFEndpointRerank

__all__ = ["HFEndpointEmbedding", "HFEndpointNodeParser", "HFEndpointRerank", "MissingExtraError"]

__getattr__ = lazy_names(
    __name__,
    {
        "HFEndpointEmbedding": "embedding",
        "HFEndpointNodeParser": "node_parser",
        "HFEndpointRerank": "rerank",
    },
    what="What is for LlamaIndex",
    extra="llama-index",
)


def __dir__() -> list[str]:
    return __all__
