"""Sync and async are one behaviour: a test is written once and runs with both of these.

`drive.documents(embeddings, texts)` calls `embed_documents`, or `aembed_documents` in a loop of its
own; the rest likewise.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, closing
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint import (
        EmbeddedChunk,
        EndpointDescription,
        HFEndpointEmbeddings,
        InferenceEndpoint,
    )


T = TypeVar("T")


def finished(work: Coroutine[object, object, T]) -> T:
    """What comes out of it in a loop of its own; `asyncio.run` of Python 3.11 prints that twice."""
    found = []

    async def keep() -> None:
        found.append(await work)

    asyncio.run(keep())
    return found[0]


class Drive(Protocol):
    """The public methods, whichever way they are called."""

    def documents(self, embeddings: HFEndpointEmbeddings, texts: list[str]) -> list[list[float]]:
        """`embed_documents`."""

    def query(self, embeddings: HFEndpointEmbeddings, text: str) -> list[float]:
        """`embed_query`."""

    def array(self, embeddings: HFEndpointEmbeddings, texts: list[str]) -> NDArray[np.float32]:
        """`embed_array`."""

    def chunks(
        self, embeddings: HFEndpointEmbeddings, texts: list[str]
    ) -> list[list[EmbeddedChunk]]:
        """`embed_chunks`."""

    def stream(
        self,
        embeddings: HFEndpointEmbeddings,
        texts: Iterable[str],
        *,
        most: int | None = None,
        each: Callable[[EmbeddedChunk], object] = id,
    ) -> list[EmbeddedChunk]:
        """`stream_chunks`, closed after `most` chunks; `each` is called with every chunk."""

    def describe(self, endpoint: InferenceEndpoint) -> EndpointDescription:
        """`describe`."""


class SyncDrive:
    """The methods as they are."""

    def documents(self, embeddings, texts):
        return embeddings.embed_documents(texts)

    def query(self, embeddings, text):
        return embeddings.embed_query(text)

    def array(self, embeddings, texts):
        return embeddings.embed_array(texts)

    def chunks(self, embeddings, texts):
        return embeddings.embed_chunks(texts)

    def stream(self, embeddings, texts, *, most=None, each=id):
        taken = []
        with closing(embeddings.stream_chunks(texts)) as stream:
            for chunk in islice(stream, most):
                each(chunk)
                taken.append(chunk)
        return taken

    def describe(self, endpoint):
        return endpoint.describe()


class AsyncDrive:
    """Their async twins, each call in an event loop of its own."""

    def documents(self, embeddings, texts):
        return finished(embeddings.aembed_documents(texts))

    def query(self, embeddings, text):
        return finished(embeddings.aembed_query(text))

    def array(self, embeddings, texts):
        return finished(embeddings.aembed_array(texts))

    def chunks(self, embeddings, texts):
        return finished(embeddings.aembed_chunks(texts))

    def stream(self, embeddings, texts, *, most=None, each=id):
        async def take():
            taken = []
            async with aclosing(embeddings.astream_chunks(texts)) as stream:
                async for chunk in stream:
                    each(chunk)
                    taken.append(chunk)
                    if len(taken) == most:
                        break
            return taken

        return finished(take())

    def describe(self, endpoint):
        return finished(endpoint.adescribe())


DRIVES = {"sync": SyncDrive(), "async": AsyncDrive()}
