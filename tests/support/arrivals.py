"""Texts to send to the double, and what its log says about them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from langchain_hf_endpoint.testing import expected_vector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_hf_endpoint.testing import Arrival, ScriptedEndpoint

ENOUGH = 60.0
"""Seconds after which something hangs, on however busy a machine."""


def numbered(count: int, what: str = "text") -> list[str]:
    """So many texts, each like no other, and like none of another `what`."""
    return [f"{what} {number}" for number in range(count)]


def are_right(vectors: object, texts: list[str]) -> bool:
    """Whether these are the vectors of these texts, bit for bit."""
    wanted = np.stack([expected_vector(text) for text in texts])
    return np.array_equal(np.asarray(vectors, np.float32), wanted)


def wait_for_posts(double: ScriptedEndpoint, count: int = 1) -> None:
    """Return as soon as so many have arrived."""
    deadline = time.monotonic() + ENOUGH
    while len(double.requests) < count:
        assert time.monotonic() < deadline, f"{count} requests do not arrive"
        time.sleep(0.01)


def texts_of(entries: Iterable[Arrival]) -> set[str]:
    """All texts in these requests."""
    return {text for entry in entries for text in entry.texts}


def most_at_once(entries: Iterable[Arrival]) -> int:
    """How many of these requests, and no others, were being answered at the same time."""
    moments = []
    for entry in entries:
        moments += [(entry.monotonic, 1), (entry.finished or float("inf"), -1)]
    most = now = 0
    for _, step in sorted(moments):
        now += step
        most = max(most, now)
    return most
