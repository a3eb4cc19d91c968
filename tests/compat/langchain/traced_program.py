"""A program that is traced by LangSmith's own client; what that sends is looked at by a test."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.langchain import wait_for_all_tracers
from langchain_core.vectorstores import InMemoryVectorStore
from langsmith import traceable

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointError

KEY = os.environ["THE_KEY"]


@traceable
def takes_embeddings(embeddings: HFEndpointEmbeddings, question: str) -> dict[str, object]:
    """What a program's own function is given and returns is sent too."""
    return {"made by": embeddings, "endpoint": embeddings.endpoint, "question": question}


@traceable
def fails(embeddings: HFEndpointEmbeddings) -> None:
    embeddings.embed_documents(["A text that fails."])


def main(url: str) -> None:
    embeddings = HFEndpointEmbeddings(url=url, api_key=KEY)
    wrong = HFEndpointEmbeddings(url=url, api_key=f"{KEY}-of-yesterday")
    store = InMemoryVectorStore.from_documents([Document("The text.")], embeddings)
    retriever = store.as_retriever(search_kwargs={"k": 1})
    chain = RunnableLambda(lambda asked: asked["question"]) | retriever
    chain.invoke({"question": "Which text, in sync?", "embeddings": embeddings})
    asyncio.run(chain.ainvoke({"question": "Which text, in async?", "embeddings": embeddings}))
    takes_embeddings(embeddings, "Which function?")
    for failing in (
        lambda: fails(wrong),
        lambda: InMemoryVectorStore(wrong).as_retriever().invoke("Which retriever fails?"),
    ):
        with suppress(HFEndpointError):
            failing()
    wait_for_all_tracers()


main(sys.argv[1])
