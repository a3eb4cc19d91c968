"""Runs a call for one text, on the caller's thread or in the caller's task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from langchain_hf_endpoint._engine.chunk_cache import look_up, way_to_embed
from langchain_hf_endpoint._engine.drivers import TaskDriver, ThreadDriver
from langchain_hf_endpoint._engine.failures import begun_before_fork, of_the_machine
from langchain_hf_endpoint._engine.preparation import prepare
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import EmbeddingCall

RowT = TypeVar("RowT")


def run_query(text: str, call: EmbeddingCall[RowT]) -> RowT:
    """Embed one text on the caller's thread: the way of `run` without planner and workers.

    Raises:
        HFEndpointError: What befell the text.
    """
    try:
        return ThreadDriver(call.sync_transport()).run(_embed(text, call))
    except (MemoryError, RuntimeError) as error:
        if (said := of_the_machine(error)) is not None:
            raise said from None
        raise


async def arun_query(text: str, call: EmbeddingCall[RowT]) -> RowT:
    """Embed one text in the caller's task; otherwise as `run_query`."""
    try:
        return await TaskDriver(await call.async_transport()).run(_embed(text, call))
    except (MemoryError, RuntimeError) as error:
        if (said := of_the_machine(error)) is not None:
            raise said from None
        raise


def _embed(text: str, call: EmbeddingCall[RowT]) -> Flow[RowT]:
    process = os.getpid()
    if not call.is_prepared:
        yield from prepare(call)
    for one in call.followers:
        one.planned(1, 1, 1)
    inputs = call.inputs_of((text,))
    if call.cache is not None:
        call = call.of_this_model()
        _, found = yield from look_up([(0, inputs[0])], call)
        if found:
            for one in call.followers:
                one.cached(1)
            return found[0]
    outcomes = yield from way_to_embed(call)(inputs, call)
    if os.getpid() != process:
        raise begun_before_fork()
    for one in call.followers:
        one.done(1)
    result = outcomes[0].result
    if isinstance(result, HFEndpointError):
        raise result
    return result[0]
