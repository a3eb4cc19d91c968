"""What the routes ask for: endpoints by name, vectors, chunks; for callers who may hang up.

It knows the registry, one merger per endpoint, and how work is broken off. It must not know any
JSON of an answer.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect

from langchain_hf_endpoint._engine.describe import adescribe
from langchain_hf_endpoint._http.clients import Clients
from langchain_hf_endpoint._session.session import private_session
from langchain_hf_endpoint._urls import is_hugging_face
from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.errors import (
    EmbeddingError,
    InputError,
    ProtocolError,
    SettingsError,
    UnknownEndpointError,
)
from langchain_hf_endpoint.gateway.batcher import Merger
from langchain_hf_endpoint.gateway.errors import Refusal, unknown_endpoint
from langchain_hf_endpoint.gateway.metrics import Metrics
from langchain_hf_endpoint.gateway.redis_limiters import check_sharing, shared_limiter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from starlette.requests import Request

    from langchain_hf_endpoint._session.session import EndpointSession
    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint
    from langchain_hf_endpoint.gateway.batcher import Embedded
    from langchain_hf_endpoint.gateway.config import Options
    from langchain_hf_endpoint.gateway.url_allowlist import Destinations
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.registry import InferenceEndpoints
    from langchain_hf_endpoint.settings import TaskSettings

T = TypeVar("T")
Vector = list[float]

_CHUNKS_PER_INPUT = 8
_WORTH_A_THREAD = 50_000  # characters whose chunking others would feel


@dataclass(frozen=True, slots=True)
class ChunkVector:
    """A chunk of an input, and its vector."""

    chunk: Chunk
    vector: Vector


@dataclass(frozen=True, slots=True)
class _Entry:
    """An endpoint in use: limits and connections are its own, whatever URL and key it has."""

    endpoint: InferenceEndpoint
    runtime: EndpointSession
    merger: Merger


class Service:
    """One gateway's work, on one event loop.

    Args:
        endpoints: The registry; other processes may change it at the same time.
        options: The operator's decisions.
        destinations: Where endpoints may be.
    """

    def __init__(
        self, endpoints: InferenceEndpoints, options: Options, destinations: Destinations
    ) -> None:
        self.endpoints = endpoints
        check_sharing(options)
        self.options = options
        self.metrics = Metrics(self._waiting)
        self._destinations = destinations
        self._entries: dict[str, _Entry] = {}
        self._leaving: dict[asyncio.Task[None], _Entry] = {}
        self._answering = asyncio.Lock()
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
        await asyncio.gather(*(entry.merger.close() for entry in entries))
        runtimes = {entry.runtime for entry in entries}
        await asyncio.gather(*(runtime.aclose() for runtime in runtimes))
        for pool in (self._reading, self._writing, self._resolving, self._cutting):
            pool.shutdown(wait=False, cancel_futures=True)

    async def endpoint(self, inference_id: str) -> InferenceEndpoint:
        """The endpoint of this name, fit to be used now.

        Raises:
            Refusal: There is none, or its host leads where it must not by now.
        """
        try:
            endpoint = await _in(self._reading, lambda: self.endpoints[inference_id])
        except UnknownEndpointError:
            raise unknown_endpoint(inference_id) from None
        await self._check_destination(endpoint.service_settings.url)
        return endpoint

    async def _check_destination(self, url: str) -> None:
        if not self._destinations.is_known(url):
            await _in(self._resolving, lambda: self._destinations.check(url))

    async def put(
        self,
        task_type: str,
        inference_id: str,
        config: dict[str, Any],
        *,
        allow_model_change: bool,
    ) -> dict[str, Any]:
        """Create an endpoint.

        Raises:
            HFEndpointError: See `InferenceEndpoints.put`.
            Refusal: It leads where it must not, or would use a key that is not the caller's.
        """
        service = config.get("service_settings")
        if isinstance(service, dict):
            self._check_service(service)
            url = service.get("url")
            if isinstance(url, str) and url.lower().startswith(("http://", "https://")):
                # No URL: the registry says so, along with all else that is wrong.
                with suppress(ValueError):
                    await self._check_destination(url)
        tried: list[tuple[InferenceEndpoint, EndpointSession]] = []

        async def describe(endpoint: InferenceEndpoint) -> EndpointDescription:
            runtime = private_session(endpoint.service_settings)
            tried.append((endpoint, runtime))
            return await adescribe(endpoint, self._clients(endpoint), runtime)

        try:
            stored = await self.endpoints.aput(
                task_type=task_type,
                inference_id=inference_id,
                inference_config=config,
                allow_model_change=allow_model_change,
                describe=describe,
            )
        except BaseException:
            for _, runtime in tried:
                await runtime.aclose()
            raise
        self._let_go(inference_id)
        for endpoint, runtime in tried:
            self._enter(endpoint, runtime)
        return stored

    def _check_service(self, service: dict[str, Any]) -> None:
        """Refuse what a caller from outside may not ask for, though the program's owner may."""
        url = service.get("url")
        if service.get("tls") is not None:
            raise SettingsError(
                (
                    "service_settings.tls",
                    (
                        "names files of the gateway's own machine, which no caller may: "
                        "its operator puts such an endpoint into the registry (hf-endpoint put)"
                    ),
                )
            )
        if not self.options.environment_keys:
            if "api_key_env" in service:
                raise SettingsError(
                    (
                        "service_settings.api_key_env",
                        (
                            "this gateway gives no caller a key of its environment "
                            "(its operator can allow it, --environment-keys)"
                        ),
                    )
                )
            if service.get("api_key") is None and isinstance(url, str) and _is_hf(url):
                # The registry would fall back on HF_TOKEN, the operator's own.
                raise SettingsError(
                    ("service_settings.api_key", "is required for a host of Hugging Face")
                )

    async def update(self, inference_id: str, config: dict[str, Any]) -> dict[str, Any]:
        """Change an endpoint; see `InferenceEndpoints.update`. A new limit holds at once."""

        def update() -> tuple[dict[str, Any], InferenceEndpoint]:
            changed = self.endpoints.update(inference_id=inference_id, inference_config=config)
            return changed, self.endpoints[inference_id]

        changed, endpoint = await _in(self._writing, update)
        if inference_id in self._entries:
            with suppress(SettingsError):  # its key is not in the environment: nobody uses it
                self._merger(endpoint)
        return changed

    async def get(self, inference_id: str | None) -> list[dict[str, Any]]:
        """One endpoint's configuration, or all; see `InferenceEndpoints.get`."""

        def get() -> list[dict[str, Any]]:
            if inference_id is None:
                return self.endpoints.get()
            return [self.endpoints.get(inference_id=inference_id)]

        return await _in(self._reading, get)

    async def delete(self, inference_id: str) -> None:
        """Delete an endpoint; requests under way are finished."""
        await _in(self._writing, lambda: self.endpoints.delete(inference_id=inference_id))
        self._let_go(inference_id)
        self.metrics.forget(inference_id)

    async def forget_deleted(self) -> None:
        """Let go of what other gateways have deleted from the registry."""
        living = set(await _in(self._reading, self.endpoints.keys))
        for inference_id in self.metrics.endpoints() - living:
            self._let_go(inference_id)
            self.metrics.forget(inference_id)

    async def vectors(
        self,
        endpoint: InferenceEndpoint,
        texts: Sequence[str],
        lane: Lane,
        task: TaskSettings | None = None,
    ) -> Embedded:
        """One vector per text, none chunked, and the tokens counted.

        Raises:
            Refusal: There are too many.
            HFEndpointError: See `Merger.embed_counting`.
        """
        self.check_count(len(texts))
        self.metrics.asked(endpoint.inference_id, lane, len(texts))
        merger = self._merger(endpoint)
        try:
            embedded = await merger.embed_counting(texts, lane, task=task)
        except EmbeddingError as error:
            asked = task.dimensions if task else None
            if asked is not None and asked != endpoint.task_settings.dimensions:
                _check_width(error, asked)
            raise
        await self._turn()
        return embedded

    async def chunks(
        self, endpoint: InferenceEndpoint, texts: Sequence[str]
    ) -> list[list[ChunkVector]]:
        """The chunks of each text, cut by the endpoint's settings, with their vectors."""
        self.check_count(len(texts))
        cut = await self._chunked(texts, endpoint)
        for index, pieces in enumerate(cut):
            if not pieces:
                raise InputError("is empty or blank", index=index, advice="Leave it out.")
        self._check_chunks(sum(map(len, cut)))
        flat = [piece for pieces in cut for piece in pieces]
        self.metrics.asked(endpoint.inference_id, "document", len(flat))
        rows = await self._merger(endpoint).embed([piece.text for piece in flat])
        await self._turn()
        pairs = map(ChunkVector, flat, rows)
        return [[next(pairs) for _ in pieces] for pieces in cut]

    async def _turn(self) -> None:
        """Let the loop turn between the answers of those who got their vectors at the same time.

        Making one takes milliseconds; those of a thousand in one turn would keep all others out.
        """
        async with self._answering:
            await asyncio.sleep(0)

    def check_count(self, inputs: int) -> None:
        """Refuse a request of too many inputs.

        Raises:
            Refusal: 400.
        """
        most = self.options.max_inputs
        if inputs > most:
            raise Refusal(
                400,
                "action_request_validation_exception",
                f"Validation Failed: 1: [input] has {inputs} texts, at most {most} are allowed;",
            )

    def _check_chunks(self, chunks: int) -> None:
        most = self.options.max_inputs * _CHUNKS_PER_INPUT
        if chunks > most:
            raise Refusal(
                400,
                "action_request_validation_exception",
                f"Validation Failed: 1: [input] has {chunks} chunks, at most {most} are allowed;",
            )

    def _merger(self, endpoint: InferenceEndpoint) -> Merger:
        """The one of this endpoint; a new one where the endpoint was changed meanwhile."""
        held = self._entries.get(endpoint.inference_id)
        service = endpoint.service_settings
        if held is None or not held.runtime.serves(service):
            runtime = private_session(service)
        elif held.endpoint == endpoint:
            return held.merger
        elif _bounds(held.endpoint) == _bounds(endpoint):
            held.runtime.change_rate(service.rate_limit.requests_per_minute)
            runtime = held.runtime
        else:
            runtime = private_session(service)
        self._let_go(endpoint.inference_id, runtime)
        return self._enter(endpoint, runtime)

    def _enter(self, endpoint: InferenceEndpoint, runtime: EndpointSession) -> Merger:
        merger = Merger(
            endpoint,
            max_queue=self.options.max_queue,
            watcher=self.metrics.of_endpoint(endpoint.inference_id),
            limiter=shared_limiter(endpoint, self.options),
            session=runtime,
            clients=self._clients(endpoint),
        )
        self._entries[endpoint.inference_id] = _Entry(endpoint, runtime, merger)
        return merger

    def _clients(self, endpoint: InferenceEndpoint) -> Clients:
        check = self._destinations.address_check(endpoint.service_settings.url)
        return Clients(check_address=check)

    def _let_go(self, inference_id: str, goes_on: EndpointSession | None = None) -> None:
        """Close an entry when the last request under way is finished."""
        entry = self._entries.pop(inference_id, None)
        if entry is None:
            return

        async def end() -> None:
            await entry.merger.finished()
            if entry.runtime is not goes_on:
                await entry.runtime.aclose()

        task = asyncio.get_running_loop().create_task(end())
        self._leaving[task] = entry
        task.add_done_callback(self._leaving.pop)

    def _waiting(self) -> float:
        entries = [*self._entries.values(), *self._leaving.values()]
        return sum(entry.merger.waiting for entry in entries)

    async def _chunked(
        self, texts: Sequence[str], endpoint: InferenceEndpoint
    ) -> list[list[Chunk]]:
        def cut() -> list[list[Chunk]]:
            return [list(chunk(text, endpoint.chunking_settings)) for text in texts]

        is_long = sum(map(len, texts)) > _WORTH_A_THREAD
        return await _in(self._cutting, cut) if is_long else cut()


async def _in(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)


def _bounds(endpoint: InferenceEndpoint) -> tuple[object, ...]:
    """What a runtime is made with and cannot change, beside URL and key."""
    service = endpoint.service_settings
    return service.max_concurrent_requests, service.dialect


def _check_width(error: EmbeddingError, asked: int) -> None:
    """Say of a model that does not shorten its vectors that the request's `dimensions` are wrong.

    Raises:
        SettingsError: It did not.
    """
    first = error.failures[min(error.failures)]
    if isinstance(first, ProtocolError) and f"{asked} dimensions were asked for" in first.problem:
        raise SettingsError(
            ("dimensions", f"{asked} cannot be had: {first.problem}"), status=first.status
        ) from error


def _is_hf(url: str) -> bool:
    try:
        return is_hugging_face(url)
    except ValueError:
        return False


async def while_there(
    request: Request, work: Coroutine[Any, Any, T], seconds: float | None = None
) -> T:
    """Do the work as long as the client is there and its time is not over; else break it off.

    Args:
        request: Its body has been read.
        work: What to do.
        seconds: None: no limit of time.

    Raises:
        ClientDisconnect: The client left.
        Refusal: 408, the time is over.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        done, _ = await asyncio.wait(
            {working, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if working in done:
            return working.result()
        if leaving in done:
            raise ClientDisconnect
        raise Refusal(
            408, "status_exception", f"Request timed out after [{seconds:g}s]", code="timeout"
        )
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
