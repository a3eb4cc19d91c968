"""LlamaIndex's node postprocessor over an inference endpoint that reranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore
from pydantic import PrivateAttr

from langchain_hf_endpoint._validation import clears_frames
from langchain_hf_endpoint.reranker import HFEndpointReranker

if TYPE_CHECKING:
    from llama_index.core.schema import QueryBundle

    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.reranker import RankedDocument


class HFEndpointRerank(BaseNodePostprocessor):
    """Orders nodes by what they have to do with the query, the best first.

    A node is scored with the metadata that LlamaIndex embeds with it. See `HFEndpointReranker`.

    Example:
        ```python
        rerank = HFEndpointRerank(url="https://…", api_key="hf_…", top_n=5)
        engine = index.as_query_engine(similarity_top_k=50, node_postprocessors=[rerank])
        ```

    Attributes:
        top_n: How many of the best to return. None: all.
    """

    top_n: int | None = None
    _reranker: HFEndpointReranker = PrivateAttr()

    @clears_frames
    def __init__(
        self,
        url: str | None = None,
        *,
        endpoint: InferenceEndpoint | None = None,
        top_n: int | None = None,
        **settings: Any,
    ) -> None:
        """Wrap an endpoint, or make one of a URL, as `HFEndpointReranker` does.

        Raises:
            SettingsError: Names every wrong field.
        """
        reranker = HFEndpointReranker(url, endpoint=endpoint, top_n=top_n, **settings)
        super().__init__(top_n=top_n)
        self._reranker = reranker

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex's dumps know it."""
        return "HFEndpointRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes
        return _scored(nodes, self._reranker.rerank(_texts(nodes), query_bundle.query_str))

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None or not nodes:
            return nodes
        return _scored(nodes, await self._reranker.arerank(_texts(nodes), query_bundle.query_str))


def _texts(nodes: list[NodeWithScore]) -> list[str]:
    return [one.node.get_content(metadata_mode=MetadataMode.EMBED) for one in nodes]


def _scored(nodes: list[NodeWithScore], found: list[RankedDocument]) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=nodes[one["index"]].node, score=one["relevance_score"]) for one in found
    ]
