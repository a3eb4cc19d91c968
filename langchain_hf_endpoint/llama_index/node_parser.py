"""LlamaIndex's node parser with our chunking."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from llama_index.core.node_parser import NodeParser
from llama_index.core.node_parser.node_utils import build_nodes_from_splits
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.utils import get_tqdm_iterable

from langchain_hf_endpoint._lifecycle import in_thread
from langchain_hf_endpoint._validation import clears_frames
from langchain_hf_endpoint.chunking.chunks import as_settings, chunk
from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.chunking.tokenizer_file import bound_here
from langchain_hf_endpoint.settings import ChunkingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llama_index.core.schema import BaseNode, Document


class HFEndpointNodeParser(NodeParser):
    """Cut documents into nodes exactly as `HFEndpointEmbeddings` cuts texts.

    A node's `start_char_idx` and `end_char_idx` are exact: ``document.text[start:end]`` is its
    text, in texts that repeat themselves too, and for nodes that were cut before. Metadata and the
    relationships to source, previous and next node are LlamaIndex's.

    Example:
        ```python
        from langchain_hf_endpoint.llama_index import HFEndpointNodeParser

        parser = HFEndpointNodeParser({"strategy": "sentence", "max_chunking_size": 200})
        nodes = parser.get_nodes_from_documents(documents)
        ```

    Attributes:
        chunking_settings: How to cut. Default: sentences, at most 250 words a chunk, one sentence
            of overlap.
        metadata_aware: Leave room in each chunk for the words of the metadata that are embedded
            with it, as LlamaIndex's own splitters do: otherwise a full node is over the size with
            them, and is embedded as two chunks. Default True.
    """

    chunking_settings: ChunkingSettings = ChunkingSettings()
    metadata_aware: bool = True

    @clears_frames
    def __init__(
        self,
        chunking_settings: ChunkingSettings | Mapping[str, object] | None = None,
        **fields: Any,
    ) -> None:
        """Take the settings.

        Args:
            chunking_settings: A mapping is checked as `ChunkingSettings` is.
            **fields: `metadata_aware`, and LlamaIndex's own: ``include_metadata``,
                ``include_prev_next_rel``, ``id_func``, ``callback_manager``.

        Raises:
            SettingsError: A setting is wrong.
        """
        if isinstance(fields.get("id_func"), dict):  # of a dump, which has only its name
            del fields["id_func"]
        super().__init__(chunking_settings=as_settings(chunking_settings), **fields)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex's dumps know it."""
        return "HFEndpointNodeParser"

    def _parse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **_: Any
    ) -> list[BaseNode]:
        parsed: list[BaseNode] = []
        for node in get_tqdm_iterable(nodes, show_progress, "Parsing nodes"):
            parsed += self._pieces(node)
        return parsed

    async def _aparse_nodes(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **more: Any
    ) -> list[BaseNode]:
        return await in_thread(partial(self._parse_nodes, nodes, show_progress, **more))

    def _pieces(self, node: BaseNode) -> list[TextNode]:
        pieces = chunk(node.get_content(metadata_mode=MetadataMode.NONE), self._settings_for(node))
        made = build_nodes_from_splits([piece.text for piece in pieces], node, id_func=self.id_func)
        # A node that was cut before is replaced by its document as source.
        offset = 0
        if isinstance(node, TextNode) and node.source_node is not None:
            offset = node.start_char_idx or 0
        for new, piece in zip(made, pieces, strict=True):
            new.start_char_idx = offset + piece.start
            new.end_char_idx = offset + piece.end
        return made

    def _settings_for(self, node: BaseNode) -> ChunkingSettings:
        settings = self.chunking_settings
        if not (self.metadata_aware and self.include_metadata):
            return settings
        text = node.get_content(metadata_mode=MetadataMode.NONE)
        whole = node.get_content(metadata_mode=MetadataMode.EMBED)
        room = count_words(whole) - count_words(text)
        bound = bound_here(settings) if room else None
        tokens = bound.counter.of_texts([whole.replace(text, " ", 1)])[0] if bound else 0
        return settings.smaller_by(room, tokens) if room else settings

    def _postprocess_parsed_nodes(
        self, nodes: list[BaseNode], parent_doc_map: dict[str, Document]
    ) -> list[BaseNode]:
        # LlamaIndex searches each node's text in its document, from a place that is wrong where a
        # text repeats itself: what was known before stays.
        known = [
            (node, node.start_char_idx, node.end_char_idx)
            for node in nodes
            if isinstance(node, TextNode)
        ]
        nodes = super()._postprocess_parsed_nodes(nodes, parent_doc_map)
        for node, start, end in known:
            node.start_char_idx, node.end_char_idx = start, end
        return nodes
