"""What a call must know of its server before its first input is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.discovery import fetch_server_info
from langchain_hf_endpoint._engine.model_fingerprint import fetch_fingerprint, verify_model

if TYPE_CHECKING:
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call


def prepare(call: Call) -> Flow[None]:
    """Ask the server what the inputs depend on; of no effect where all is known.

    Raises:
        HFEndpointError: The server cannot be reached, is not ready even after `max_wait`, or
            cannot serve the call.
        ModelChangedError: It has another model than the one that the call expects.
    """
    if call.should_fetch_info:
        yield from fetch_server_info(call)
    if call.cache is not None:
        yield from fetch_fingerprint(call)
    if call.should_verify:
        yield from verify_model(call)
