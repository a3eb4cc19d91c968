"""What those who share a limiter tell one another of a server: a few numbers, taken as hints."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
    from langchain_hf_endpoint._session.server_state import ServerState

_FACTS = ("width", "batch_size", "body_bytes", "route")
"""Requests that fill the server; inputs and bytes that one may have; the route's place."""

_BEGUN = "begun"  # how many have begun with the width since it was told, this one included
_NOTICEABLE = 1.5  # a width that differs by this factor


def name_of(url: str, model: str | None, *, scores: bool) -> str:
    """What the facts about a server are kept under, which does not show its URL."""
    return hashlib.sha256(repr((url, model, scores)).encode()).hexdigest()[:16]


def take(facts: Mapping[str, int], server: ServerState, window: ConcurrencyWindow) -> None:
    """Begin with what others have found out. What was found out here stays, and so does learning.

    A fact that is not true any more costs little: the window grows and shrinks as ever, smaller
    requests are slower and right, and of the routes only the order changes.
    """
    facts = {name: fact for name, fact in facts.items() if isinstance(fact, int) and fact > 0}
    told = {name: facts[name] for name in _FACTS if name in facts}
    server.hint(told.get("batch_size"), told.get("body_bytes"))
    server.likeliest = told.get("route")
    if "width" in told:
        window.begin_with(told["width"], facts.get(_BEGUN, 0))
        # Less than what was found: who finds it again tells it again, for those to come.
        told["width"] = window.limit
    server.told = told


def news(server: ServerState, window: ConcurrencyWindow) -> dict[str, int]:
    """What is worth telling: what refusals, replies and routes have shown, where that is new.

    What was only heard is not told again. So a fact lapses some time after it was found out.
    """
    inputs, size = server.learned
    place = server.route.place if server.route else 0
    facts = dict(zip(_FACTS, (window.found, inputs, size, place), strict=True))
    told = server.told or {}
    new = {name: fact for name, fact in facts.items() if fact and _is_new(name, fact, told)}
    server.told = told | new
    return new


def _is_new(name: str, fact: int, told: Mapping[str, int]) -> bool:
    before = told.get(name)
    if before is None or name != "width":
        return fact != before
    return not before / _NOTICEABLE < fact < before * _NOTICEABLE
