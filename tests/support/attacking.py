"""Bytes for a gateway, over a connection of their own."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_child import GatewayChild

LAST = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRy01"


def answer_to(gateway: GatewayChild, sent: bytes) -> bytes:
    """Send bytes over a connection of their own, and behind them a request that is the last.

    All that is answered.
    """
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent + LAST)
        parts = []
        with suppress(ConnectionResetError):
            while part := connection.recv(65_536):
                parts.append(part)
    return b"".join(parts)
