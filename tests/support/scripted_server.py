"""A server in the place of httpx's transport: what it answers is a list of functions.

::

    server.script(refusal(503), vectors)      # the first request, the second
    server.behave(takes_at_most(8))           # every request
"""

from __future__ import annotations

from collections import deque
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

import httpx
import orjson

from langchain_hf_endpoint._protocols import tei_server
from langchain_hf_endpoint.testing import expected_vector, faults
from langchain_hf_endpoint.testing.vectors import base64_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_httpx import HTTPXMock

    Answer = Callable[[httpx.Request], httpx.Response]

WIDTH = 16
HOST = "embed.example.org"
URL = f"https://{HOST}"
INFO = {
    "model_id": "intfloat/some-model",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_concurrent_requests": 512,
    "max_input_length": 512,
    "max_client_batch_size": 64,
    "auto_truncate": True,
    "version": "1.9.3",
}
_JSON = {"content-type": "application/json"}
OVERLOADED = orjson.loads(tei_server.overloaded().body("/"))
ASLEEP = orjson.loads(faults.cold_start().answer.body)
PAUSED = orjson.loads(faults.paused().answer.body)


class ScriptedServer:
    """Answers every request of the test, in whichever thread or loop it is made."""

    def __init__(self, httpx_mock: HTTPXMock) -> None:
        self.requests: list[httpx.Request] = []
        self._script: deque[Answer] = deque()
        self._otherwise: Answer = _unexpected
        self._lock = Lock()
        httpx_mock.add_callback(self._answer, is_reusable=True, is_optional=True)

    def script(self, *answers: Answer) -> None:
        """One answer a request. More requests than answers fail the test."""
        self._script.extend(answers)

    def behave(self, answer: Answer) -> None:
        """The answer to every POST beyond the script; a GET gets a 404, as most servers give."""
        self._otherwise = answer

    @property
    def batches(self) -> list[list[str]]:
        """The inputs of every POST, in order of arrival."""
        return [inputs_of(request) for request in self.requests if request.method == "POST"]

    @property
    def asked(self) -> list[str]:
        """Method and path of every request, in order of arrival."""
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
            answer = self._script.popleft() if self._script else self._otherwise
        if request.method == "GET" and answer is self._otherwise is not _unexpected:
            return httpx.Response(404, json={"detail": "Not Found"})
        return answer(request)


def _unexpected(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"one request too many: {request.method} {request.url}")


def inputs_of(request: httpx.Request) -> list[str]:
    """What a request asks to embed."""
    body = orjson.loads(request.content)
    return body["inputs"] if "inputs" in body else body["input"]


def vector(text: str, width: int = WIDTH) -> list[float]:
    """The vector of a text: no two texts share one."""
    return list(_vector(text, width))


@cache
def _vector(text: str, width: int) -> tuple[float, ...]:
    return tuple(expected_vector(text, width).tolist())


def rows(request: httpx.Request, width: int = WIDTH) -> list[list[float]]:
    """The right vectors for a request."""
    return [vector(text, width) for text in inputs_of(request)]


def vectors(request: httpx.Request) -> httpx.Response:
    """The right answer, in the protocol of the request."""
    if "input" not in orjson.loads(request.content):
        return httpx.Response(200, content=orjson.dumps(rows(request)), headers=_JSON)
    items = (base64_row(text, WIDTH) for text in inputs_of(request))
    return httpx.Response(200, content=tei_server.openai_answer(items, "x", tokens=0))


def answer(status: int, body: object = b"", headers: dict[str, str] | None = None) -> Answer:
    """Always this answer: text or bytes as they are, anything else as JSON."""
    if isinstance(body, (str, bytes)):
        return lambda _request: httpx.Response(status, content=body, headers=headers)
    return lambda _request: httpx.Response(status, json=body, headers=headers)


def failing(error: type[httpx.TransportError], text: str = "it broke") -> Answer:
    """No answer."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error(text, request=request)

    return fail


def spoilt(change: Callable[[list[list[float]]], object]) -> Answer:
    """The right rows, changed."""
    return lambda request: httpx.Response(200, content=_json(change(rows(request))))


def _json(body: object) -> bytes:
    """Python's own JSON, with NaN and Infinity."""
    import json  # noqa: PLC0415 - orjson writes null for them

    return body if isinstance(body, bytes) else json.dumps(body).encode()


def takes_at_most(limit: int, status: int = 422) -> Answer:
    """TEI's `max_client_batch_size`, in its words."""

    def serve(request: httpx.Request) -> httpx.Response:
        given = len(inputs_of(request))
        if given <= limit:
            return vectors(request)
        refused = tei_server.batch_too_large((1, 9), given, limit)
        return httpx.Response(status, content=refused.body(request.url.path))

    return serve


def rejects(marker: str, refusal: Answer) -> Answer:
    """Refuse every batch in which some input holds the marker, without saying which."""

    def serve(request: httpx.Request) -> httpx.Response:
        bad = any(marker in text for text in inputs_of(request))
        return refusal(request) if bad else vectors(request)

    return serve


def numbered(count_: int, word: str = "text") -> Sequence[str]:
    """So many different texts."""
    return [f"{word} {number}" for number in range(count_)]
