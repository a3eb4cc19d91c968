"""Ask a book five questions, with a real model and no account.

Starts the embedded default (all-MiniLM-L6-v2 on this machine), cuts *Alice's Adventures in
Wonderland* into chunks, embeds them, puts them into LangChain's in-memory vector store and prints
the passages that come nearest to each question.

    python examples/quickstart.py
"""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointTextSplitter
from langchain_hf_endpoint.local import LocalServer

BOOK = Path(__file__).parent / "data" / "alice_in_wonderland.txt"
QUESTIONS = [
    "What was written on the label of the little bottle?",
    "Whose grin remained after the rest of it had gone?",
    "Why did the gardeners paint the roses red?",
    "What did the players use as balls and mallets in the Queen's croquet game?",
    "Who was accused of stealing the tarts?",
]


def index_the_book(embeddings: HFEndpointEmbeddings) -> InMemoryVectorStore:
    """Chunk the book, embed the chunks and store them."""
    book = Document(BOOK.read_text(encoding="ascii"), metadata={"title": "Alice in Wonderland"})
    # With the settings of the endpoint, whose server counts the tokens.
    splitter = HFEndpointTextSplitter(endpoint=embeddings.endpoint, add_start_index=True)
    started = time.perf_counter()
    passages = splitter.split_documents([book])
    chunked = time.perf_counter()
    store = InMemoryVectorStore(embeddings)
    store.add_documents(passages)
    embedded = time.perf_counter()
    words = len(book.page_content.split())
    print(
        f"{words:,} words cut into {len(passages)} chunks in {chunked - started:.2f} s, "
        f"embedded into {embeddings.dimensions} dimensions in {embedded - chunked:.1f} s "
        f"({len(passages) / (embedded - chunked):.0f} chunks a second).\n"
    )
    return store


def ask(store: InMemoryVectorStore, question: str, most: int = 3) -> None:
    """Print the passages nearest to a question, best first."""
    started = time.perf_counter()
    found = store.similarity_search_with_score(question, k=most)
    milliseconds = 1000 * (time.perf_counter() - started)
    print(f"{question}  [{milliseconds:.0f} ms]")
    for rank, (passage, score) in enumerate(found, 1):
        text = " ".join(passage.page_content.split())
        shown = textwrap.shorten(text, 220, placeholder=" …")
        place = passage.metadata["start_index"]
        print(textwrap.indent(textwrap.fill(f"{rank}. {score:.3f} @{place:<6} {shown}", 96), "   "))
    print()


def main() -> None:
    with LocalServer() as server:
        print(server, "\n")
        # Short passages, none of them longer than the model reads.
        embeddings = HFEndpointEmbeddings(
            url=server.url,
            chunking_settings={"max_chunking_size": 150, "max_chunk_tokens": "auto"},
        )
        store = index_the_book(embeddings)
        for question in QUESTIONS:
            ask(store, question)


if __name__ == "__main__":
    main()
