"""One connection to an origin: a request and its whole reply at a time.

The grammar of HTTP/1.1 is h11's, but for bodies of known length, which are taken as they come. It
must not know which connections there are.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import h11
import httpcore

from langchain_hf_endpoint._mishaps import LARGEST_REPLY, ReplyTooLargeError

_OK = 200
_LONGEST_HEAD = 100 * 1024  # as httpcore has it, over which threads send


class Connection(asyncio.Protocol):
    """One connection: a request and its reply at a time.

    Attributes:
        origin: Where it leads.
        lost: Done when the socket is closed.
        idle_since: When its last reply was complete.
    """

    def __init__(self, origin: httpcore.Origin, register: set[Connection]) -> None:
        self.origin = origin
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.idle_since = 0.0
        self._register = register
        self._peer = _peer()
        self._replied: asyncio.Future[h11.Response] | None = None
        self._response: h11.Response | None = None
        self._early = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._length = 0

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent: the answer to none before it is still to come."""
        is_free = self._peer.our_state is h11.IDLE and not self._early
        return is_free and not self._transport.is_closing()

    async def exchange(
        self, request: httpcore.Request, body: bytes
    ) -> tuple[h11.Response, list[bytes]]:
        """Send a request, return its reply."""
        self._parts, self._size, self._length = [], 0, 0
        self._replied = asyncio.get_running_loop().create_future()
        head = h11.Request(
            method=request.method, target=request.url.target, headers=request.headers
        )
        # In one piece: a system call less, and the server sees the whole request at once.
        whole = b"".join(
            self._peer.send(event) or b""
            for event in (head, h11.Data(data=body), h11.EndOfMessage())
        )
        if not self.lost.done():
            self._transport.write(whole)
        if self._early:
            self._take(self._early)
        if self.lost.done():  # nobody else will say so
            self._fail(httpcore.ReadError("Server disconnected before it was asked."))
        response = await self._replied
        parts, self._parts = self._parts, []  # not held while nobody uses the connection
        return response, parts

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        # Of a stream, so one that writes; uvloop's are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._register.add(self)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if self._is_waiting:
            self._take(data)
        elif self._replied is None:
            # A server that has no room says so before it is asked, and uvloop reads that first.
            self._early += data
        else:  # out of turn
            self.abort()

    def eof_received(self) -> None:
        """The server sends no more; a reply without a length is complete so."""
        if self._is_waiting:
            self._take(b"")

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        if error is None:
            self.eof_received()
        else:
            broken = httpcore.ReadError(str(error))
            broken.__cause__ = error
            self._fail(broken)
        self._register.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)

    @property
    def _is_waiting(self) -> bool:
        return self._replied is not None and not self._replied.done()

    def _take(self, data: bytes) -> None:
        if self._length:
            self._take_of_body(data)
            return
        if not data and self._peer.their_state is h11.SEND_RESPONSE:
            text = "Server disconnected without sending a response."
            self._fail(httpcore.RemoteProtocolError(text))
            return
        try:
            self._peer.receive_data(data)
            self._read()
        except h11.RemoteProtocolError as error:
            self._fail(httpcore.RemoteProtocolError(str(error)))

    def _read(self) -> None:
        """Take what is complete of the reply."""
        while True:
            event = self._peer.next_event()
            if isinstance(event, h11.Data):
                self._size += len(event.data)
                if self._size > LARGEST_REPLY:
                    self._fail(ReplyTooLargeError())
                    return
                self._parts.append(bytes(event.data))
            elif isinstance(event, h11.Response):
                self._response = event
                self._length = _stated_length(event)
                if self._length:
                    begun, _ = self._peer.trailing_data
                    if begun:
                        self._take_of_body(begun)
                    return
            elif isinstance(event, h11.EndOfMessage):
                self._finish()
                return
            elif not isinstance(event, h11.InformationalResponse):  # no more for now
                return

    def _take_of_body(self, data: bytes) -> None:
        """Take a piece of a body of known length; h11 would copy it four times."""
        self._size += len(data)
        if self._length > LARGEST_REPLY:
            self._fail(ReplyTooLargeError())
        elif not data:
            text = f"Server disconnected after {self._size} of {self._length} bytes."
            self._fail(httpcore.RemoteProtocolError(text))
        elif self._size <= self._length:
            self._parts.append(data)
        else:  # more than it said: what follows is not to be taken for the next reply
            self._parts.append(data[: self._length - self._size])
            self._peer.send_failed()
        if self._size >= self._length and self._is_waiting:
            if self._peer.our_state is h11.DONE:  # and not to be closed
                self._peer = _peer()
            self._finish()

    def _finish(self) -> None:
        if self._peer.our_state is h11.DONE and self._peer.their_state is h11.DONE:
            self._peer.start_next_cycle()
        if self._response is not None and self._replied is not None:
            self._replied.set_result(self._response)

    def _fail(self, error: Exception) -> None:
        if self._replied is not None and not self._replied.done():
            self._replied.set_exception(error)
            # After an interrupt nobody waits any more, and asyncio would print it.
            self._replied.exception()

    def close(self) -> None:
        """Say farewell."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._transport.close()

    def abort(self) -> None:
        """Close the socket at once."""
        with contextlib.suppress(RuntimeError):
            self._transport.abort()


def _peer() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)


def _stated_length(response: h11.Response) -> int:
    """The length of the body, as h11 has checked it; 0 where it is not stated, or is none."""
    headers = dict(response.headers)
    if response.status_code != _OK or b"transfer-encoding" in headers:
        return 0
    return int(headers.get(b"content-length", 0))
