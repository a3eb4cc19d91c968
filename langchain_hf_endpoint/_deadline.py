"""A time limit for a whole request of a synchronous client.

httpx limits the wait for each piece of a reply, so a server that sends a byte now and then could
hold a thread for ever. Here every wait on the socket is cut to what is left of the request's time.

It knows httpcore's network interface. It must not know what is sent.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

_thread = threading.local()
LONGEST_WAIT = 0.5
"""Seconds. An interrupt that comes just before a thread begins to wait does not end the wait:
Python raises it afterwards, which with a server that hangs would be late."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Let the waits of this thread on limited clients end after so many seconds in all."""
    _thread.deadline = time.monotonic() + seconds
    try:
        yield
    finally:
        del _thread.deadline


def limit_waits(sender: httpx.Client | httpx.HTTPTransport) -> None:
    """Make a client or a transport heed `time_limit`.

    httpx has no public way to give its transports a network backend. Where a later version names
    these parts otherwise, its own time-outs remain, and a test fails.
    """
    transports: list[object] = [sender]
    if isinstance(sender, httpx.Client):
        transports = [sender._transport, *sender._mounts.values()]  # noqa: SLF001
    for transport in transports:
        pool = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, httpcore.NetworkBackend):
            pool._network_backend = _LimitedBackend(backend)  # type: ignore[union-attr]  # noqa: SLF001


def _left(timeout: float | None, error: type[httpcore.TimeoutException]) -> float | None:
    deadline: float | None = getattr(_thread, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise error("the time of the request is over")
    return left if timeout is None else min(timeout, left)


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _left(timeout, httpcore.ReadTimeout)
        while left is not None and left > LONGEST_WAIT:
            with suppress(httpcore.ReadTimeout):
                return self._stream.read(max_bytes, LONGEST_WAIT)
            left -= LONGEST_WAIT
        return self._stream.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _LimitedBackend(httpcore.NetworkBackend):
    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        stream = self._backend.connect_tcp(host, port, left, local_address, socket_options)
        return _LimitedStream(stream)

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)
