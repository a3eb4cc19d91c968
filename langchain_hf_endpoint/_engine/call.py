"""Everything about one call that is settled before it begins."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypedDict, TypeVar, Unpack

from langchain_hf_endpoint._engine.failures import error_of
from langchain_hf_endpoint._engine.prompts import (
    e5_prompt,
    needs_e5_prompts,
    options_of,
    should_fetch_info,
)
from langchain_hf_endpoint._engine.retry_policy import Pausing, RetryPolicy
from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint._messages import Cause
from langchain_hf_endpoint._protocols.base import as_json
from langchain_hf_endpoint._session.server_state import Restriction
from langchain_hf_endpoint._session.session import session_for
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.limiter.reservation import ReservingLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from langchain_core.rate_limiters import BaseRateLimiter

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.vectors import VectorFormat
    from langchain_hf_endpoint._http.clients import Clients
    from langchain_hf_endpoint._http.httpx_transport import AnyAsyncTransport, SyncTransport
    from langchain_hf_endpoint._messages import Failure, InputOptions
    from langchain_hf_endpoint._secrets import Redactor
    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
    from langchain_hf_endpoint._session.fingerprint import ModelFingerprint
    from langchain_hf_endpoint._session.server_state import ServerState
    from langchain_hf_endpoint._session.session import EndpointSession
    from langchain_hf_endpoint.cache import ChunkCache
    from langchain_hf_endpoint.errors import HFEndpointError
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.limiter.reservation import FactSharing
    from langchain_hf_endpoint.settings import ChunkingSettings, ServiceSettings, TaskSettings

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")


class Endpoint(Protocol):
    """The part of `InferenceEndpoint`, which lies above the engine, that a call needs."""

    @property
    def inference_id(self) -> str: ...

    @property
    def task_type(self) -> str: ...

    @property
    def service_settings(self) -> ServiceSettings: ...

    @property
    def chunking_settings(self) -> ChunkingSettings: ...

    @property
    def task_settings(self) -> TaskSettings: ...

    @property
    def expected_fingerprint(self) -> ModelFingerprint | None: ...


class Choices(TypedDict, total=False):
    """What may be chosen for any call."""

    limiter: BaseRateLimiter | None  # default: the session's
    clients: Clients  # the user's own. Default: our connections
    # With whom it shares. Default: with all users of the URL and key in the process.
    session: EndpointSession | None
    task: TaskSettings | None  # instead of the endpoint's own task settings
    cache: ChunkCache | None  # where vectors are kept. Default: nowhere
    show_progress_bar: bool  # see `EmbeddingCall`; so the next
    insists_on_info: bool  # default: where chunks are bounded as the server counts


@dataclass(frozen=True, slots=True)
class EmbeddingCall(Generic[RowT]):
    """What all requests of one call have in common."""

    service: ServiceSettings  # where it goes, and how
    task: TaskSettings  # what happens to each input
    lane: Lane  # queries go before documents
    # The form in which vectors are kept, from the response to the result.
    vector_format: VectorFormat[RowT]
    session: EndpointSession  # what is shared with other calls to the endpoint
    server: ServerState  # what the session knows about the server
    window: ConcurrencyWindow  # the session's bound of requests in flight
    limiter: BaseRateLimiter  # gives each request its permit
    policy: RetryPolicy  # when a request is tried again
    chunking: ChunkingSettings | None = None  # how texts are cut; None leaves them whole
    clients: Clients = OURS  # the user's own HTTP clients
    cache: ChunkCache | None = None  # where vectors are kept, and looked up before anything is sent
    show_progress_bar: bool = False  # whether a call for a list of documents shows how far it is
    # Whether the server is asked what it is even where it is unlikely to say.
    insists_on_info: bool = False
    # The model must be this one; None: whichever it is.
    expected_fingerprint: ModelFingerprint | None = None
    # Whether it is others whose inputs are counted: nothing is added to them.
    counts_for_others: bool = False
    tokenizer: str | None = None  # the file that counts tokens where the server does not
    # What the inputs are scored against, as JSON; None: vectors are wanted.
    query: bytes | None = None
    # Where others tell what they have found out about the server.
    sharing: FactSharing | None = None
    followers: tuple[Progress, ...] = ()  # are told how it goes
    clock: Callable[[], float] = time.monotonic  # in seconds
    pausing: Pausing = field(default_factory=Pausing)  # which of its batches pause at present

    @classmethod
    def for_documents(
        cls, endpoint: Endpoint, vector_format: VectorFormat[RowT], **choices: Unpack[Choices]
    ) -> EmbeddingCall[RowT]:
        """A call that embeds documents: they are chunked, and travel behind queries.

        Raises:
            SettingsError: The variable that should hold the key does not.
        """
        chunking = endpoint.chunking_settings
        return cls._of(endpoint, "document", vector_format, chunking=chunking, **choices)

    @classmethod
    def for_query(
        cls, endpoint: Endpoint, vector_format: VectorFormat[RowT], **choices: Unpack[Choices]
    ) -> EmbeddingCall[RowT]:
        """A call that embeds queries: they are left whole, and travel before documents.

        Raises:
            SettingsError: The variable that should hold the key does not.
        """
        return cls._of(endpoint, "query", vector_format, **choices)

    @classmethod
    def for_scores(
        cls,
        endpoint: Endpoint,
        vector_format: VectorFormat[RowT],
        query: str,
        **choices: Unpack[Choices],
    ) -> EmbeddingCall[RowT]:
        """A call that scores documents against a query: somebody waits for it, as for a query's.

        Raises:
            SettingsError: The variable that should hold the key does not.
        """
        task = choices.pop("task", None) or endpoint.task_settings
        # A score is no vector: its length means nothing.
        choices["task"] = task.model_copy(update={"normalize": False})
        return cls._of(
            endpoint,
            "query",
            vector_format,
            query=as_json([query])[0],
            chunking=endpoint.chunking_settings,
            **choices,
        )

    @classmethod
    def _of(  # noqa: PLR0913 - all that a call is made of
        cls,
        endpoint: Endpoint,
        lane: Lane,
        vector_format: VectorFormat[RowT],
        *,
        limiter: BaseRateLimiter | None = None,
        clients: Clients = OURS,
        session: EndpointSession | None = None,
        task: TaskSettings | None = None,
        cache: ChunkCache | None = None,
        chunking: ChunkingSettings | None = None,
        show_progress_bar: bool = False,
        insists_on_info: bool = False,
        query: bytes | None = None,
    ) -> EmbeddingCall[RowT]:
        service = endpoint.service_settings
        if session is None:
            session = session_for(service)
        limiter = session.limiter if limiter is None else limiter
        expected, own_task = endpoint.expected_fingerprint, endpoint.task_settings
        is_of_others = task is not None and task.dimensions != own_task.dimensions
        if is_of_others or query is not None:
            expected = None  # it is of vectors, and of others than these
        return EmbeddingCall(
            service=service,
            task=task or own_task,
            lane=lane,
            vector_format=vector_format,
            session=session,
            server=session.server_state(service.model, scores=query is not None),
            window=session.window,
            limiter=limiter,
            sharing=limiter.fact_sharing if isinstance(limiter, ReservingLimiter) else None,
            policy=RetryPolicy(service.max_wait),
            chunking=chunking,
            clients=clients,
            cache=None if lane == "query" and cache and not cache.queries else cache,
            show_progress_bar=show_progress_bar,
            insists_on_info=insists_on_info
            or bool(chunking and chunking.max_chunk_tokens and chunking.asks_server),
            expected_fingerprint=expected,
            tokenizer=endpoint.chunking_settings.tokenizer,
            query=query,
        )

    def followed_by(self, *followers: Progress) -> EmbeddingCall[RowT]:
        """The same call, of which these are told how it goes."""
        return dataclasses.replace(self, followers=followers)

    @property
    def redactor(self) -> Redactor:
        """Takes the key out of what the server says."""
        return self.session.redactor

    @property
    def batch_size(self) -> int:
        """Inputs per request at present, without the one that shows which model answers."""
        size = self.server.batch_size(self.service.max_batch_size)
        return size if self.expected_fingerprint is None or size == 1 else size - self.takes_proof

    @property
    def takes_proof(self) -> bool:
        """Whether requests may have one input more, the proof, by which the model is told."""
        is_wanted = self.expected_fingerprint is not None and not self.counts_for_others
        return is_wanted and self.options.prompt_name is None

    @property
    def is_prepared(self) -> bool:
        """Whether all is known that its inputs depend on."""
        if self.should_fetch_info or self.cache is not None:
            return False
        if self.sharing is not None and self.server.told is None:
            return False
        if self.server.restriction is Restriction.NOTHING:
            return False
        return self.expected_fingerprint is None or not self.should_verify

    def of_this_model(self) -> EmbeddingCall[RowT]:
        """The same call, once it is prepared, which insists on the model that is there now."""
        found = self.server.fingerprint(self.task.dimensions)
        return dataclasses.replace(self, expected_fingerprint=found)

    @property
    def should_verify(self) -> bool:
        """Whether it is not known, or doubted by now, that the model is the one expected."""
        expected, server = self.expected_fingerprint, self.server
        return expected is not None and not server.is_verified(self.task.dimensions, expected)

    @property
    def bounds_tokens(self) -> bool:
        """Whether chunks are bounded in tokens too."""
        return bool(self.chunking and self.chunking.max_chunk_tokens)

    @property
    def should_fetch_info(self) -> bool:
        """Whether the server is one that may have an ``/info`` and was not asked yet.

        It is asked before the first input is sent, since the model's prompts may depend on it:
        the same text must not get one vector before the answer and another after.
        """
        if self.server.asked_for_info:
            return False
        return self.insists_on_info or should_fetch_info(self.service)

    @property
    def options(self) -> InputOptions:
        """What the server is asked to do with the inputs of this lane."""
        server = self.server
        return options_of(
            self.task,
            self.lane,
            self.service.model or server.model,
            base64=server.style.base64,
            truncate_tokens=server.style.truncate_tokens if self.task.truncate else None,
            query=self.query,
        )

    @property
    def longest_input(self) -> int | None:
        """Characters of an input at most, three for a token; not of chunks bounded in tokens."""
        tokens = self.service.max_input_tokens
        return None if tokens is None or self.bounds_tokens else 3 * tokens

    def inputs_of(self, texts: Sequence[str]) -> list[bytes]:
        """Whole texts as they are sent, each as JSON."""
        prompt, longest = self.prompt, self.longest_input
        return as_json([prompt + text[:longest] for text in texts])

    @property
    def prompt(self) -> str:
        """The text before each input of this lane: the one set, else E5's own where it is E5."""
        if self.query is not None:
            return ""
        task, server = self.task, self.server
        is_query = self.lane == "query"
        given = task.query_prompt if is_query else task.document_prompt
        name = task.query_prompt_name if is_query else task.document_prompt_name
        if given is not None or name is not None:
            return given or ""
        model = self.service.model
        # An answer to `describe` alone must not change the vectors of this process.
        if model is None and server.info is not None and should_fetch_info(self.service):
            model = server.info.model_id
        if not (needs_e5_prompts(model) or needs_e5_prompts(self.service.url)):
            return ""
        if not server.e5_logged:
            server.e5_logged = True
            _logger.info(
                "%s serves an E5 model (%s): its prompts %r and %r are put before queries and "
                "documents. Set task_settings.query_prompt and document_prompt to change that.",
                host_of(self.service.url),
                model or "named in the URL",
                e5_prompt("query"),
                e5_prompt("document"),
            )
        return e5_prompt(self.lane)

    @property
    def has_own_loop(self) -> bool:
        """Whether many batches of a sync call are sent from the tasks of a loop of its own.

        Not past a client of the user's, nor a limiter or a store of the user's that may know one
        loop only.
        """
        is_of_user = self.clients.sync is not None or not isinstance(self.limiter, ReservingLimiter)
        is_of_user = is_of_user or (self.cache is not None and not self.cache.is_file)
        return self.service.transport != "httpx" and not is_of_user

    def sync_transport(self) -> SyncTransport:
        """What sends from threads."""
        return self.session.sync_transport(self.service, self.clients)

    def async_transport(self) -> Awaitable[AnyAsyncTransport]:
        """What sends from tasks of the running loop."""
        return self.session.async_transport(self.service, self.clients)

    def own_loop_transport(self) -> AbstractAsyncContextManager[AnyAsyncTransport]:
        """What sends from tasks of a loop that has no other use."""
        return self.session.own_loop_transport(self.service, self.clients)

    def error(self, failure: Failure, attempts: int, *, of_input: bool = False) -> HFEndpointError:
        """Word a failure, without the key even where the server repeats it."""
        failure = dataclasses.replace(failure, text=self.redactor.text(failure.text))
        key_advice = ""
        if failure.cause is Cause.AUTHENTICATION and not of_input:
            key_advice = self.service.advice_on_key()
        return error_of(
            failure,
            host=host_of(self.service.url),
            attempts=attempts,
            sent_key=self.session.has_key,
            key_advice=key_advice,
            of_input=of_input,
            reranks=self.query is not None,
            truncates=self.task.truncate,
        )


Call: TypeAlias = EmbeddingCall[Any]
"""A call for vectors of whichever form."""
