"""LangChain's document compressor and cross encoder over an inference endpoint that reranks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypedDict

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic reads the annotation

from langchain_hf_endpoint._package import LazyModule
from langchain_hf_endpoint._secrets import without_perhaps_keys
from langchain_hf_endpoint._validation import as_int, clears_frames, hidden, wrong_type
from langchain_hf_endpoint.endpoint import InferenceEndpoint, made_endpoint
from langchain_hf_endpoint.errors import EmbeddingError, InputError, SettingsError

try:
    from langchain_core.cross_encoders import BaseCrossEncoder
except ModuleNotFoundError:  # before langchain-core 1.3 there was none
    from abc import ABC as BaseCrossEncoder  # type: ignore[assignment]  # noqa: N811

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx
    from langchain_core.callbacks import Callbacks

    from langchain_hf_endpoint._engine import call as calls
    from langchain_hf_endpoint._engine import planner, results
    from langchain_hf_endpoint._http import clients as http_clients
    from langchain_hf_endpoint._validation import Problem
    from langchain_hf_endpoint.errors import HFEndpointError
else:
    # Imported late, since httpx and numpy take most of the time, and few need them at once.
    calls = LazyModule("langchain_hf_endpoint._engine.call")
    planner = LazyModule("langchain_hf_endpoint._engine.planner")
    results = LazyModule("langchain_hf_endpoint._engine.results")
    http_clients = LazyModule("langchain_hf_endpoint._http.clients")

__all__ = ["HFEndpointReranker", "RankedDocument"]


class RankedDocument(TypedDict):
    """One document's place among others.

    Attributes:
        index: Which of the documents that were given.
        relevance_score: The higher, the more it has to do with the query.
    """

    index: int
    relevance_score: float


class HFEndpointReranker(BaseDocumentCompressor, BaseCrossEncoder):
    """Orders documents by what they have to do with a query.

    A document that is longer than a chunk is cut by the endpoint's chunking settings and scored by
    its best chunk. Limit, retries, batches and the isolation of bad texts are those of embeddings:
    an endpoint's URL and key have one limit for both.

    Example:
        ```python
        reranker = HFEndpointReranker(url="https://…", api_key="hf_…", top_n=5)
        ContextualCompressionRetriever(base_compressor=reranker, base_retriever=retriever)
        ```

    Attributes:
        endpoint: Of the task type ``rerank``.
        top_n: How many of the best to return. None: what the endpoint's task settings say, else
            all.
        rate_limiter: Instead of the endpoint's own.
        http_client: For the sync methods, instead of our own connections.
        http_async_client: For the async methods.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, frozen=True, extra="forbid")

    endpoint: InferenceEndpoint
    top_n: int | None = None
    rate_limiter: SkipJsonSchema[BaseRateLimiter | None] = Field(default=None, exclude=True)
    http_client: SkipJsonSchema[Any] = Field(default=None, exclude=True, repr=False)
    http_async_client: SkipJsonSchema[Any] = Field(default=None, exclude=True, repr=False)

    @clears_frames
    def __init__(  # noqa: PLR0913 - what a reranker is made of
        self,
        url: str | None = None,
        *,
        endpoint: InferenceEndpoint | None = None,
        top_n: int | None = None,
        rate_limiter: BaseRateLimiter | None = None,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        **settings: Any,
    ) -> None:
        """Wrap an endpoint, or make one of a URL.

        Args:
            url: Where it is, instead of `endpoint`.
            endpoint: Of the task type ``rerank``, or a dump of one.
            top_n: See the class.
            rate_limiter: See the class.
            http_client: See the class.
            http_async_client: See the class.
            **settings: What `InferenceEndpoint` takes beside the URL.

        Raises:
            SettingsError: Names every wrong field.
        """
        settings, endpoint = hidden("", settings), hidden("", endpoint)
        given = {**settings, **({} if url is None else {"url": url})}
        made, problems = made_endpoint("rerank", endpoint, given)
        top_n = as_int(top_n)
        problems += _wrong_top_n(top_n)
        if rate_limiter is not None:
            problems += wrong_type("rate_limiter", rate_limiter, BaseRateLimiter)
        if problems or made is None:
            raise SettingsError(*problems)
        if http_client is not None or http_async_client is not None:
            clients = http_clients.Clients(http_client, http_async_client)
            http_clients.check_clients(clients, made.service_settings)
        super().__init__(
            endpoint=made,
            top_n=top_n,
            rate_limiter=rate_limiter,
            http_client=http_client,
            http_async_client=http_async_client,
        )

    def rerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = None
    ) -> list[RankedDocument]:
        """Order documents, the best first.

        Args:
            documents: Texts, or documents, none blank.
            query: What they are compared with.
            top_n: How many of them to return. Default: the reranker's.

        Raises:
            InputError: A text is blank, no string or no UTF-8; nothing was sent.
            SettingsError: `top_n` is wrong.
            EmbeddingError: Some documents failed; the scores of the others are in `completed`.
        """
        most = self._most(top_n)
        scores = results.collect(self._call(query), _texts(documents), results.SCORES)
        return ranked(scores, most)

    async def arerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = None
    ) -> list[RankedDocument]:
        """The async twin of `rerank`."""
        most = self._most(top_n)
        scores = await results.acollect(self._call(query), _texts(documents), results.SCORES)
        return ranked(scores, most)

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - there is nothing to tell them
    ) -> Sequence[Document]:
        """The best documents, copies with their ``relevance_score`` in the metadata.

        Raises:
            InputError: See `rerank`.
            EmbeddingError: See `rerank`.
        """
        documents = _documents(documents)
        return _scored(documents, self.rerank(documents, query))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - there is nothing to tell them
    ) -> Sequence[Document]:
        """The async twin of `compress_documents`."""
        documents = _documents(documents)
        return _scored(documents, await self.arerank(documents, query))

    def score(self, text_pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score pairs of a query and a text: those of one query together.

        Raises:
            InputError: See `rerank`.
            EmbeddingError: Some pairs failed; the scores of the others are in `completed`.
        """
        indexes_of: dict[str, list[int]] = {}
        pairs = [_pair(one, index) for index, one in enumerate(_several("text_pairs", text_pairs))]
        for index, (query, _) in enumerate(pairs):
            check_query_text(query, index)
            indexes_of.setdefault(query, []).append(index)
        planner.check_texts([text for _, text in pairs])
        scores: dict[int, float] = {}
        failed: dict[int, HFEndpointError] = {}
        for query, indexes in indexes_of.items():
            texts = [pairs[index][1] for index in indexes]
            try:
                found = results.collect(self._call(query), texts, results.SCORES)
            except EmbeddingError as error:
                scores |= {indexes[one]: score for one, score in error.completed.items()}
                failed |= {indexes[one]: cause for one, cause in error.failures.items()}
            else:
                scores |= dict(zip(indexes, found, strict=True))
        if failed:
            by_index = dict(sorted(scores.items())), dict(sorted(failed.items()))
            raise EmbeddingError.of(*by_index, of_scores=True)
        return [scores[index] for index in range(len(pairs))]

    def _most(self, top_n: int | None) -> int | None:
        top_n = as_int(top_n)
        if problems := _wrong_top_n(top_n):
            raise SettingsError(*problems)
        return top_n or self.top_n or self.endpoint.task_settings.top_n

    def _call(self, query: str) -> Callable[..., calls.EmbeddingCall[list[float]]]:
        check_query_text(query)
        return lambda vector_format: calls.EmbeddingCall.for_scores(
            self.endpoint,
            vector_format,
            query,
            limiter=self.rate_limiter,
            clients=http_clients.Clients(self.http_client, self.http_async_client),
        )


def check_query_text(query: object, index: int | None = None) -> None:
    """Refuse a query that no document can be compared with; `index` is that of its pair.

    Raises:
        InputError: It is no string, blank, or no UTF-8.
    """
    if not isinstance(query, str) or not query.strip():
        raise InputError("the query must be a text that is not blank", index=index)
    if any("\ud800" <= letter <= "\udfff" for letter in query):
        problem = "the query holds a lone surrogate, which no UTF-8 can carry"
        raise InputError(problem, index=index)


def ranked(scores: Sequence[float], most: int | None) -> list[RankedDocument]:
    """The places of documents by their scores, the best first; the earlier one of equals."""
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [{"index": index, "relevance_score": scores[index]} for index in order[:most]]


def _wrong_top_n(top_n: object) -> list[Problem]:
    if top_n is None or (type(top_n) is int and top_n >= 1):
        return []
    return [
        (
            "top_n",
            f"{without_perhaps_keys(repr(top_n))} is not allowed: must be an integer of 1 or more",
        )
    ]


def _texts(documents: Sequence[str | Document]) -> list[str]:
    found = _several("documents", documents)
    return [one.page_content if isinstance(one, Document) else one for one in found]


def _documents(documents: Sequence[Document]) -> list[Document]:
    found = _several("documents", documents)
    for index, one in enumerate(found):
        if not isinstance(one, Document):
            problem = f"must be a Document, not {type(one).__name__}"
            raise InputError(problem, index=index, advice="To order strings there is rerank.")
    return found


def _several(name: str, given: object) -> list[Any]:
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes, Document)):
        return list(given)
    kind = type(given).__name__
    raise InputError(f"{name} must be several, such as a list, not one {kind}")


def _pair(given: Any, index: int) -> tuple[Any, Any]:
    if not isinstance(given, (str, bytes)):
        with suppress(TypeError, ValueError):
            query, text = given
            return query, text
    raise InputError("must be a pair of two texts, the query first", index=index)


def _scored(documents: Sequence[Document], found: Sequence[RankedDocument]) -> list[Document]:
    """The documents that were found, each with its score."""
    scored = []
    for one in found:
        document = documents[one["index"]]
        metadata = {**document.metadata, "relevance_score": one["relevance_score"]}
        scored.append(document.model_copy(update={"metadata": metadata}))
    return scored
