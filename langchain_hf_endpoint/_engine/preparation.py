"""What a call must know of its server before its first input is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.discovery import fetch_server_info

if TYPE_CHECKING:
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call


def prepare(call: Call) -> Flow[None]:
    """Ask the server what the inputs depend on; of no effect where all is known.

    Raises:
        HFEndpointError: The server cannot be reached, is not ready even after `max_wait`, or
            cannot serve the call.
    """
    if call.should_fetch_info:
        yield from fetch_server_info(call)
