"""What may be asked of a limiter of requests per minute, and what holds where nothing is asked.

It knows the allowed ranges. It must not know where a limiter keeps its count.
"""

from __future__ import annotations

import math

from langchain_hf_endpoint.errors import SettingsError

_MOST_SHARE = 0.5  # with more, documents would go before queries


def burst_of(requests_per_minute: int, asked: int | None) -> int:
    """The burst that was asked for, or a second's worth; between 1 and the limit."""
    return max(1, requests_per_minute // 60) if asked is None else min(asked, requests_per_minute)


def check_limits(
    requests_per_minute: int,
    burst: int | None = None,
    period: float = 60.0,
    document_share: float = 0.0,
) -> None:
    """Refuse what no limiter can keep.

    Raises:
        SettingsError: naming every argument that is out of its range, and the range.
    """
    problems = []
    if not _is_integer(requests_per_minute) or requests_per_minute < 1:
        allowed = "must be an integer of at least 1"
        problems.append(("requests_per_minute", f"{allowed}, not {requests_per_minute!r}"))
    elif burst is not None and not (_is_integer(burst) and 1 <= burst <= requests_per_minute):
        allowed = f"must be an integer from 1 to requests_per_minute ({requests_per_minute})"
        problems.append(("burst", f"{allowed}, not {burst!r}"))
    if not 0 < period < math.inf:
        problems.append(("period", f"must be a positive number of seconds, not {period!r}"))
    if isinstance(document_share, bool) or not 0 <= document_share <= _MOST_SHARE:
        allowed = f"must be a number from 0 to {_MOST_SHARE}"
        problems.append(("document_share", f"{allowed}, not {document_share!r}"))
    if problems:
        raise SettingsError(*problems)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
