"""Runs a call for one text, on the caller's thread or in the caller's task."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from langchain_hf_endpoint._engine.drivers import TaskDriver, ThreadDriver
from langchain_hf_endpoint._engine.failures import begun_before_fork, of_the_machine
from langchain_hf_endpoint._engine.flow import embed_batch
from langchain_hf_endpoint._engine.model_fingerprint import embed_verified
from langchain_hf_endpoint._engine.preparation import prepare
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._engine.actions import Progress
    from langchain_hf_endpoint._engine.call import EmbeddingCall
    from langchain_hf_endpoint._engine.isolation import Outcome

RowT = TypeVar("RowT")


def run_query(text: str, call: EmbeddingCall[RowT], progress: Progress | None = None) -> RowT:
    """Embed one text on the caller's thread: the way of `run` without planner and workers.

    Raises:
        HFEndpointError: What befell the text.
    """
    process = os.getpid()
    driver = ThreadDriver(call.sync_transport(), progress)
    if not call.is_prepared:
        driver.run(prepare(call))
    if progress:
        progress.planned(1, 1, 1)
    embed = embed_batch if call.expected_fingerprint is None else embed_verified
    try:
        outcomes = driver.run(embed(call.inputs_of((text,)), call))
    except (MemoryError, RuntimeError) as error:
        if (said := of_the_machine(error)) is not None:
            raise said from None
        raise
    if os.getpid() != process:
        raise begun_before_fork()
    return _vector(outcomes, progress)


async def arun_query(
    text: str, call: EmbeddingCall[RowT], progress: Progress | None = None
) -> RowT:
    """Embed one text in the caller's task; otherwise as `run_query`."""
    driver = TaskDriver(await call.async_transport(), progress)
    if not call.is_prepared:
        await driver.run(prepare(call))
    if progress:
        progress.planned(1, 1, 1)
    embed = embed_batch if call.expected_fingerprint is None else embed_verified
    try:
        outcomes = await driver.run(embed(call.inputs_of((text,)), call))
    except (MemoryError, RuntimeError) as error:
        if (said := of_the_machine(error)) is not None:
            raise said from None
        raise
    return _vector(outcomes, progress)


def _vector(outcomes: Sequence[Outcome[RowT]], progress: Progress | None) -> RowT:
    if progress:
        progress.done(1)
    result = outcomes[0].result
    if isinstance(result, HFEndpointError):
        raise result
    return result[0]
