"""LangChain's text splitter with the chunking of an endpoint."""

from __future__ import annotations

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_text_splitters import TextSplitter

from langchain_hf_endpoint._lifecycle import in_thread
from langchain_hf_endpoint._validation import clears_frames
from langchain_hf_endpoint.chunking.chunks import as_settings, chunk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint.chunking.chunks import Chunk
    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.settings import ChunkingSettings


class HFEndpointTextSplitter(TextSplitter):
    """Cut texts and documents exactly as `HFEndpointEmbeddings` does before it embeds them.

    ::

        splitter = HFEndpointTextSplitter({"strategy": "word", "max_chunking_size": 100})
        documents = splitter.split_documents(loader.load())

    Args:
        chunking_settings: How to cut; a mapping is checked as `ChunkingSettings` is. Default: those
            of `endpoint`, else sentences, at most 250 words a chunk, one sentence of overlap.
        endpoint: Whose server is asked for tokens, where ``max_chunk_tokens`` wants them counted.
            Without it they are counted by ``tokenizer``, or estimated.
        add_start_index: Put the offset of each chunk in its source, in code points, into the
            chunk's metadata as ``start_index``. It is exact, for texts that repeat themselves too.

    Raises:
        SettingsError: A setting is wrong.

    Sizes are in words, or tokens where ``max_chunk_tokens`` is set. The base class's own arguments
    (``chunk_size``, ``length_function``, ``keep_separator`` …) do not apply: a chunk is always an
    exact piece of its source, without the blanks around it.
    """

    @clears_frames
    def __init__(
        self,
        chunking_settings: ChunkingSettings | Mapping[str, object] | None = None,
        *,
        endpoint: InferenceEndpoint | None = None,
        add_start_index: bool = False,
    ) -> None:
        super().__init__(add_start_index=add_start_index)
        if chunking_settings is None and endpoint is not None:
            chunking_settings = endpoint.chunking_settings
        self._settings = as_settings(chunking_settings)
        self._endpoint = endpoint if self._settings.asks_server else None

    def _cut(self, texts: list[str]) -> list[list[Chunk]]:
        """The chunks of each text."""
        if self._endpoint is None:
            return [chunk(text, self._settings) for text in texts]
        from langchain_hf_endpoint._engine.preparation import cut_for  # noqa: PLC0415 - loads late

        chosen = self._endpoint.model_copy(update={"chunking_settings": self._settings})
        return cut_for(chosen, texts)

    def split_text(self, text: str) -> list[str]:
        """Cut a text; an empty or blank one gives no chunk.

        Raises:
            SettingsError: The language has no trained table on this machine.
            HFEndpointError: The endpoint, if it is asked for tokens, cannot be reached.
        """
        (pieces,) = self._cut([text])
        return [piece.text for piece in pieces]

    def create_documents(
        self, texts: list[str], metadatas: list[dict[Any, Any]] | None = None
    ) -> list[Document]:
        """Cut texts and make a document of each chunk.

        Args:
            texts: The texts to cut.
            metadatas: For each text, what each of its chunks gets a deep copy of. Default: nothing.

        Returns:
            The chunks of the first text, then those of the second, and so on.

        Raises:
            SettingsError: The language has no trained table on this machine.
            HFEndpointError: The endpoint, if it is asked for tokens, cannot be reached.
            ValueError: There are not as many metadatas as texts.
        """
        # Not the base class's way, which searches each chunk in the text from a place that is
        # right only where lengths are in characters and no chunk occurs twice.
        return [
            Document(page_content=piece.text, metadata=self._metadata(piece, metadata))
            for pieces, metadata in zip(
                self._cut(texts), metadatas or [{}] * len(texts), strict=True
            )
            for piece in pieces
        ]

    async def atransform_documents(
        self, documents: Sequence[Document], **kwargs: Any
    ) -> Sequence[Document]:
        """The async twin of `transform_documents`, in a thread where there is one to be had."""
        return await in_thread(partial(self.transform_documents, documents, **kwargs))

    def _metadata(self, piece: Chunk, source: dict[Any, Any]) -> dict[Any, Any]:
        metadata = copy.deepcopy(source)
        if self._add_start_index:
            metadata["start_index"] = piece.start
        return metadata
