"""How long requests have waited for a rate limit, and whether it is what holds the work back."""

from __future__ import annotations

import threading
from typing import NamedTuple

_WORTH_SAYING = 10.0  # seconds


class Held(NamedTuple):
    """Seconds in which requests waited for the limit, of how many in all."""

    waited: float
    elapsed: float


def holds_back(held: Held) -> bool:
    """Whether the limit, and not the server, is what the work waits for most of the time."""
    return held.waited >= _WORTH_SAYING and held.waited > held.elapsed / 2


class LimitWaits:
    """The waits of all who share a limit; a moment in which several wait counts once.

    What follows a long time in which nobody waited is looked at anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said = False
        self._paused_until = 0.0
        self._begin(0.0)

    def _begin(self, now: float) -> None:
        self._since = self._counted_to = self._until = now
        self._waited = 0.0

    def paused(self, until: float) -> None:
        """The server has asked for a pause: waits before that moment are its doing."""
        with self._lock:
            self._paused_until = max(self._paused_until, until)

    def add(self, now: float, seconds: float) -> Held | None:
        """A request begins to wait; returns what is worth saying, once."""
        with self._lock:
            if self._said:
                return None
            if now < self._paused_until:
                self._begin(now)
                return None
            self._waited += max(0.0, min(now, self._until) - self._counted_to)
            self._counted_to, self._until = now, max(self._until, now + seconds)
            held = Held(self._waited, now - self._since)
            self._said = holds_back(held)
            if not self._said and held.elapsed >= _WORTH_SAYING and held.waited <= held.elapsed / 2:
                self._begin(now)
                self._until = now + seconds
            return held if self._said else None
