"""A retrieval chain in LangChain's expression language that needs no paid model.

The last step reads the retrieved passages and quotes the sentence that comes nearest to the
question. Put a chat model in its place, and the rest stays as it is.

    python examples/rag_chain.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from langchain_core.runnables import Runnable, RunnableLambda
from quickstart import QUESTIONS, index_the_book

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointTextSplitter
from langchain_hf_endpoint.local import LocalServer

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.vectorstores import VectorStore


class Found(TypedDict):
    """What the reader is given."""

    question: str
    passages: list[Document]


def quoting_reader(embeddings: HFEndpointEmbeddings) -> Runnable[Found, str]:
    """A reader that answers with the nearest sentences of the passages."""
    sentences_of = HFEndpointTextSplitter({"max_chunking_size": 40, "sentence_overlap": 0})

    def read(found: Found) -> str:
        texts = [" ".join(passage.page_content.split()) for passage in found["passages"]]
        sentences = [sentence for text in texts for sentence in sentences_of.split_text(text)]
        vectors = embeddings.embed_array(sentences)
        nearness = vectors @ embeddings.embed_query(found["question"])
        return sentences[int(nearness.argmax())]

    return RunnableLambda(read)


def rag_chain(store: VectorStore, embeddings: HFEndpointEmbeddings) -> Runnable[str, str]:
    """Question in, quotation out."""
    retriever = store.as_retriever(search_kwargs={"k": 3})

    def look_up(question: str) -> Found:
        return {"question": question, "passages": retriever.invoke(question)}

    return RunnableLambda(look_up) | quoting_reader(embeddings)


def main() -> None:
    with LocalServer() as server:
        embeddings = HFEndpointEmbeddings(url=server.url)
        chain = rag_chain(index_the_book(embeddings), embeddings)
        for question, answer in zip(QUESTIONS, chain.batch(QUESTIONS), strict=True):
            print(f"{question}\n   {answer}\n")


if __name__ == "__main__":
    main()
