"""Those that cut the corpora, each as a function from a text to pieces and where they begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.quality_metrics import Span
    from benchmarks.quality_vectors import Vectors

    Cut = Callable[[str], Iterable[tuple[int, str]]]

Settings: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """One way to cut a text.

    Attributes:
        name: As the tables call it.
        make: Gives the function, and imports what it needs.
        settings: Those of ours; None for others.
    """

    name: str
    make: Callable[[Vectors], Cut]
    settings: Settings | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is this package."""
        return self.settings is not None


def spans(cut: Cut, text: str) -> list[Span]:
    """The spans of the pieces that hold more than blanks.

    Raises:
        ValueError: A piece is not what stands there.
    """
    found = []
    for start, piece in cut(text):
        if start < 0 or not text.startswith(piece, start):
            raise ValueError(f"not in the text at {start}: {piece[:60]!r}")
        if piece.strip():
            found.append((start, start + len(piece)))
    return found


def _sentences(words: int, overlap: int, tokens: int | str | None = None) -> Contender:
    settings: Settings = {"max_chunking_size": words, "sentence_overlap": overlap}
    name = f"sentence {words}/{overlap}"
    if tokens is not None:
        settings["max_chunk_tokens"] = tokens
        name += f", {tokens}" if tokens == "auto" else f", {tokens} tokens"
    return _ours(settings, name)


def _words(words: int, overlap: int) -> Contender:
    settings: Settings = {"strategy": "word", "max_chunking_size": words, "overlap": overlap}
    return _ours(settings, f"word {words}/{overlap}")


def _separators(words: int) -> Contender:
    settings: Settings = {
        "strategy": "recursive",
        "max_chunking_size": words,
        "max_chunk_tokens": "auto",
    }
    return _ours(settings, f"recursive {words}, auto")


def _ours(settings: Settings, name: str) -> Contender:
    def make(vectors: Vectors) -> Cut:
        from langchain_hf_endpoint import HFEndpointTextSplitter

        endpoint = vectors.endpoint(settings)
        return _of_langchain(HFEndpointTextSplitter(endpoint=endpoint, add_start_index=True))

    return Contender(name, make, settings)


def _of_langchain(splitter: Any) -> Cut:
    return lambda text: [
        (piece.metadata["start_index"], piece.page_content)
        for piece in splitter.create_documents([text])
    ]


def _recursive(characters: int, overlap: int = 0) -> Contender:
    def make(_: Vectors) -> Cut:
        from langchain_text_splitters import RecursiveCharacterTextSplitter

        return _of_langchain(
            RecursiveCharacterTextSplitter(
                chunk_size=characters, chunk_overlap=overlap, add_start_index=True
            )
        )

    shared = f", {overlap} shared" if overlap else ""
    return Contender(f"langchain Recursive, {characters} characters{shared}", make)


def _chonkie(kind: str, characters: int) -> Contender:
    def make(_: Vectors) -> Cut:
        import chonkie

        return _of_chonkie(getattr(chonkie, kind)(chunk_size=characters))

    return Contender(f"chonkie {kind}, {characters} characters", make)


def _semantic(tokens: int) -> Contender:
    def make(vectors: Vectors) -> Cut:
        from chonkie import SemanticChunker
        from chonkie.embeddings import BaseEmbeddings

        class Local(BaseEmbeddings):
            """The vectors of the other contenders."""

            dimension = vectors.model.dimensions

            def embed(self, text: str) -> Any:
                return self.embed_batch([text])[0]

            def embed_batch(self, texts: list[str]) -> list[Any]:
                # What has nothing but blanks cannot be embedded; it resembles nothing.
                return list(vectors.of([text if text.strip() else "." for text in texts]))

            def get_tokenizer(self) -> Any:
                return vectors.tokenizer

        return _of_chonkie(SemanticChunker(Local(), chunk_size=tokens))

    return Contender(f"chonkie SemanticChunker, {tokens} tokens", make)


def _of_chonkie(chunker: Any) -> Cut:
    return lambda text: [(piece.start_index, piece.text) for piece in chunker.chunk(text)]


def _llama_index(tokens: int, overlap: int) -> Contender:
    def make(vectors: Vectors) -> Cut:
        from llama_index.core import Document
        from llama_index.core.node_parser import SentenceSplitter

        def count(text: str) -> list[int]:
            return vectors.tokenizer.encode(text, add_special_tokens=False).ids

        splitter = SentenceSplitter(chunk_size=tokens, chunk_overlap=overlap, tokenizer=count)
        return lambda text: [
            (node.start_char_idx, node.text)
            for node in splitter.get_nodes_from_documents([Document(text=text)])
        ]

    return Contender(f"llama-index SentenceSplitter, {tokens} tokens, {overlap} shared", make)


def _haystack(words: int) -> Contender:
    def make(_: Vectors) -> Cut:
        from haystack import Document
        from haystack.components.preprocessors import DocumentSplitter

        # Not with whole sentences: it changes blanks then, so that no offsets can be told.
        splitter = DocumentSplitter(split_length=words)
        return lambda text: [
            (piece.meta["split_idx_start"], piece.content)
            for piece in splitter.run([Document(content=text)])["documents"]
        ]

    return Contender(f"haystack DocumentSplitter, {words} words", make)


CONTENDERS = (
    _sentences(250, 1),
    _sentences(140, 1),
    *(_sentences(words, 0) for words in (100, 80, 70, 60, 50, 40)),
    _words(250, 100),
    _separators(80),
    _separators(60),
    _sentences(300, 1, "auto"),
    _sentences(140, 1, "auto"),
    _sentences(60, 0, "auto"),
    _sentences(300, 0, 128),
    _sentences(300, 0, 80),
    _recursive(4000, 200),
    *map(_recursive, (800, 400, 200)),
    *(_chonkie("RecursiveChunker", characters) for characters in (2048, 800, 400)),
    *(_chonkie("SentenceChunker", characters) for characters in (2048, 800, 400)),
    *map(_semantic, (2048, 100)),
    _llama_index(1024, 200),
    _llama_index(100, 0),
    *map(_haystack, (200, 60)),
)
"""Others as they come and at sizes like those of ours."""
