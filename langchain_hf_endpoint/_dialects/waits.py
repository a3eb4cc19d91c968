"""How long a server asks to wait: one number from whichever header or field says so.

It knows the spellings. It must not know whether anybody will wait.
"""

from __future__ import annotations

import re
from datetime import timezone
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_hf_endpoint._wire import Reply

_NOT_READY = 503
_SECONDS = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_PARAMETER = re.compile(r";\s*(r|t)\s*=\s*(\d+)", re.ASCII)


def wait_asked(reply: Reply, clock: Callable[[], float]) -> float | None:
    """Return the seconds that a reply asks to wait; the longest if several parts of it do.

    What is no number of seconds, or a negative one, counts as not said. What is absurdly long is
    passed on: it is the retry policy that knows a limit.

    Args:
        reply: The reply.
        clock: The time of day, in seconds since 1970, for dates in a reply that has no ``Date``.
    """
    waits = (
        _retry_after(reply.headers, clock),
        _rate_limit(reply.headers.get("ratelimit", "")),
        _estimated_time(reply),
    )
    return max((wait for wait in waits if wait is not None), default=None)


def _retry_after(headers: Mapping[str, str], clock: Callable[[], float]) -> float | None:
    """Seconds, or a date (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after).

    A date is relative to the server's clock, which may not be ours.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        seconds = float(value)
        return seconds if isfinite(seconds) else None
    until = _timestamp(value)
    if until is None:
        return None
    now = _timestamp(headers.get("date", ""))
    return max(0.0, until - (clock() if now is None else now))


def _timestamp(date: str) -> float | None:
    """Read an HTTP date."""
    try:
        parsed = parsedate_to_datetime(date)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _rate_limit(value: str) -> float | None:
    """Read ``RateLimit: "api";r=0;t=55``: nothing remains, until in 55 seconds.

    The header comes with every reply, so it asks for a wait only where ``r`` is 0. A second is
    added, as huggingface_hub does: https://huggingface.co/docs/hub/rate-limits
    """
    waits = []
    for policy in value.split(","):
        parameters = dict(_PARAMETER.findall(policy))
        if parameters.get("r", "").strip("0") == "" and "r" in parameters and "t" in parameters:
            waits.append(float(parameters["t"]) + 1)
    return max((wait for wait in waits if isfinite(wait)), default=None)


def _estimated_time(reply: Reply) -> float | None:
    """Read the old serverless API's 503: ``{"error": "… loading", "estimated_time": 20.0}``."""
    if reply.status != _NOT_READY:
        return None
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None
    seconds = answer.get("estimated_time") if isinstance(answer, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        return None
    return float(seconds)
