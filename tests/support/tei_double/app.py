"""The ASGI application: control routes, the script, the log, the proxy, TEI behind."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import socket
import struct
import time
from collections import deque
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import orjson

from langchain_hf_endpoint.testing.corruptions import change
from langchain_hf_endpoint.testing.replies import Reply

from .engine import ClientGone, never, unless_gone
from .proxy import Proxy
from .settings import Entry, Scripted, Settings
from .tei import Tei
from .wire import Refusal, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from .engine import Left
    from .inputs import Inputs

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

CONTROL = "/_double/"


class Aborted(Exception):  # noqa: N818 - what was asked for
    """The connection was reset on purpose."""


class Double:
    """The application. `configure`, `script` and `entries` serve those who run it in-process."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.entries: list[Entry] = []
        self.scripted: deque[Scripted] = deque()
        self._in_flight = 0
        self.configure(settings or Settings())

    def configure(self, settings: Settings) -> None:
        """Be another server from the next request on; a proxy falls asleep again."""
        self.settings = settings
        self.tei = Tei(settings)
        self._proxy = Proxy(settings) if settings.proxy else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        assert scope["type"] == "http", scope["type"]
        arrived = time.time(), time.monotonic()
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, b"")
        if request.path.startswith(CONTROL):
            request.body = await _body(receive)
            await _send(send, self._control(request))
            return
        entry = Entry(request.method, request.path, *arrived, headers)
        self.entries.append(entry)
        self._in_flight += 1
        entry.in_flight = self._in_flight
        try:
            request.body = await _body(receive)
            entry.bytes = len(request.body)
            await Exchange(self, scope, receive, send, entry).run(request)
        except (Aborted, ClientGone):
            entry.status = 0
        finally:
            self._in_flight -= 1
            entry.finished = time.monotonic()

    def next_scripted(self, request: Request) -> Scripted | None:
        """The first scripted reply that is for this request; counted down."""
        for place, reply in enumerate(self.scripted):
            for_it = request.path == reply.path if reply.path else request.method == "POST"
            if not for_it or reply.containing.encode() not in request.body:
                continue
            if reply.times > 1:
                self.scripted[place] = replace(reply, times=reply.times - 1)
            else:
                del self.scripted[place]
            return reply
        return None

    async def genuine(self, request: Request, left: Left, note: Callable[[Inputs], None]) -> Reply:
        """What the server would say."""
        try:
            if self._proxy:
                await self._proxy.gate(request, left)
            return await self.tei.answer(request, left, note)
        except Refusal as refusal:
            return refusal.reply

    def _control(self, request: Request) -> Reply:
        what = request.path.removeprefix(CONTROL)
        given = orjson.loads(request.body) if request.body else None
        if what == "log":
            return Reply(200, orjson.dumps([asdict(entry) for entry in self.entries]))
        if what == "reset":
            self.entries = []
            self.scripted.clear()
            self.configure(Settings(**(given or {})))
        elif what == "config":
            self.configure(replace(self.settings, **(given or {})))
        elif what == "script":
            self.scripted.extend(_scripted(each) for each in given or ())
        else:
            return Reply(404)
        return Reply(200, orjson.dumps(asdict(self.settings)))


class Exchange:
    """One request on its way to an answer: the script, then the genuine reply."""

    def __init__(
        self,
        double: Double,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
        entry: Entry,
    ) -> None:
        self._double = double
        self._scope = scope
        self._receive = receive
        self._send = send
        self._entry = entry

    async def run(self, request: Request) -> None:
        """Answer, and write down how."""
        scripted = self._double.next_scripted(request) if self._double.scripted else None
        if scripted is None:
            reply = await self._double.genuine(request, self._left, self._note)
        else:
            reply = await self._follow(scripted, request)
        self._entry.status = reply.status
        await _send(self._send, reply)

    async def _follow(self, scripted: Scripted, request: Request) -> Reply:
        if scripted.delay:
            await unless_gone(scripted.delay, self._left)
        if scripted.hang:
            await never(self._left)
        if scripted.reset:
            self._abort()
        if scripted.status is None:
            reply = await self._double.genuine(request, self._left, self._note)
            if scripted.change:
                change(reply, scripted.change)
        else:
            reply = Reply(scripted.status, _bytes(scripted.body), headers=dict(scripted.headers))
        if scripted.cut is not None:
            await _send(self._send, reply, cut=scripted.cut)
            await asyncio.sleep(0)
            self._abort()
        return reply

    def _note(self, inputs: Inputs) -> None:
        double, entry = self._double, self._entry
        entry.inputs = len(inputs.texts)
        entry.inputs_in_flight = double.tei.engine.permits.taken
        if double.settings.log_texts:
            entry.texts = inputs.texts

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _abort(self) -> None:
        """Reset the connection: a linger of zero seconds makes a close an RST."""
        transport = self._scope["state"]["transport"]
        plug = transport.get_extra_info("socket")
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        raise Aborted


async def _body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    if not message.get("more_body"):
        return message.get("body", b"")
    parts = [message.get("body", b"")]
    while message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
    return b"".join(parts)


async def _send(send: Send, reply: Reply, *, cut: int | None = None) -> None:
    headers = {"content-length": str(len(reply.body)), **reply.headers}
    if reply.body:
        headers = {"content-type": reply.content_type, **headers}
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    body = {"type": "http.response.body", "body": reply.body[:cut], "more_body": cut is not None}
    await send(body)


def _bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


def _scripted(given: dict[str, Any]) -> Scripted:
    """From the JSON of the control route, where bytes travel as {"base64": ...}."""
    body = given.get("body")
    if isinstance(body, dict) and body.keys() == {"base64"}:
        given = {**given, "body": base64.b64decode(body["base64"])}
    known = {each.name for each in dataclasses.fields(Scripted)}
    unknown = given.keys() - known
    if unknown:
        raise ValueError(unknown)
    return Scripted(**given)
