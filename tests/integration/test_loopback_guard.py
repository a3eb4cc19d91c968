"""The guard of conftest.py: no test leaves this machine."""

from __future__ import annotations

import asyncio
import socket

import pytest

GUARD = "tests reach loopback only"


def test_other_addresses_are_refused():
    with socket.socket() as plug, pytest.raises(RuntimeError, match=GUARD):
        plug.connect(("192.0.2.1", 80))


def test_other_names_are_not_even_looked_up():
    with pytest.raises(RuntimeError, match=GUARD):
        socket.getaddrinfo("example.com", 443)


async def test_it_holds_for_asynchronous_clients():
    with pytest.raises(RuntimeError, match=GUARD):
        await asyncio.open_connection("192.0.2.1", 80)
