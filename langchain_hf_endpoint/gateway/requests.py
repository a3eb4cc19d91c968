"""Read a request: its body, query and time limit, checked before they are used."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

import orjson
from starlette.requests import ClientDisconnect

from langchain_hf_endpoint.gateway.errors import Refusal, illegal, not_parsed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Sequence

    from starlette.requests import Request

    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.gateway.config import GatewayOptions
    from langchain_hf_endpoint.limiter import Lane

T = TypeVar("T")

_PLAIN_JSON = "application/json"
_ELASTIC_JSON = "application/vnd.elasticsearch+json"
_VERSIONS = ("8", "9")
_COMMON = frozenset({"pretty", "human", "error_trace", "filter_path"})
_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 1_000_000
_DRAINED = 8  # times the limit that is read and dropped, so that the sender hears the answer
_UNITS = {"nanos": 1e-9, "micros": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(rf"(\d{{1,9}})({'|'.join(_UNITS)})")
_DEFAULT_SECONDS = 30.0
_WATCHED_AFTER = 0.05
_MOST_NAMES = 100
_MOST_VALUES = 1000
_MOST_LEVELS = 20
_MOST_CHARACTERS = 100_000
_FEW_BYTES = 50_000
_BYTES_IN_A_TURN = 50_000
_LEAST_BYTES = 2000  # that a request takes as long as
_MOST_IN_A_BODY = 120_000


class Turns:
    """Lets as much work through in one turn of the loop as does not keep the others waiting.

    Args:
        most: Of whatever the work is measured in. What is larger is done alone, if last in a turn.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, work: int) -> None:
        """Go on in this turn or, where enough is done in it, in one that follows; in order."""
        # Nothing was done in this turn so far: the first one has the end of the turn noticed.
        if self._left == self._most:
            asyncio.get_running_loop().call_soon(self._next)
        if self._left > 0 and not self._waiting:
            self._left -= work
            return
        mine = asyncio.get_running_loop().create_future()
        self._waiting.append((mine, work))
        await mine

    def _next(self) -> None:
        self._left = self._most
        while self._waiting and self._left > 0:
            mine, work = self._waiting.popleft()
            if not mine.done():  # its request may be gone
                mine.set_result(None)
                self._left -= work
        if self._left < self._most:
            asyncio.get_running_loop().call_soon(self._next)


class WaitingBytes:
    """The bytes of requests that are held, of all that are not answered yet."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self.parsing = Turns(_BYTES_IN_A_TURN)


class Lease:
    """The bytes of one request, which are given back when the block ends."""

    def __init__(self, waiting: WaitingBytes) -> None:
        self._waiting = waiting
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.held -= self._bytes

    async def turn(self, size: int) -> None:
        """Let the loop turn between bodies that arrive at the same time: each takes a while."""
        await self._waiting.parsing.take(max(size, _LEAST_BYTES))

    def take(self, more: int) -> None:
        """Hold more."""
        if self._waiting.held + more > self._waiting.most:
            raise Refusal(
                429,
                "es_rejected_execution_exception",
                "the requests that wait hold as many bytes as this gateway takes "
                "(its operator sets them, --max-waiting-bytes). Try again later.",
                headers={"Retry-After": "5", "Connection": "close"},
            )
        self._waiting.held += more
        self._bytes += more


async def json_object(request: Request, options: GatewayOptions) -> dict[str, Any]:
    """The body, a JSON object."""
    try:
        async with asyncio.timeout(options.request_seconds):
            body = await _body(request, options.max_body_bytes)
    except TimeoutError:
        raise Refusal(
            408,
            "status_exception",
            f"The request body was not complete within {options.request_seconds:g} s",
            headers={"Connection": "close"},
            code="timeout",
        ) from None
    # After the body: most clients hear no answer before they have sent all of it.
    _check_media_type(request)
    await request.state.lease.turn(len(body))
    if not body.strip():
        raise not_parsed("Request body is empty")
    _check_values(body, max(_MOST_IN_A_BODY, 2 * options.max_inputs))
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # Its text names the place, not the content, which may be private.
        raise not_parsed(f"The request body is no JSON: {error.msg} at {error.pos}") from None
    if not isinstance(content, dict):
        raise not_parsed("The request body must be a JSON object")
    return content


async def _body(request: Request, most: int) -> bytes:
    lease: Lease = request.state.lease
    coding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    unpacking = zlib.decompressobj(_GZIP) if coding in ("gzip", "x-gzip") else None
    refusal = None if unpacking or coding in ("", "identity") else _unknown_coding()
    parts: list[bytes] = []
    sent = size = 0
    async for part in request.stream():
        sent += len(part)
        if refusal is None:
            try:
                for piece in _unpacked(part, unpacking, most - size):
                    size += len(piece)
                    lease.take(len(piece))
                    parts.append(piece)
                    if len(piece) > _FEW_BYTES:
                        await lease.turn(len(piece))
                if size > most:
                    raise _too_large(most)
            except Refusal as error:
                refusal = error
                parts.clear()
        if sent > most * _DRAINED:
            break  # the rest is left unread, and the connection is closed
    if refusal is not None:
        raise refusal
    if unpacking and sent and not unpacking.eof:
        raise not_parsed("The request body ends in the middle of its gzip coding")
    return b"".join(parts)


def _unknown_coding() -> Refusal:
    return Refusal(
        415,
        "media_type_header_exception",
        "Content-Encoding must be gzip or identity",
        headers={"Accept-Encoding": "gzip"},
    )


def _too_large(most: int) -> Refusal:
    return Refusal(
        413,
        "content_too_long_exception",
        f"The request body is over {most} bytes",
        headers={"Connection": "close"},
    )


def _unpacked(part: bytes, unpacking: zlib._Decompress | None, most: int) -> Iterator[bytes]:
    """The bytes behind a part of a body: of a gzip one at most one piece more than are allowed."""
    if unpacking is None:
        yield part
        return
    while part:
        if unpacking.eof:
            raise not_parsed("The request body goes on behind the end of its gzip coding")
        try:
            # A thousand times as much may be packed as arrives: it is unpacked piece by piece,
            # never past the limit.
            piece = unpacking.decompress(part, min(_PIECE, most + 1))
        except zlib.error:
            raise not_parsed("The request body is not in the gzip coding") from None
        part = unpacking.unconsumed_tail or unpacking.unused_data
        most -= len(piece)
        yield piece
        if most < 0:
            return


def _check_media_type(request: Request) -> None:
    given = request.headers.get("content-type", "")
    name, _, parameters = given.partition(";")
    name = name.strip().lower()
    if name == _PLAIN_JSON or (name == _ELASTIC_JSON and _version_of(parameters) in _VERSIONS):
        return
    shown = printable(given, 100)
    raise Refusal(
        406, "media_type_header_exception", f"Content-Type header [{shown}] is not supported"
    )


def printable(text: str, most: int) -> str:
    """The beginning of what a caller sent, as a message may repeat it."""
    return re.sub(r"[^ -~]", "?", text[:most])


def _version_of(parameters: str) -> str:
    found = re.search(r"compatible-with\s*=\s*\"?(\d+)", parameters)
    return found[1] if found else ""


def answer_type(request: Request) -> str:
    """The media type that the client takes: Elastic's own, if it says so and knows our version."""
    for one in request.headers.get("accept", "").split(","):
        name, _, parameters = one.partition(";")
        version = _version_of(parameters)
        if name.strip().lower() == _ELASTIC_JSON and version in _VERSIONS:
            return f"{_ELASTIC_JSON};compatible-with={version}"
    return _PLAIN_JSON


def check_query(request: Request, *allowed: str) -> None:
    """Refuse parameters that mean nothing here."""
    unknown = sorted(set(request.query_params) - _COMMON - set(allowed))
    if unknown:
        names = ", ".join(printable(name, 60) for name in unknown[:5])
        raise illegal(f"request contains unrecognized parameter: [{names}]")


def flag(request: Request, name: str) -> bool:
    """A parameter that is set or not: ``?force`` and ``?force=true`` are the same."""
    value = request.query_params.get(name)
    if value not in (None, "", "true", "false"):
        raise illegal(f"Failed to parse value of [{name}]: only [true] or [false] are allowed")
    return value in ("", "true")


def seconds(request: Request) -> float | None:
    """``?timeout=``, by default 30 seconds; ``-1`` is without an end: None."""
    value = request.query_params.get("timeout")
    if value is None:
        return _DEFAULT_SECONDS
    if value == "-1":
        return None
    found = _TIME.fullmatch(value)
    if found is None:
        raise illegal(
            "failed to parse [timeout] as a time value: it needs a number and a unit, like 30s"
        )
    return int(found[1]) * _UNITS[found[2]]


def check_fields(content: dict[str, Any], allowed: Iterable[str]) -> None:
    """Refuse fields that mean nothing here."""
    known = set(allowed)
    unknown = list(islice((name for name in content if name not in known), _MOST_NAMES))
    if unknown:
        # A name may be anything, a key typed in the wrong place included: only plain ones are told.
        plain = [name for name in unknown if re.fullmatch(r"[a-z_]{1,30}", name)]
        named = ", ".join(f"[{name}]" for name in plain[:5]) or "with a name that is no field's"
        raise not_parsed(f"unknown field {named}; allowed here: {', '.join(sorted(known))}")


def _check_values(body: bytes, most: int) -> None:
    """Refuse JSON of so many values that making them takes seconds: 4 for 19 MB of ``[],``."""
    if len(body) <= _FEW_BYTES:
        return
    # What stands between quotes are texts, whose commas and brackets are none of the JSON's.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # A value has two texts at most, its name and itself, and thus four quotes.
    is_too_much = plain.count(b'"') > 4 * most
    if not is_too_much:
        between = b"".join(plain.split(b'"')[::2])
        is_too_much = sum(between.count(mark) for mark in (b",", b"[", b"{")) > most
    if is_too_much:
        raise not_parsed(f"The request body holds more than {most} values")


def check_size(settings: object) -> None:
    """Refuse settings of more values or levels than any have, before anything is made of each.

    Likewise where a name or a text is longer than any is.
    """
    # Level by level and not by recursion: callers decide how deep it is.
    level, seen = [settings], 0
    for _ in range(_MOST_LEVELS):
        inner: list[object] = []
        for part in level:
            if any(len(text) > _MOST_CHARACTERS for text in _texts_of(part)):
                raise not_parsed(
                    f"the settings hold a name or a text of over {_MOST_CHARACTERS} characters"
                )
            if isinstance(part, (dict, list)):
                seen += len(part)
                if seen > _MOST_VALUES:
                    raise not_parsed(
                        f"the settings hold {seen} values or more, at most {_MOST_VALUES} are "
                        "allowed"
                    )
                inner.extend(part.values() if isinstance(part, dict) else part)
        if not inner:
            return
        level = inner
    raise not_parsed(f"the settings are nested over {_MOST_LEVELS} levels deep")


def _texts_of(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield from islice(part, _MOST_VALUES)


def note(request: Request, endpoint: InferenceEndpoint, texts: Sequence[str], lane: Lane) -> None:
    """For the access log: of which endpoint, how many, in which lane."""
    request.state.record.update(inference_id=endpoint.inference_id, inputs=len(texts), lane=lane)


async def while_there(request: Request, work: Awaitable[T], seconds: float | None = None) -> T:
    """Do the work as long as the client is there and its time is not over; else break it off.

    Args:
        request: Its body has been read.
        work: What to do.
        seconds: None: no limit of time.
    """
    loop = asyncio.get_running_loop()
    leaving: asyncio.Task[None] | None = None
    is_gone = False
    limit = asyncio.timeout(seconds)

    async def leave() -> None:
        nonlocal is_gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        if not limit.expired():
            is_gone = True
            # The work is ended through its time limit, which can tell its own cancellation from
            # that of a server that stops.
            limit.reschedule(loop.time())

    def watch() -> None:
        nonlocal leaving
        leaving = loop.create_task(leave())

    # Most work is done sooner, and needs no second task.
    watching = loop.call_later(_WATCHED_AFTER, watch)
    try:
        async with limit:
            return await work
    except TimeoutError:
        if is_gone:
            raise ClientDisconnect from None
        if not limit.expired():
            raise  # a time limit of the work itself
        raise Refusal(
            504, "status_exception", f"Request timed out after [{seconds:g}s]", code="timeout"
        ) from None
    finally:
        watching.cancel()
        if leaving is not None:
            leaving.cancel()
