"""Do what the routes ask for: endpoints by name, vectors, chunks."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_hf_endpoint._engine.call import Choices, EmbeddingCall
from langchain_hf_endpoint._engine.describe import adescribe
from langchain_hf_endpoint._engine.planner import check_texts
from langchain_hf_endpoint._engine.vectors import AS_RECEIVED
from langchain_hf_endpoint._http.clients import Clients
from langchain_hf_endpoint._lifecycle import in_thread
from langchain_hf_endpoint._session.session import private_session
from langchain_hf_endpoint.chunking.chunks import cut, takes_long
from langchain_hf_endpoint.endpoint import preferring_fast
from langchain_hf_endpoint.errors import (
    EmbeddingError,
    HFEndpointError,
    InputError,
    SettingsError,
    UnknownEndpointError,
)
from langchain_hf_endpoint.gateway.batcher import DynamicBatcher
from langchain_hf_endpoint.gateway.config import check_config
from langchain_hf_endpoint.gateway.errors import (
    check_dimensions,
    incompatible,
    invalid,
    unknown_endpoint,
)
from langchain_hf_endpoint.gateway.metrics import EndpointMetrics, Metrics
from langchain_hf_endpoint.gateway.requests import Turns
from langchain_hf_endpoint.gateway.reranks import Reranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._engine.vectors import Vector
    from langchain_hf_endpoint._session.session import EndpointSession
    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint
    from langchain_hf_endpoint.gateway.batcher import Embedded
    from langchain_hf_endpoint.gateway.config import GatewayOptions
    from langchain_hf_endpoint.gateway.url_allowlist import UrlAllowlist
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.registry import InferenceEndpoints
    from langchain_hf_endpoint.reranker import RankedDocument
    from langchain_hf_endpoint.settings import TaskSettings

    _Tried: TypeAlias = list[tuple[InferenceEndpoint, EndpointSession]]

_CHUNKS_PER_INPUT = 8
_NUMBERS_IN_A_TURN = 50_000
_LEAST_NUMBERS = 2000  # that an answer takes as long as


@dataclass(slots=True)
class _Entry:
    """An endpoint in use: limits and connections are its own, whatever URL and key it has."""

    endpoint: InferenceEndpoint
    session: EndpointSession
    batcher: DynamicBatcher
    description: asyncio.Future[EndpointDescription] | None = None


class Service:
    """One gateway's work, on one event loop.

    Args:
        endpoints: The registry; other processes may change it at the same time.
        options: The operator's decisions.
        allowlist: Where endpoints may be.
    """

    def __init__(
        self, endpoints: InferenceEndpoints, options: GatewayOptions, allowlist: UrlAllowlist
    ) -> None:
        self.endpoints = endpoints
        self.options = options
        self.metrics = Metrics(self._waiting)
        self._allowlist = allowlist
        self._entries: dict[str, _Entry] = {}
        self._leaving: dict[asyncio.Task[None], _Entry] = {}
        self._to_read: dict[str, asyncio.Task[InferenceEndpoint]] = {}
        self._answering = Turns(_NUMBERS_IN_A_TURN)
        self._reranks = Reranks(options.max_queue)
        # Of each kind of waiting its own, so that one who waits for a lock on the file, or for a
        # name server, keeps nobody from reading.
        self._reading = ThreadPoolExecutor(4, "gateway-reading")
        self._writing = ThreadPoolExecutor(1, "gateway-writing")
        self._resolving = ThreadPoolExecutor(8, "gateway-resolving")
        self._cutting = ThreadPoolExecutor(2, "gateway-cutting")

    async def close(self) -> None:
        """Break off what is under way. A server's graceful end has waited for it before."""
        entries = [*self._entries.values(), *self._leaving.values()]
        self._entries.clear()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*(entry.batcher.close() for entry in entries))
        sessions = {entry.session for entry in entries}
        await asyncio.gather(*(session.aclose() for session in sessions))
        for pool in (self._reading, self._writing, self._resolving, self._cutting):
            pool.shutdown(wait=False, cancel_futures=True)

    async def endpoint(self, inference_id: str) -> InferenceEndpoint:
        """The endpoint of this name, fit to be used now."""
        try:
            if inference_id not in self._to_read:
                self._to_read[inference_id] = asyncio.ensure_future(self._read(inference_id))
            # Shielded: the first to ask may hang up, and the others wait for the same answer.
            endpoint = await asyncio.shield(self._to_read[inference_id])
        except UnknownEndpointError:
            raise unknown_endpoint(inference_id) from None
        await self._check_url(endpoint.service_settings.url)
        return endpoint

    async def _read(self, inference_id: str) -> InferenceEndpoint:
        """Once for all who asked in one turn of the loop, and after they did."""
        # Before the file is read: who asks from now on sees what was written by then.
        del self._to_read[inference_id]
        return await in_thread(lambda: self.endpoints[inference_id], self._reading)

    async def _check_url(self, url: str) -> None:
        if not self._allowlist.is_known(url):
            await in_thread(lambda: self._allowlist.check(url), self._resolving)

    async def put(
        self,
        task_type: str,
        inference_id: str,
        config: dict[str, Any],
        *,
        allow_model_change: bool,
    ) -> dict[str, Any]:
        """Create an endpoint."""
        check_config(config, self.options)
        service = config.get("service_settings")
        if isinstance(service, dict):
            url = service.get("url")
            if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
                # No URL: the registry says so, along with all else that is wrong.
                with suppress(ValueError):
                    await self._check_url(url)
        tried: _Tried = []
        try:
            stored = await self.endpoints.aput(
                task_type=task_type,
                inference_id=inference_id,
                inference_config=config,
                allow_model_change=allow_model_change,
                describe=partial(self._try_out, tried),
            )
        except BaseException:
            for _, session in tried:
                await session.aclose()
            raise
        self._let_go(inference_id)
        # The session that tried it out knows the server by now.
        for endpoint, session in tried:
            self._enter(endpoint, session)
        return stored

    async def update(self, inference_id: str, config: dict[str, Any]) -> dict[str, Any]:
        """Change an endpoint; see `InferenceEndpoints.update`. A new limit holds at once."""
        service = config.get("service_settings")
        if self.options.allow_key_rotation and isinstance(service, dict) and "api_key" in service:
            if len(service) > 1 or len(config) > 1:
                alone = "is changed by itself: leave other fields to a request of their own"
                raise SettingsError(("service_settings.api_key", alone))
            return await self._rotate_key(inference_id, service["api_key"])

        def update() -> tuple[dict[str, Any], InferenceEndpoint]:
            changed = self.endpoints.update(inference_id=inference_id, inference_config=config)
            return changed, self.endpoints[inference_id]

        changed, endpoint = await in_thread(update, self._writing)
        if inference_id in self._entries:
            with suppress(SettingsError):  # its key is not in the environment: nobody uses it
                self._batcher(endpoint)
        return changed

    async def _rotate_key(self, inference_id: str, key: Any) -> dict[str, Any]:
        tried: _Tried = []
        try:
            return await self.endpoints.arotate_key(
                inference_id=inference_id, api_key=key, describe=partial(self._try_out, tried)
            )
        finally:
            for _, session in tried:
                await session.aclose()

    async def _try_out(self, tried: _Tried, endpoint: InferenceEndpoint) -> EndpointDescription:
        await self._check_url(endpoint.service_settings.url)
        tried.append((endpoint, session := private_session(endpoint.service_settings)))
        return await self._describe(endpoint, session)

    async def _describe(
        self, endpoint: InferenceEndpoint, session: EndpointSession
    ) -> EndpointDescription:
        return await adescribe(preferring_fast(endpoint), self._clients(endpoint), session)

    async def get(self, inference_id: str | None) -> list[dict[str, Any]]:
        """One endpoint's configuration, or all; see `InferenceEndpoints.get`."""

        def get() -> list[dict[str, Any]]:
            if inference_id is None:
                return self.endpoints.get()
            return [self.endpoints.get(inference_id=inference_id)]

        return await in_thread(get, self._reading)

    async def delete(self, inference_id: str) -> None:
        """Delete an endpoint; requests under way are finished."""
        await in_thread(lambda: self.endpoints.delete(inference_id=inference_id), self._writing)
        self._let_go(inference_id)
        self.metrics.forget(inference_id)

    async def forget_deleted(self) -> None:
        """Let go of what other gateways have deleted from the registry."""
        living = set(await in_thread(self.endpoints.keys, self._reading))
        for inference_id in self.metrics.endpoints() - living:
            self._let_go(inference_id)
            self.metrics.forget(inference_id)

    async def description(self, endpoint: InferenceEndpoint) -> EndpointDescription:
        """What the endpoint's server says of itself, asked once."""
        self._batcher(endpoint)
        entry = self._entries[endpoint.inference_id]
        if entry.description is None:
            asking = self._describe(endpoint, entry.session)
            entry.description = asyncio.ensure_future(asking)
        try:
            # Shielded: the first to ask may hang up, and the others wait for the same answer.
            return await asyncio.shield(entry.description)
        except HFEndpointError:
            entry.description = None
            raise

    async def vectors(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        lane: Lane,
        task: TaskSettings | None = None,
    ) -> Embedded:
        """One vector per text, none chunked, and the tokens counted."""
        if endpoint.task_type != "text_embedding":
            raise incompatible("text_embedding", endpoint.task_type)
        self._check_count(len(texts))
        self.metrics.asked(endpoint.inference_id, lane, len(texts))
        batcher = self._batcher(endpoint)
        try:
            embedded = await batcher.embed_counting(texts, lane, task=task)
        except EmbeddingError as error:
            asked = task.dimensions if task else None
            if asked is not None and asked != endpoint.task_settings.dimensions:
                check_dimensions(error, asked)
            raise
        await self._turn(embedded.vectors)
        return embedded

    async def places(
        self, endpoint: InferenceEndpoint, query: str, texts: Sequence[str], task: TaskSettings
    ) -> list[RankedDocument]:
        """The texts' places by their scores against the query, the best first."""
        if endpoint.task_type != "rerank":
            raise incompatible("rerank", endpoint.task_type)
        self._check_count(len(texts))
        check_texts(texts)
        settings, size = endpoint.chunking_settings, endpoint.chunking_settings.max_chunking_size
        most = self.options.max_inputs * _CHUNKS_PER_INPUT
        # Chunks share at most half of their words, and a word has a character: where there cannot
        # be too many, the texts are cut once alone, as they are scored.
        if size is not None and 2 * sum(map(len, texts)) > size * most:
            counted = await in_thread(
                lambda: sum(len(cut(text, settings, None)) for text in texts), self._cutting
            )
            self._check_count(counted, "chunks", _CHUNKS_PER_INPUT)
        self.metrics.asked(endpoint.inference_id, "query", len(texts))
        choices = self._choices(endpoint)
        choices["task"] = task
        return await self._reranks.places(endpoint, query, texts, task.top_n, choices)

    def call(self, endpoint: InferenceEndpoint) -> Call:
        """A call for what the endpoint's server says, not for vectors."""
        return EmbeddingCall.for_query(
            preferring_fast(endpoint), AS_RECEIVED, **self._choices(endpoint)
        )

    def _choices(self, endpoint: InferenceEndpoint) -> Choices:
        """What a call shares with all others to the endpoint."""
        self._batcher(endpoint)
        return {
            "limiter": self.options.shared_limiter(endpoint),
            "clients": self._clients(endpoint),
            "session": self._entries[endpoint.inference_id].session,
        }

    async def chunks(
        self, endpoint: InferenceEndpoint, texts: Sequence[str]
    ) -> list[list[tuple[Chunk, Vector]]]:
        """The chunks of each text, cut by the endpoint's settings, with their vectors."""
        self._check_count(len(texts))
        bound = await self._batcher(endpoint).token_bound(texts)

        def cut_all() -> list[list[Chunk]]:
            return [cut(text, endpoint.chunking_settings, bound) for text in texts]

        is_long = takes_long(texts, endpoint.chunking_settings)
        chunks = await in_thread(cut_all, self._cutting) if is_long else cut_all()
        if [] in chunks:
            raise InputError("is empty or blank", index=chunks.index([]), advice="Leave it out.")
        self._check_count(sum(map(len, chunks)), "chunks", _CHUNKS_PER_INPUT)
        flat = [piece for pieces in chunks for piece in pieces]
        self.metrics.asked(endpoint.inference_id, "document", len(flat))
        rows = await self._batcher(endpoint).embed([piece.text for piece in flat])
        await self._turn(rows)
        pairs = zip(flat, rows, strict=True)
        return [[next(pairs) for _ in pieces] for pieces in chunks]

    async def _turn(self, rows: Sequence[Vector]) -> None:
        """Let the loop turn between the answers of those who got their vectors at the same time.

        Making one takes milliseconds; those of a thousand in one turn would keep all others out.
        """
        await self._answering.take(max(_LEAST_NUMBERS, len(rows) * len(rows[0]) if rows else 0))

    def _check_count(self, count: int, of: str = "texts", times: int = 1) -> None:
        """Refuse a request of more than `times` as many as the operator allows."""
        most = self.options.max_inputs * times
        if count > most:
            raise invalid(f"the request has {count} {of}, at most {most} are allowed")

    def _batcher(self, endpoint: InferenceEndpoint) -> DynamicBatcher:
        """The one of this endpoint; a new one where the endpoint was changed meanwhile."""
        held = self._entries.get(endpoint.inference_id)
        service, kept = endpoint.service_settings, endpoint.expected_fingerprint
        if held is None or not held.session.serves(service):
            session = private_session(service)
        elif held.endpoint == endpoint and held.endpoint.expected_fingerprint == kept:
            return held.batcher
        elif _bounds(held.endpoint) == _bounds(endpoint):
            # The session goes on: what its limit has granted counts, and its connections stay open.
            held.session.change_rate(service.rate_limit.requests_per_minute)
            session = held.session
        else:
            session = private_session(service)
        self._let_go(endpoint.inference_id, session)
        return self._enter(endpoint, session)

    def _enter(self, endpoint: InferenceEndpoint, session: EndpointSession) -> DynamicBatcher:
        batcher = DynamicBatcher(
            preferring_fast(endpoint),
            max_queue=self.options.max_queue,
            followers=(EndpointMetrics(self.metrics, endpoint.inference_id),),
            limiter=self.options.shared_limiter(endpoint),
            session=session,
            clients=self._clients(endpoint),
        )
        self._entries[endpoint.inference_id] = _Entry(endpoint, session, batcher)
        return batcher

    def _clients(self, endpoint: InferenceEndpoint) -> Clients:
        check = self._allowlist.address_check(endpoint.service_settings.url)
        return Clients(check_address=check)

    def _let_go(self, inference_id: str, goes_on: EndpointSession | None = None) -> None:
        """Close an entry when the last request under way is finished."""
        entry = self._entries.pop(inference_id, None)
        if entry is None:
            return

        async def end() -> None:
            await entry.batcher.finished()
            if entry.session is not goes_on:
                await entry.session.aclose()

        task = asyncio.get_running_loop().create_task(end())
        self._leaving[task] = entry
        task.add_done_callback(self._leaving.pop)

    def _waiting(self) -> float:
        entries = [*self._entries.values(), *self._leaving.values()]
        return sum(entry.batcher.waiting for entry in entries)


def _bounds(endpoint: InferenceEndpoint) -> tuple[object, ...]:
    """What a session is made with and cannot change, beside URL and key."""
    service = endpoint.service_settings
    return service.max_concurrent_requests, service.dialect
