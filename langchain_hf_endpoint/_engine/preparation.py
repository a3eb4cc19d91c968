"""What a call must know of its server before its first input is cut and sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.discovery import ask_others, fetch_server_info
from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.model_fingerprint import fetch_fingerprint, verify_model
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint._session.server_state import Restriction
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.chunking.chunks import cut
from langchain_hf_endpoint.errors import ServerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call, Endpoint
    from langchain_hf_endpoint.chunking import Chunk
    from langchain_hf_endpoint.chunking.tokens import TokenBound

T = TypeVar("T")

_MEASURED_TOGETHER = 400_000  # characters of texts, more than a hundred chunks


def prepare(call: Call) -> Flow[None]:
    """Ask the server what the inputs depend on; of no effect where all is known.

    Raises:
        HFEndpointError: The server cannot be reached, is not ready even after `max_wait`, or
            cannot serve the call.
        ServerError: It mixes vectors up.
        ModelChangedError: It has another model than the one that the call expects.
    """
    yield from ask_others(call)
    if call.should_fetch_info:
        yield from fetch_server_info(call)
    if call.server.restriction is Restriction.NOTHING:
        raise ServerError(
            f"the server's vectors cannot be trusted: {call.server.parity}",
            advice="Look at what stands before it (a proxy that mixes replies up, replicas with "
            "different models), mend it, and begin with a new process.",
            host=host_of(call.service.url),
        )
    if call.cache is not None:
        yield from fetch_fingerprint(call)
    if call.should_verify:
        yield from verify_model(call)


def bound_for(texts: Iterable[str], call: Call) -> Flow[TokenBound | None]:
    """How many tokens the chunks of these texts may have, whose words are counted then.

    Raises:
        SettingsError: Chunks cannot be bounded as the settings say.
        HFEndpointError: As of `prepare`.
    """
    if not call.is_prepared:
        yield from prepare(call)
    if not call.bounds_tokens:
        return None
    # Loaded where it is wanted: it brings the tables of all scripts.
    from langchain_hf_endpoint._engine.token_bounds import find_bound  # noqa: PLC0415

    return (yield from find_bound(texts, call))


def cut_each(
    items: Iterable[T], text_of: Callable[[T], str], call: Call
) -> Iterator[tuple[T, list[Chunk]]]:
    """Items and the chunks of their texts, for those who cut themselves what they send.

    So many are cut together that their words are worth a request.

    Raises:
        InputError: One is no string.
        HFEndpointError: As of `bound_for`.
    """
    driver = ThreadDriver(call.sync_transport())
    most = _MEASURED_TOGETHER if call.bounds_tokens else 0
    group: list[tuple[T, str]] = []
    held = 0
    for item in items:
        group.append((item, text_of(item)))
        held += len(group[-1][1])
        if held >= most:
            yield from _cut(group, call, driver)
            group, held = [], 0
    yield from _cut(group, call, driver)


def _cut(
    group: list[tuple[T, str]], call: Call, driver: ThreadDriver
) -> Iterator[tuple[T, list[Chunk]]]:
    bound = driver.run(bound_for([text for _, text in group], call))
    assert call.chunking is not None  # noqa: S101 - a call for documents
    for item, text in group:
        yield item, cut(text, call.chunking, bound)


def cut_for(endpoint: Endpoint, texts: Iterable[str]) -> list[list[Chunk]]:
    """The chunks of each text, for one who sends nothing, on the caller's thread.

    Raises:
        HFEndpointError: As of `cut_each`.
    """
    call = EmbeddingCall.for_documents(endpoint, ARRAYS)
    return [chunks for _, chunks in cut_each(texts, lambda text: text, call)]
