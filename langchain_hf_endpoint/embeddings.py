"""LangChain's embeddings over a Hugging Face inference endpoint."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Never, Self, TypeVar

from langchain_core.embeddings import Embeddings
from langchain_core.load.serializable import Serializable
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 - pydantic reads the annotation

from langchain_hf_endpoint._package import LazyModule
from langchain_hf_endpoint._secrets import TOKEN_VARIABLE
from langchain_hf_endpoint._urls import is_hugging_face
from langchain_hf_endpoint._validation import (
    clears_frames,
    given,
    hidden,
    unknown_field,
    wrong_type,
)
from langchain_hf_endpoint.endpoint import InferenceEndpoint, made_endpoint, short_form
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import AS_KEYWORD, ServiceSettings, fields_within

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping

    import httpx
    import numpy as np
    from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
    from numpy.typing import NDArray
    from pydantic import SecretStr

    from langchain_hf_endpoint import cache as caches
    from langchain_hf_endpoint._engine import call as calls
    from langchain_hf_endpoint._engine import results
    from langchain_hf_endpoint._engine.call import Choices, EmbeddingCall
    from langchain_hf_endpoint._engine.vectors import VectorFormat
    from langchain_hf_endpoint._http import clients as http_clients
    from langchain_hf_endpoint.chunking.chunks import EmbeddedChunk
    from langchain_hf_endpoint.settings import (
        ChunkingSettings,
        DialectName,
        RateLimit,
        TaskSettings,
        TlsSettings,
        TransportName,
    )
else:
    caches = LazyModule("langchain_hf_endpoint.cache")
    calls = LazyModule("langchain_hf_endpoint._engine.call")
    http_clients = LazyModule("langchain_hf_endpoint._http.clients")
    results = LazyModule("langchain_hf_endpoint._engine.results")

RowT = TypeVar("RowT")


_OTHER_HOSTS_KEY = "HF_ENDPOINT_API_KEY"
"""The secret's name where the host is not Hugging Face's: `loads(…, secrets_from_env=True)` looks
it up in the environment, and must not send ``HF_TOKEN`` to whoever is at that URL."""


def _secret_name(endpoint: InferenceEndpoint) -> str:
    """Under which name the key is to be given to `loads`."""
    ours = is_hugging_face(endpoint.service_settings.url)
    return TOKEN_VARIABLE if ours else _OTHER_HOSTS_KEY


class HFEndpointEmbeddings(Serializable, Embeddings):
    """Embed texts through a Hugging Face inference endpoint.

    Long texts are chunked, equal ones embedded once, batches filled and sent concurrently within
    one limit of requests per minute, failures retried, results put back in order. Sync methods may
    be called from many threads and inside a running event loop, async ones from several loops.

    Example:
        ```python
        from langchain_hf_endpoint import HFEndpointEmbeddings

        embeddings = HFEndpointEmbeddings(url="https://…", api_key="hf_…")
        vectors = embeddings.embed_documents(["A text.", "Another."])
        vector = embeddings.embed_query("Which text?")
        ```

    Attributes:
        endpoint: Where and how to embed.
        rate_limiter: Any LangChain rate limiter, to be asked before each request instead of the
            one that all users of this URL and key share in the process.
        show_progress_bar: Show chunks done of all, rate, time left and what the call waits for.
        http_client: An `httpx.Client` for the sync methods instead of our own connections, with
            its proxies, certificates, headers and hooks. It is never closed, and neither pickled
            nor dumped. Limiter and window are shared all the same. No redirect is followed.
        http_async_client: An `httpx.AsyncClient` for the async methods. Like every one it belongs
            to the event loop that uses it.
        cache: Where vectors of chunks are looked up and kept: given as the path of a file, any
            LangChain `BaseStore` of bytes, or a `ChunkCache`. It is not dumped.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    endpoint: InferenceEndpoint
    rate_limiter: SkipJsonSchema[BaseRateLimiter | None] = Field(default=None, exclude=True)
    show_progress_bar: bool = False
    # Any: their classes are httpx's, which is not loaded before it is used.
    http_client: Any = Field(default=None, exclude=True, repr=False)
    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    cache: Any = Field(default=None, exclude=True, repr=False)

    @clears_frames
    def __init__(  # noqa: PLR0913 - ours, and those of an endpoint
        self,
        *,
        endpoint: InferenceEndpoint | Mapping[str, Any] | None = None,
        rate_limiter: BaseRateLimiter | None = None,
        show_progress_bar: bool = False,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        cache: caches.AnyCache | None = None,
        url: str | None = None,
        api_key: SecretStr | str | None = None,
        api_key_env: str | None = None,
        rate_limit: RateLimit | Mapping[str, int] | None = None,
        dialect: DialectName | None = None,
        model: str | None = None,
        max_batch_size: int | None = None,
        max_concurrent_requests: int | None = None,
        timeout: float | None = None,
        max_wait: float | None = None,
        allow_insecure_http: bool | None = None,
        tls: TlsSettings | Mapping[str, str] | None = None,
        transport: TransportName | None = None,
        inference_id: str | None = None,
        task_type: str | None = None,
        service: str | None = None,
        service_settings: ServiceSettings | Mapping[str, Any] | None = None,
        chunking_settings: ChunkingSettings | Mapping[str, Any] | None = None,
        task_settings: TaskSettings | Mapping[str, Any] | None = None,
        **unknown: Never,
    ) -> None:
        """Wrap an endpoint, or make one of the arguments that `InferenceEndpoint` takes.

        Args:
            endpoint: Where and how to embed, or a dump of that (which holds no key).
            rate_limiter: Instead of the endpoint's own.
            show_progress_bar: Show how far a call is.
            http_client: For the sync methods, instead of our own connections.
            http_async_client: For the async methods.
            cache: Where vectors are kept. Default: nowhere.
            url: Where it is, instead of `endpoint`; so for all that follow.
            api_key: The key. Default: see `ServiceSettings.find_key`.
            api_key_env: The environment variable that holds the key.
            rate_limit: ``{"requests_per_minute": …}``. Default 3000.
            dialect: The server's protocol. Default ``auto``.
            model: The model's name. Default: what the server says.
            max_batch_size: Inputs per request. Default: what the server says, else 32.
            max_concurrent_requests: Requests in flight. Default: adapts to the server.
            timeout: Seconds for one attempt. Default 60.
            max_wait: Seconds that one batch may spend on retries. Default 600.
            allow_insecure_http: Send a key over plain http to another machine. Default False.
            tls: Certificates other than the usual ones.
            transport: What sends. Default ``httpx``.
            inference_id: Default: derived from the URL's host.
            task_type: Only ``text_embedding``.
            service: Only ``hugging_face``.
            service_settings: Instead of `url` and those up to `transport`.
            chunking_settings: Default: sentences, at most 250 words, one sentence of overlap.
            task_settings: Default: no prompts, truncated, normalized.
            **unknown: There are no others; each is named in the error.

        Raises:
            SettingsError: Names every wrong field.
        """
        fields = (*ServiceSettings.model_fields, *InferenceEndpoint.model_fields)
        short = given(locals(), fields)
        unknown, endpoint = hidden("", unknown), hidden("", endpoint)
        made, problems = made_endpoint("text_embedding", endpoint, short)
        for name in unknown:
            allowed = tuple(inspect.signature(type(self)).parameters)
            problems.append((name, unknown_field(name, allowed, fields_within(AS_KEYWORD))))
        if rate_limiter is not None:
            problems += wrong_type("rate_limiter", rate_limiter, BaseRateLimiter)
        problems += wrong_type("show_progress_bar", show_progress_bar, bool)
        if problems or made is None:
            raise SettingsError(*problems)
        if http_client is not None or http_async_client is not None:
            clients = http_clients.Clients(http_client, http_async_client)
            http_clients.check_clients(clients, made.service_settings)
        super().__init__(
            endpoint=made,
            rate_limiter=rate_limiter,
            show_progress_bar=show_progress_bar,
            http_client=http_client,
            http_async_client=http_async_client,
            cache=None if cache is None else caches.cache_of(cache),
        )

    @property
    def dimensions(self) -> int | None:
        """Numbers in a vector; None before `InferenceEndpoint.describe` or a first reply."""
        return results.known_dimensions(self.endpoint)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts, one vector each, in their order.

        A text of several chunks gets the mean of their vectors, weighted by words and brought back
        to length 1 where `normalize` is set.

        Args:
            texts: None may be empty or blank.

        Returns:
            One list of `dimensions` floats per text. ``[]`` for no texts, without a request.

        Raises:
            InputError: A text is blank, no string or no UTF-8; nothing was sent.
            EmbeddingError: Some texts failed; the vectors of the others are in `completed`.
        """
        return results.collect(self._documents, texts, results.VECTORS)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """The async twin of `embed_documents`."""
        return await results.acollect(self._documents, texts, results.VECTORS)

    def embed_query(self, text: str) -> list[float]:
        """Embed a query. It is never chunked: the server truncates what its model cannot take.

        Args:
            text: Must not be empty or blank.

        Returns:
            `dimensions` floats.

        Raises:
            InputError: The text is blank, no string or no UTF-8, or the server rejects it.
            HFEndpointError: The request failed, by the class of the cause.
        """
        return results.query(self._query, text)

    async def aembed_query(self, text: str) -> list[float]:
        """The async twin of `embed_query`."""
        return await results.aquery(self._query, text)

    def embed_array(self, texts: list[str]) -> NDArray[np.float32]:
        """Embed texts as `embed_documents` does, into one array: a tenth of the memory.

        Returns:
            Float32, shape ``(len(texts), dimensions)``.
        """
        return results.collect(self._documents, texts, results.MATRIX)

    async def aembed_array(self, texts: list[str]) -> NDArray[np.float32]:
        """The async twin of `embed_array`."""
        return await results.acollect(self._documents, texts, results.MATRIX)

    def embed_chunks(self, texts: list[str]) -> list[list[EmbeddedChunk]]:
        """Embed texts and keep the vectors of their chunks apart.

        Returns:
            For each text its chunks, in order, each with its offsets and its vector.

        Raises:
            InputError: A text is blank, no string or no UTF-8; nothing was sent.
            EmbeddingError: Some texts failed; the chunks of the others are in `completed`.
        """
        return results.collect(self._documents, texts, results.CHUNKS)

    async def aembed_chunks(self, texts: list[str]) -> list[list[EmbeddedChunk]]:
        """The async twin of `embed_chunks`."""
        return await results.acollect(self._documents, texts, results.CHUNKS)

    def stream_chunks(self, texts: Iterable[str]) -> Generator[EmbeddedChunk, None, None]:
        """Embed any number of texts within bounded memory.

        Texts are taken as they are needed. A text that cannot be embedded is left out, and named
        by the error at the end; only what the other texts would meet too ends the stream early.

        Args:
            texts: Any iterable, a generator without an end included.

        Yields:
            The chunks of the first text, then those of the second, and so on.

        Raises:
            EmbeddingError: When all else is out: the texts that failed, in `failures`. Where the
                iterable raises, that is raised instead, with this error as its context.
        """
        return results.stream(self._documents, texts)

    def astream_chunks(
        self, texts: Iterable[str] | AsyncIterable[str]
    ) -> AsyncGenerator[EmbeddedChunk, None]:
        """The async twin of `stream_chunks`; takes async iterables too."""
        return results.astream(self._documents, texts)

    # LangChain's dump

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """LangChain's `dumps` and `loads` take it; a `rate_limiter` and clients are left out."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The name that stands for the key in a dump, to be given to `loads` with its value.

        ``HF_TOKEN`` for Hugging Face's own hosts over https, else ``HF_ENDPOINT_API_KEY``.
        """
        return {"api_key": _secret_name(self.endpoint)}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The endpoint as the constructor takes it in short."""
        return short_form(self.endpoint)

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """What `dumps` writes: the constructor's arguments, with the key's name in its place."""
        dump = super().to_json()
        if dump["type"] == "constructor":
            del dump["kwargs"]["endpoint"]
        return dump

    # Copies

    def __getstate__(self) -> dict[Any, Any]:
        """For a pickle, to which the connections of a client do not go.

        Raises:
            TypeError: There is a client of the user's.
        """
        for field in ("http_client", "http_async_client"):
            if getattr(self, field) is not None:
                raise TypeError(
                    f"cannot pickle embeddings that have an {field}: make the client, and the "
                    "embeddings over it, in the process that uses them"
                )
        return super().__getstate__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """The copy uses the same clients and cache."""
        memo = {} if memo is None else memo
        shared = (self.http_client, self.http_async_client, self.cache)
        memo.update({id(one): one for one in shared})
        return super().__deepcopy__(memo)

    # The calls of its methods

    def _documents(self, vector_format: VectorFormat[RowT]) -> EmbeddingCall[RowT]:
        choices = self._choices
        choices["show_progress_bar"] = self.show_progress_bar
        return calls.EmbeddingCall.for_documents(self.endpoint, vector_format, **choices)

    def _query(self, vector_format: VectorFormat[RowT]) -> EmbeddingCall[RowT]:
        return calls.EmbeddingCall.for_query(self.endpoint, vector_format, **self._choices)

    @property
    def _choices(self) -> Choices:
        clients = http_clients.Clients(self.http_client, self.http_async_client)
        return {"limiter": self.rate_limiter, "clients": clients, "cache": self.cache}
