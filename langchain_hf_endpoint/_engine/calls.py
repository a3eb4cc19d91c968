"""How a call is put together from an endpoint's settings and what its callers share.

It knows what belongs to a call. It must not run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from langchain_hf_endpoint._engine.call import Call
from langchain_hf_endpoint._engine.retry_policy import RetryPolicy
from langchain_hf_endpoint._engine.run import Job
from langchain_hf_endpoint._http.clients import OURS
from langchain_hf_endpoint._session.session import session_for

if TYPE_CHECKING:
    from langchain_core.rate_limiters import BaseRateLimiter

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.vectors import VectorFormat
    from langchain_hf_endpoint._http.clients import Clients
    from langchain_hf_endpoint._session.session import EndpointSession
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import ChunkingSettings, ServiceSettings, TaskSettings

RowT = TypeVar("RowT")


class Settings(Protocol):
    """The sections that a call needs; an inference endpoint has them."""

    @property
    def service_settings(self) -> ServiceSettings:
        """Where, and how."""

    @property
    def chunking_settings(self) -> ChunkingSettings:
        """How texts are cut."""

    @property
    def task_settings(self) -> TaskSettings:
        """What happens to each input."""


def document_job(  # noqa: PLR0913 - all that a call is made of
    settings: Settings,
    keeper: VectorFormat[RowT],
    *,
    limiter: BaseRateLimiter | None = None,
    clients: Clients = OURS,
    progress: Progress | None = None,
    is_stream: bool = False,
    runtime: EndpointSession | None = None,
) -> Job[RowT]:
    """A call that embeds documents: they are chunked, and travel behind queries."""
    job = _job(settings, "document", keeper, limiter, clients, runtime=runtime)
    job.chunking = settings.chunking_settings
    job.keep = not is_stream
    job.progress = progress
    return job


def query_job(  # noqa: PLR0913 - the same
    settings: Settings,
    keeper: VectorFormat[RowT],
    *,
    limiter: BaseRateLimiter | None = None,
    clients: Clients = OURS,
    progress: Progress | None = None,
    runtime: EndpointSession | None = None,
) -> Job[RowT]:
    """A call that embeds a query: it is left whole, and travels before documents.

    Args:
        settings: The endpoint.
        keeper: In which form vectors are kept.
        limiter: Instead of the runtime's.
        clients: The user's own.
        progress: Is told of waits.
        runtime: With whom it shares; default: with all users of the URL and key in the process.
    """
    job = _job(settings, "query", keeper, limiter, clients, runtime=runtime)
    job.progress = progress
    return job


def _job(  # noqa: PLR0913 - the same
    settings: Settings,
    lane: Lane,
    keeper: VectorFormat[RowT],
    limiter: BaseRateLimiter | None,
    clients: Clients,
    *,
    runtime: EndpointSession | None,
) -> Job[RowT]:
    service = settings.service_settings
    runtime = runtime or session_for(service)
    call = Call(
        service=service,
        task=settings.task_settings,
        lane=lane,
        server=runtime.server_state(service.model),
        window=runtime.window,
        info_lock=runtime.discovery_lock,
        limiter=runtime.limiter if limiter is None else limiter,
        policy=RetryPolicy(service.max_wait),
        sends_key=runtime.has_key,
        redactor=runtime.redactor,
        form=keeper.form,
    )
    return Job(runtime, call, keeper, chunking=None, clients=clients)
