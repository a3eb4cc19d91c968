"""Tell by the vectors of a few fixed texts whether a server still has the model that it had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from langchain_hf_endpoint._engine.actions import CallStopped
from langchain_hf_endpoint._engine.discovery import ask_once
from langchain_hf_endpoint._engine.failures import model_changed
from langchain_hf_endpoint._engine.flow import embed_batch
from langchain_hf_endpoint._engine.isolation import Outcome
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint._protocols.base import as_json
from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import HFEndpointError
from langchain_hf_endpoint.settings import TaskSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call, EmbeddingCall

__all__ = ["ModelFingerprint", "embed_verified", "fetch_fingerprint", "verify_model"]

RowT = TypeVar("RowT")


def fetch_fingerprint(call: Call) -> Flow[ModelFingerprint]:
    """The model's fingerprint, at most by one request: of a text for each input that it may have.

    One asks, and all who want to know meanwhile wait for its answer, or its error. What was
    learned before a failure that may mean a new server is asked for anew.

    Raises:
        HFEndpointError: The texts were not embedded.
    """

    def known() -> ModelFingerprint | None:
        return call.server.fingerprint(call.task.dimensions, len(TEXTS[: call.batch_size]))

    while (found := known()) is None:
        yield from ask_once(call, lambda: known() is not None, _ask)
    return found


def _ask(call: Call) -> Flow[None]:
    server, asked = call.server, call.task.dimensions
    doubts = server.doubts
    # Without prompts, so that it is the same for queries and documents, whatever their prompts are.
    task = TaskSettings(dimensions=asked)
    plain = replace(call, task=task, vector_format=ARRAYS, expected_fingerprint=None)
    outcomes = yield from embed_batch(as_json(TEXTS[: call.batch_size]), plain)
    rows: list[NDArray[np.float32]] = []
    for outcome in sorted(outcomes, key=lambda one: one.start):
        if isinstance(outcome.result, HFEndpointError):
            raise outcome.result
        rows.extend(outcome.result)
    if not rows:
        raise CallStopped
    server.keep_fingerprint(asked, ModelFingerprint.of(np.stack(rows)), doubts)


def verify_model(call: Call) -> Flow[None]:
    """See that the model is the one that the call expects; of no effect where that is known.

    Raises:
        ModelChangedError: It is another.
        HFEndpointError: It cannot be told.
    """
    expected, asked = call.expected_fingerprint, call.task.dimensions
    while expected is not None and call.should_verify:
        found = call.server.fingerprint(asked) or (yield from fetch_fingerprint(call))
        if not expected.matches(found):
            raise model_changed(expected, found, host_of(call.service.url))
        call.server.verified(asked, expected, found)


def embed_verified(inputs: Sequence[bytes], call: EmbeddingCall[RowT]) -> Flow[list[Outcome[RowT]]]:
    """As `embed_batch`; after a failure nothing comes out before the model was seen to be the same.

    So a server that was replaced while the call runs is noticed before its first vector is used.
    """
    outcomes = yield from embed_batch(inputs, call)
    try:
        yield from verify_model(call)
    except HFEndpointError as error:
        return [Outcome(0, len(inputs), error)]
    except CallStopped:
        return []
    return outcomes
