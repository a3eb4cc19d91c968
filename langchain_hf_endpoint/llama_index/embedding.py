"""LlamaIndex's embedding model over an inference endpoint."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.rate_limiters import BaseRateLimiter
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.rate_limiter import BaseRateLimiter as LlamaIndexRateLimiter
from pydantic import Field, field_serializer

from langchain_hf_endpoint._validation import clears_frames, hidden, unknown_field
from langchain_hf_endpoint.embeddings import HFEndpointEmbeddings
from langchain_hf_endpoint.endpoint import short_form
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import AS_KEYWORD, fields_within

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_TEXTS = 2048  # LlamaIndex allows no more
_ONLY_WAITING = "LlamaIndex's rate limiters cannot be asked without waiting"


class HFEndpointEmbedding(BaseEmbedding):
    """Embed queries and nodes through a Hugging Face inference endpoint.

    What `HFEndpointEmbeddings` does, behind LlamaIndex's interface: texts over the endpoint's size
    of chunks are chunked and get the mean of their chunks' vectors, equal ones are embedded once,
    batches filled and sent concurrently within one limit of requests per minute. Async methods are
    native. Vectors are lists of Python floats.

    Example:
        ```python
        from llama_index.core import Settings

        from langchain_hf_endpoint.llama_index import HFEndpointEmbedding

        Settings.embed_model = HFEndpointEmbedding(url="https://…", api_key="hf_…")
        ```

    Attributes:
        embeddings: What does the work. A dump holds its settings without the key; `from_dict` and
            `from_json` take the key again, as ``api_key=…``.
        model_name: What events and logs call it. Default: the endpoint's ``inference_id``.
        embed_batch_size: Texts that LlamaIndex hands over at a time, 1 to 2048, the default. These
            are not the batches that are sent: they are as large as the server takes them.
    """

    embeddings: HFEndpointEmbeddings
    embed_batch_size: int = Field(default=_MOST_TEXTS, gt=0, le=_MOST_TEXTS)

    @clears_frames
    def __init__(
        self,
        *,
        embeddings: HFEndpointEmbeddings | Mapping[str, Any] | None = None,
        rate_limiter: BaseRateLimiter | LlamaIndexRateLimiter | None = None,
        **fields: Any,
    ) -> None:
        """Wrap embeddings, or make them.

        Args:
            embeddings: What does the work, or a dump of that (which holds no key).
            rate_limiter: LangChain's or LlamaIndex's, to be asked before each request instead of
                the one that all users of this URL and key share in the process.
            **fields: LlamaIndex's own fields (``model_name``, ``num_workers``, …), and what
                `HFEndpointEmbeddings` takes (``endpoint``, or ``url``, ``api_key``, …;
                ``http_client``, ``http_async_client``).

        Raises:
            SettingsError: Names every wrong field.
        """
        fields = hidden("", fields)
        own = {name: fields.pop(name) for name in type(self).model_fields if name in fields}
        theirs = inspect.signature(HFEndpointEmbeddings).parameters
        if unknown := [name for name in fields if name not in theirs]:
            allowed = tuple(dict.fromkeys([*theirs, *type(self).model_fields]))
            elsewhere = fields_within(AS_KEYWORD)
            raise SettingsError(
                *((name, unknown_field(name, allowed, elsewhere)) for name in unknown)
            )
        if isinstance(rate_limiter, LlamaIndexRateLimiter):
            rate_limiter = _LlamaIndexLimiter(rate_limiter)
        if rate_limiter is not None:
            fields["rate_limiter"] = rate_limiter
        if isinstance(embeddings, HFEndpointEmbeddings):
            if fields:
                both = "give either embeddings or the fields of them, not both"
                raise SettingsError(*((name, both) for name in fields))
        else:
            embeddings = HFEndpointEmbeddings(**{**hidden("", embeddings or {}), **fields})
        own.setdefault("model_name", embeddings.endpoint.inference_id)
        super().__init__(embeddings=embeddings, **own)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex's dumps and events know it."""
        return "HFEndpointEmbedding"

    @property
    def dimensions(self) -> int | None:
        """Numbers in a vector; None before `InferenceEndpoint.describe` or a first reply."""
        return self.embeddings.dimensions

    @field_serializer("embeddings")
    def _without_the_key(self, embeddings: HFEndpointEmbeddings) -> dict[str, Any]:
        settings = short_form(embeddings.endpoint)
        settings.pop("api_key", None)
        return {**settings, "show_progress_bar": embeddings.show_progress_bar}

    def __getstate__(self) -> dict[str, Any]:
        """Refuse to be half a pickle: LlamaIndex leaves out, with a warning, what does not go."""
        state = super().__getstate__()
        if "embeddings" not in state["__dict__"]:
            raise TypeError(
                "cannot pickle these embeddings: something of the user's in them, such as an HTTP "
                "client or a limiter with a lock, cannot be pickled; RequestsPerMinuteLimiter can"
            )
        return state

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.embeddings.embed_query(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await self.embeddings.aembed_query(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.embeddings.embed_documents([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self.embeddings.aembed_documents([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.embeddings.embed_documents(texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await self.embeddings.aembed_documents(texts)


class _LlamaIndexLimiter(BaseRateLimiter):
    """Takes a permit of a LlamaIndex limiter for each HTTP request, retries included."""

    def __init__(self, limiter: LlamaIndexRateLimiter) -> None:
        self._limiter = limiter

    def acquire(self, *, blocking: bool = True) -> bool:
        if not blocking:
            raise NotImplementedError(_ONLY_WAITING)
        self._limiter.acquire()
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        if not blocking:
            raise NotImplementedError(_ONLY_WAITING)
        await self._limiter.async_acquire()
        return True
