"""Read how long a server asks to wait, from whichever header or field says so."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._protocols.base import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from langchain_hf_endpoint._messages import Response

_TOO_MANY_REQUESTS, _NOT_READY = 429, 503
_NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_DURATION = re.compile(r"(?<![\d.])(\d{1,20}(?:\.\d{0,20})?) ?(ms|us|µs|ns|[dhms])", re.ASCII)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
_PARAMETER = re.compile(r"\b(r|t|remaining|reset) ?= ?(\d+)", re.ASCII)
_OF_A_LIMIT = re.compile("rate-?limit")
"""``x-ratelimit-reset-requests`` (OpenAI), ``ratelimit-reset`` (Kong), ``x-rate-limit-…``."""
_LONGEST = 200  # characters of a header that may be about time
_MOST = 10  # times in one header

_TIMES_OF_DAY = (1e9, 1e10)
"""Seconds since 1970 from 2001 to 2286; as a time to wait they would be 31 years and more."""
_PARTS_OF_A_SECOND = (1.0, 1e3, 1e6, 1e9)


def wait_asked(response: Response, clock: Callable[[], float]) -> float | None:
    """Return the seconds that a response without vectors asks to wait; the longest of several.

    What is no number of seconds, or a negative one, counts as not said. What is absurdly long is
    passed on: it is the retry policy that knows a limit.

    Args:
        response: The response.
        clock: The time of day, in seconds since 1970, for times in a response that has no ``Date``.
    """
    now = _now(response.headers, clock)
    asked = _retry_after(response.headers, now)
    unsaid = response.status == _TOO_MANY_REQUESTS and asked is None
    waits = (asked, _until_reset(response.headers, now, unsaid=unsaid))
    return max((wait for wait in waits if wait is not None), default=None)


def wait_foretold(headers: Mapping[str, str], clock: Callable[[], float]) -> float | None:
    """Return the seconds until more is allowed, where a success says that nothing is left.

    The headers stand in every response: those that leave something ask for no wait.
    """
    if _OF_A_LIMIT.search("\n".join(headers)) is None:
        return None
    return _until_reset(headers, _now(headers, clock), unsaid=False)


def _now(headers: Mapping[str, str], clock: Callable[[], float]) -> float:
    """The server's time of day, which may not be ours."""
    date = _timestamp(headers.get("date", ""))
    return clock() if date is None else date


def _retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds or a date (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after), or other times.

    Azure's and OpenAI's ``retry-after-ms`` says the same more exactly.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (wait := _seconds(headers.get(name, ""), now, 1e-3)) is not None:
            return wait
    asked = headers.get("retry-after", "")
    if (wait := _seconds(asked, now)) is not None:
        return wait
    # Said twice, by a server and a proxy before it: joined by a comma, which dates have, too.
    waits = (_seconds(one, now) for one in asked.split(",")[:_MOST])
    return max((wait for wait in waits if wait is not None), default=None)


def _until_reset(headers: Mapping[str, str], now: float, *, unsaid: bool) -> float | None:
    """The longest time until one of the limits allows more that allow nothing now.

    Args:
        headers: Of the response.
        now: The time of day.
        unsaid: Whether a limit counts of which the response does not say what remains.
    """
    waits = [*_parameters(headers.get("ratelimit", ""))]
    for name, value in headers.items():
        if not (_OF_A_LIMIT.search(name) and "reset" in name):
            continue
        left = headers.get(name.removesuffix("-ms").replace("reset", "remaining"))
        if unsaid if left is None else _is_zero(left):
            scale = 1e-3 if name.endswith("-ms") else 1.0
            waits.append(_seconds(value, now, scale) or 0.0)
    return max((wait for wait in waits if wait > 0), default=None)


def _is_zero(value: str) -> bool:
    value = value.strip()[:_LONGEST]
    return value.startswith("-") or (_NUMBER.fullmatch(value) is not None and float(value) == 0)


def _parameters(value: str) -> Iterator[float]:
    """Read ``RateLimit: "api";r=0;t=55``: nothing remains, until in 55 seconds.

    A second is added, as huggingface_hub does: https://huggingface.co/docs/hub/rate-limits. Older
    drafts of the header have ``limit=100, remaining=0, reset=55``.
    """
    value = value[: 10 * _LONGEST]
    for policy in [value] if "remaining" in value else value.split(","):
        found = dict(_PARAMETER.findall(policy))
        left, until = (found.get("r", found.get("remaining")), found.get("t", found.get("reset")))
        if left is not None and until is not None and _is_zero(left):
            yield float(until) + 1 if len(until) <= _LONGEST else 0.0


def _seconds(value: str, now: float, scale: float = 1.0) -> float | None:
    """Read a time to wait, or a time of day, in any of the ways in which servers write them.

    Args:
        value: ``17``, ``2.5``, ``6m0s``, ``20ms``, ``1795893149`` or in thousandths of it, or a
            date of either kind.
        now: The time of day.
        scale: The unit of a bare number, in seconds.
    """
    value = value.strip()
    if len(value) > _LONGEST:
        return None
    if not _NUMBER.fullmatch(value):
        until = _timestamp(value)
        return _duration(value) if until is None else max(0.0, until - now)
    number = float(value)
    for parts in _PARTS_OF_A_SECOND:
        if _TIMES_OF_DAY[0] <= number / parts < _TIMES_OF_DAY[1]:
            return max(0.0, number / parts - now)
    return number * scale if isfinite(number) else None


def _duration(value: str) -> float | None:
    """Read ``1h2m3.5s``."""
    rest = _DURATION.sub("", value)
    parts = _DURATION.findall(value)
    if not parts or rest.strip():
        return None
    return sum(float(number) * _UNITS.get(unit, 1e-9) for number, unit in parts)


def _timestamp(date: str) -> float | None:
    """Read a date of HTTP's, or of RFC 3339."""
    date = date.strip()
    if len(date) > _LONGEST:
        return None
    try:
        parsed = datetime.fromisoformat(date) if date[:4].isdigit() else parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def estimated_wait(response: Response) -> float | None:
    """Return the seconds that a server takes itself to need for starting.

    Read the old serverless API's 503: ``{"error": "… loading", "estimated_time": 20.0}``.
    """
    if response.status != _NOT_READY:
        return None
    try:
        answer = parsed(response.body)
    except orjson.JSONDecodeError:
        return None
    seconds = answer.get("estimated_time") if isinstance(answer, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        return None
    return float(seconds)
