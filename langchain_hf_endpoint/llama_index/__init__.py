"""LlamaIndex: an embedding model and a node parser over an inference endpoint.

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

import importlib
from typing import TYPE_CHECKING

from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from .embedding import HFEndpointEmbedding
    from .node_parser import HFEndpointNodeParser

__all__ = ["HFEndpointEmbedding", "HFEndpointNodeParser", "MissingExtraError"]

_ROOMS = {"HFEndpointEmbedding": "embedding", "HFEndpointNodeParser": "node_parser"}


class MissingExtraError(HFEndpointError, ImportError):
    """The package of the extra ``[llama-index]`` is not installed."""


def __getattr__(name: str) -> object:
    """Load what needs the extra when it is first used.

    Raises:
        MissingExtraError: The package of the extra is not installed.
    """
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{room}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The classes for LlamaIndex need a package that is not here: {error.name}",
            advice='Install it with pip install "langchain-hf-endpoint[llama-index]".',
        ) from error


def __dir__() -> list[str]:
    return __all__
