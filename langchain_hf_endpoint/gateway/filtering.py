"""Elastic's ``filter_path``: which parts of an answer the caller wants.

It knows JSON and patterns such as ``endpoints.*.dimensions``, ``**.url``, ``-**.service``. It must
not know what an answer means.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_hf_endpoint.gateway.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

Pattern: TypeAlias = "tuple[str, ...]"
Patterns: TypeAlias = "frozenset[Pattern]"
_After: TypeAlias = "Callable[[str, Patterns], Patterns]"

_MOST_PATTERNS = 50
_MOST_PARTS = 20
_LONGEST = 2000
_NOTHING = object()


def filtered(content: Any, wanted: str) -> Any:
    """What of the content the patterns name; an empty object where that is nothing.

    Arrays are passed through: a pattern names what is in each of their objects.

    Args:
        content: Objects, arrays and values.
        wanted: Patterns with commas between. Those that begin with ``-`` leave out.

    Raises:
        Refusal: There are more than 50, or one has more than 20 parts, or all are too long.
    """
    if len(wanted) > _LONGEST:
        reason = f"[filter_path] takes {_LONGEST} characters at most"
        raise Refusal(400, "illegal_argument_exception", reason)
    given = [one.strip() for one in wanted.split(",") if one.strip()]
    patterns = [tuple(one.removeprefix("-").split(".")) for one in given]
    if len(given) > _MOST_PATTERNS or any(len(one) > _MOST_PARTS for one in patterns):
        reason = f"[filter_path] takes {_MOST_PATTERNS} patterns of {_MOST_PARTS} parts at most"
        raise Refusal(400, "illegal_argument_exception", reason)
    pairs = list(zip(given, patterns, strict=True))
    include = frozenset(pattern for text, pattern in pairs if not text.startswith("-"))
    exclude = frozenset(pattern for text, pattern in pairs if text.startswith("-"))
    # The objects of an answer have the same few names, thousands of times.
    after: _After = cache(_after)
    if include:
        content = _included(content, include, after)
    if exclude and content is not _NOTHING:
        content = _without(content, exclude, after)
    return {} if content is _NOTHING else content


def _included(content: Any, patterns: Patterns, after_name: _After) -> Any:
    if isinstance(content, list):
        kept = [
            _included(one, patterns, after_name) for one in content if isinstance(one, (dict, list))
        ]
        return _some([one for one in kept if one is not _NOTHING])
    found = {}
    for name, part in content.items():
        after = after_name(name, patterns)
        if () in after:
            found[name] = part
        elif after and isinstance(part, (dict, list)):
            inner = _included(part, after, after_name)
            if inner is not _NOTHING:
                found[name] = inner
    return _some(found)


def _without(content: Any, patterns: Patterns, after_name: _After) -> Any:
    if isinstance(content, list):
        kept = [
            _without(one, patterns, after_name) if isinstance(one, (dict, list)) else one
            for one in content
        ]
        return _some([one for one in kept if one is not _NOTHING])
    found = {}
    for name, part in content.items():
        after = after_name(name, patterns)
        if () in after:
            continue
        is_looked_into = after and isinstance(part, (dict, list))
        inner = _without(part, after, after_name) if is_looked_into else part
        if inner is not _NOTHING:
            found[name] = inner
    return _some(found)


def _some(kept: Any) -> Any:
    return kept or _NOTHING


def _after(name: str, patterns: Patterns) -> Patterns:
    """What is left of the patterns behind this name; `()` of one that ends with it."""
    after: set[Pattern] = set()
    for first, *rest in patterns:
        if first == "**":
            after.add((first, *rest))
            after |= _after(name, frozenset({tuple(rest)})) if rest else {()}
        elif _matches(name, first):
            after.add(tuple(rest))
    return frozenset(after)


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is the pattern, in which ``*`` stands for anything.

    Without a regular expression, which Python would keep for each pattern that callers think of.
    """
    first, *inner = pattern.split("*")
    if not inner:
        return name == pattern
    last = inner.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in inner:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
