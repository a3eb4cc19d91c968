"""What a call must know of its server before its first input is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.discovery import fetch_server_info
from langchain_hf_endpoint._engine.model_fingerprint import fetch_fingerprint, verify_model
from langchain_hf_endpoint._session.server_state import Restriction
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import ServerError

if TYPE_CHECKING:
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call


def prepare(call: Call) -> Flow[None]:
    """Ask the server what the inputs depend on; of no effect where all is known.

    Raises:
        HFEndpointError: The server cannot be reached, is not ready even after `max_wait`, or
            cannot serve the call.
        ServerError: It mixes vectors up.
        ModelChangedError: It has another model than the one that the call expects.
    """
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
