"""The requests that an endpoint logs, and the replies that it gives, as plain values."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from langchain_hf_endpoint._protocols.tei_server import JSON, TEXT, RefusedError

_SECRET = ("authorization", "proxy-authorization", "cookie", "x-api-key")


class Headers(Mapping[str, str]):
    """A request's headers; names in any case. The repr hides what may be a key.

    A header that came more than once has its values in one, with commas between them.
    """

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            before = self._values.get(name.lower())
            self._values[name.lower()] = value if before is None else f"{before}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = {name: "***" if name in _SECRET else value for name, value in self._values.items()}
        return repr(shown)


@dataclass(slots=True)
class Arrival:
    """One request. It is in the log from its arrival on, and filled in as it goes on.

    Attributes:
        time: When it had arrived whole, in seconds since 1970.
        monotonic: The same on `time.monotonic`, which on Linux all processes share.
        method: ``POST``, ``GET``…
        path: Its path, with the query.
        headers: All of them, the key included; shown without it.
        texts: What it asks to embed, in order; of token ids their numbers.
        body_bytes: The length of its body.
        connection: The number of its connection; those that were kept alive have several requests.
        texts_in_flight: Texts being answered when it arrived, its own included.
        fault: The kind of fault that it met; empty for none.
        status: The status that it was answered with; 0 for none (so far).
        finished: When the last of its answer was about to be sent, on `time.monotonic`; 0 while it
            was not.
        tokens: How many tokens its answer says it took; 0 where it does not say.
    """

    time: float
    monotonic: float
    method: str
    path: str
    headers: Headers
    texts: tuple[str, ...]
    body_bytes: int
    connection: int
    texts_in_flight: int = 0
    fault: str = ""
    status: int = 0
    finished: float = 0.0
    tokens: int = 0

    def finish(self) -> None:
        """Note that the answer is complete. For the endpoint."""
        self.finished = time.monotonic()


@dataclass(slots=True)
class Reply:
    """A complete answer.

    Attributes:
        status: The HTTP status.
        body: What follows the head.
        content_type: The header of that name; not sent where the body is empty.
        headers: Further headers.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(status: int, body: object, headers: dict[str, str] | None = None) -> Reply:
    """An answer of text or bytes as they are, of anything else as JSON."""
    if isinstance(body, (str, bytes)):
        content = body.encode() if isinstance(body, str) else body
        return Reply(status, content, TEXT, headers or {})
    return Reply(status, orjson.dumps(body), JSON, headers or {})


def refusal(refused: RefusedError, path: str) -> Reply:
    """TEI's refusal as the answer to a request of this path."""
    return Reply(refused.status, refused.body(path), refused.content_type)


def proxy_refusal(status: int, error: str, code: str) -> Reply:
    """An error of Hugging Face's proxy, which stands before every inference endpoint.

    Source: https://huggingface.co/docs/inference-endpoints.
    """
    return json_reply(status, {"error": error, "code": code})


def unauthorized() -> Reply:
    """No key, or a wrong one: the proxy's 401."""
    return proxy_refusal(401, "401 Unauthorized", "UNAUTHORIZED")
