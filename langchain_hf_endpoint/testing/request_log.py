"""The log of what arrived: when, what, with which headers, and what became of it.

It knows that a key may be asserted on, but not printed. It must not know how requests are read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
        texts: What it asks to embed, in order.
        body_bytes: The length of its body.
        connection: The number of its connection; those that were kept alive have several requests.
        texts_in_flight: Texts being answered when it arrived, its own included.
        fault: The kind of fault that it met; empty for none.
        status: The status that it was answered with; 0 for none (so far).
        finished: When the last of its answer was about to be sent, on `time.monotonic`; 0 while it
            was not.
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

    def finish(self) -> None:
        """Note that the answer is complete. For the endpoint."""
        self.finished = time.monotonic()
