"""A double of text-embeddings-inference that is made for measuring: it costs next to nothing.

Run in a process of its own as ``python -m benchmarks.tei_server AUTHORITY``; it writes the
authority of its certificate there, prints its two URLs, http and https, and serves until its stdin
ends. Replies are prepared bytes, one for each number of inputs; requests are read by hand. ``POST
/_configure`` makes it another server, ``GET /_log`` says what it served.

The pretended work is exact: a batch is given to the slot that is free first, and begins at the
moment that slot is free, not at the moment a timer wakes up. So what the server can do follows from
its settings alone, and no lateness of this process lowers it.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

_HOST = "127.0.0.1"
OPENAI_PATHS = ("/v1/embeddings", "/embeddings")
REASONS = {200: "OK", 404: "Not Found", 413: "Payload Too Large", 422: "Unprocessable", 429: "Busy"}


@dataclass(frozen=True)
class Behaviour:
    """What kind of server this is.

    Attributes:
        dimensions: Width of the vectors.
        seconds_per_batch: Service time of a request, plus `seconds_per_input` for each input.
        slots: Batches served at once; the others queue.
        slots_at: Pairs of a moment, in seconds after the first batch, and the slots from then on.
        permits: Inputs in the house; more are refused with 429. ``/info`` tells.
        edge: Requests in the house; a proxy refuses more with 429. Nobody tells.
        max_batch: Inputs in a request.
        payload_limit: Bytes in a request.
        alike: All inputs have one vector, so that it is always known for the same model.
    """

    dimensions: int = 384
    seconds_per_batch: float = 0.0
    seconds_per_input: float = 0.0
    slots: int = 64
    slots_at: tuple[tuple[float, int], ...] = ()
    permits: int = 1_000_000
    edge: int = 1_000_000
    max_batch: int = 32
    payload_limit: int = 2_000_000
    alike: bool = False

    @property
    def info(self) -> dict[str, object]:
        """The answer to ``GET /info``."""
        return {
            "model_id": "double/prepared-vectors",
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_concurrent_requests": self.permits,
            "max_input_length": 512,
            "max_client_batch_size": self.max_batch,
            "auto_truncate": True,
            "version": "1.9.3",
        }


class Slots:
    """Which slot serves a batch, and when: a queue in which nobody has to wait to know his end."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._begun: float | None = None
        most = max([behaviour.slots, *(slots for _, slots in behaviour.slots_at)])
        self._free = [(0.0, slot) for slot in range(most)]

    def serve(self, now: float, seconds: float) -> tuple[float, float]:
        """Begin and end of a batch that arrives now and takes so long."""
        if self._begun is None:
            self._begun = now
        while True:
            free, slot = self._free[0]
            begin = self._open(slot, max(now, free))
            if begin <= max(now, free):
                heapq.heapreplace(self._free, (begin + seconds, slot))
                return begin, begin + seconds
            heapq.heapreplace(self._free, (begin, slot))

    def _open(self, slot: int, moment: float) -> float:
        """The first moment from this one on at which the slot exists."""
        changes = [(0.0, self._behaviour.slots), *self._behaviour.slots_at]
        age = moment - (self._begun or moment)
        present = max(place for place, (since, _) in enumerate(changes) if since <= age)
        if slot < changes[present][1]:
            return moment
        for since, slots in changes[present + 1 :]:
            if slot < slots:
                return (self._begun or moment) + since
        return float("inf")


@dataclass
class House:
    """The present behaviour, what is in the house, and the log."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    requests: int = 0
    inputs: int = 0
    connections: int = 0
    log: list[tuple[float, float, float, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slots = Slots(self.behaviour)

    def report(self) -> dict[str, Any]:
        """Batches as (arrival, begin, end, inputs, status), connections, this process's CPU."""
        return {"log": self.log, "connections": self.connections, "cpu": time.process_time()}


@lru_cache(maxsize=4)
def _rows(dimensions: int, most: int) -> tuple[list[bytes], list[bytes]]:
    """Unit vectors, as many as a batch may have, in JSON as TEI writes it and in base64."""
    vectors = np.random.default_rng(dimensions).standard_normal((most, dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = vectors.astype("<f4")
    return (
        [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) for row in rows],
        [b'"%b"' % b64encode(row.tobytes()) for row in rows],
    )


@lru_cache(maxsize=200)
def _vectors(dimensions: int, most: int, count: int, form: str, alike: bool) -> bytes:
    """A whole reply with so many vectors."""
    numbers, base64 = _rows(dimensions, most)
    if alike:
        numbers, base64 = numbers[:1] * most, base64[:1] * most
    if form == "tei":
        return _reply(200, b"[%b]" % b",".join(numbers[:count]))
    rows = (base64 if form == "base64" else numbers)[:count]
    data = b",".join(
        b'{"object":"embedding","embedding":%b,"index":%d}' % (row, index)
        for index, row in enumerate(rows)
    )
    usage = b'{"prompt_tokens":1,"total_tokens":1}'
    return _reply(200, b'{"object":"list","data":[%b],"model":"tei","usage":%b}' % (data, usage))


def _reply(status: int, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _refusal(status: int, kind: str, words: str, *, openai: bool) -> bytes:
    flat = {"message": words, "code": status, "type": kind}
    return _reply(status, orjson.dumps(flat if openai else {"error": words, "error_type": kind}))


class Connection(asyncio.Protocol):
    """Reads requests off one connection and writes the prepared replies."""

    def __init__(self, houses: list[House]) -> None:
        self._houses = houses
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._house.connections += 1

    @property
    def _house(self) -> House:
        return self._houses[-1]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            low = head.lower()
            at = low.find(b"\r\ncontent-length:")
            length = int(low[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            self._answer(method, target.split("?")[0], body)

    def _answer(self, method: str, path: str, body: bytes) -> None:
        if path == "/_configure":
            self._houses[:] = [House(Behaviour(**orjson.loads(body)))]
            self._write(_reply(200, b"{}"))
        elif path == "/_log":
            self._write(_reply(200, orjson.dumps(self._house.report())))
        elif method == "GET":
            known = path == "/info"
            self._write(_reply(200 if known else 404, orjson.dumps(self._house.behaviour.info)))
        elif path in {"/", "/embed", *OPENAI_PATHS}:
            self._embed(path in OPENAI_PATHS, body)
        else:
            self._write(_reply(404, b"{}"))

    def _embed(self, openai: bool, body: bytes) -> None:
        house, now = self._house, time.monotonic()
        asked = orjson.loads(body)
        given = asked["input" if openai else "inputs"]
        count = 1 if isinstance(given, str) else len(given)
        if refused := self._refused(count, len(body), openai=openai):
            house.log.append((now, now, now, count, int(refused[9:12])))
            self._write(refused)
            return
        form = asked.get("encoding_format", "float") if openai else "tei"
        behaviour = house.behaviour
        shape = behaviour.dimensions, behaviour.max_batch
        reply = _vectors(*shape, count, form, behaviour.alike)
        seconds = behaviour.seconds_per_batch + behaviour.seconds_per_input * count
        begin, end = house.slots.serve(now, seconds)
        house.log.append((now, begin, end, count, 200))
        house.requests += 1
        house.inputs += count
        if end <= now:
            self._finish(house, count, reply)
        else:
            loop = asyncio.get_running_loop()
            loop.call_at(loop.time() + end - now, self._finish, house, count, reply)

    def _refused(self, count: int, size: int, *, openai: bool) -> bytes | None:
        house, behaviour = self._house, self._house.behaviour
        if size > behaviour.payload_limit:
            words = "Failed to buffer the request body: length limit exceeded"
            return _refusal(413, "Validation", words, openai=openai)
        if count > behaviour.max_batch:
            words = f"batch size {count} > maximum allowed batch size {behaviour.max_batch}"
            return _refusal(422, "Validation", words, openai=openai)
        if house.inputs + count > behaviour.permits or house.requests >= behaviour.edge:
            return _refusal(429, "Overloaded", "Model is overloaded", openai=openai)
        return None

    def _finish(self, house: House, count: int, reply: bytes) -> None:
        house.requests -= 1
        house.inputs -= count
        self._write(reply)

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def _certificate(authority_file: str) -> ssl.SSLContext:
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(authority_file)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(_HOST).configure_cert(context)
    return context


async def serve(authority_file: str) -> None:
    """Serve on two free loopback ports until the end of stdin."""
    houses = [House()]
    urls = []
    for scheme, context in (("http", None), ("https", _certificate(authority_file))):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind((_HOST, 0))
        await asyncio.get_running_loop().create_server(
            lambda: Connection(houses), sock=listener, backlog=2048, ssl=context
        )
        urls.append(f"{scheme}://{_HOST}:{listener.getsockname()[1]}")
    print(*urls, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if not sys.stdin.isatty():
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    asyncio.run(serve(sys.argv[1]))
