"""Elastic's ``filter_path``: which parts of an answer the caller wants.

It knows JSON and patterns such as ``endpoints.*.dimensions``, ``**.url``, ``-**.service``. It must
not know what an answer means.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from .problems import Refusal

Pattern: TypeAlias = "tuple[str, ...]"

_MOST_PATTERNS = 50
_MOST_PARTS = 20
_NOTHING = object()


def filtered(content: Any, wanted: str) -> Any:
    """What of the content the patterns name; an empty object where that is nothing.

    Arrays are passed through: a pattern names what is in each of their objects.

    Args:
        content: Objects, arrays and values.
        wanted: Patterns with commas between. Those that begin with ``-`` leave out.

    Raises:
        Refusal: There are more than 50, or one has more than 20 parts.
    """
    given = [one.strip() for one in wanted.split(",") if one.strip()]
    patterns = [tuple(one.removeprefix("-").split(".")) for one in given]
    if len(given) > _MOST_PATTERNS or any(len(one) > _MOST_PARTS for one in patterns):
        reason = f"[filter_path] takes {_MOST_PATTERNS} patterns of {_MOST_PARTS} parts at most"
        raise Refusal(400, "illegal_argument_exception", reason)
    pairs = list(zip(given, patterns, strict=True))
    include = {pattern for text, pattern in pairs if not text.startswith("-")}
    exclude = {pattern for text, pattern in pairs if text.startswith("-")}
    if include:
        content = _included(content, include)
    if exclude and content is not _NOTHING:
        content = _without(content, exclude)
    return {} if content is _NOTHING else content


def _included(content: Any, patterns: set[Pattern]) -> Any:
    if isinstance(content, list):
        kept = [_included(one, patterns) for one in content if isinstance(one, (dict, list))]
        return _some([one for one in kept if one is not _NOTHING])
    found = {}
    for name, part in content.items():
        after = _after(name, patterns)
        if () in after:
            found[name] = part
        elif after and isinstance(part, (dict, list)):
            inner = _included(part, after)
            if inner is not _NOTHING:
                found[name] = inner
    return _some(found)


def _without(content: Any, patterns: set[Pattern]) -> Any:
    if isinstance(content, list):
        kept = [
            _without(one, patterns) if isinstance(one, (dict, list)) else one for one in content
        ]
        return _some([one for one in kept if one is not _NOTHING])
    found = {}
    for name, part in content.items():
        after = _after(name, patterns)
        if () in after:
            continue
        inner = _without(part, after) if after and isinstance(part, (dict, list)) else part
        if inner is not _NOTHING:
            found[name] = inner
    return _some(found)


def _some(kept: Any) -> Any:
    return kept or _NOTHING


def _after(name: str, patterns: set[Pattern]) -> set[Pattern]:
    """What is left of the patterns behind this name; `()` of one that ends with it."""
    after: set[Pattern] = set()
    for first, *rest in patterns:
        if first == "**":
            after.add((first, *rest))
            after |= _after(name, {tuple(rest)}) if rest else {()}
        elif fnmatchcase(name, first.replace("[", "[[]").replace("?", "[?]")):
            after.add(tuple(rest))
    return after
