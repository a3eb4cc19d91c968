"""Hugging Face's proxy in front of an endpoint: keys, sleeping, paused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from .engine import unless_gone
from .wire import Refusal, Reply

if TYPE_CHECKING:
    from .engine import Left
    from .settings import Settings
    from .wire import Request

PAUSED = "Bad Request: The endpoint is paused, ask a maintainer to restart it"


def _said(status: int, error: str, code: str) -> Refusal:
    return Refusal(Reply(status, orjson.dumps({"error": error, "code": code})))


class Proxy:
    """Lets a request through, holds it, or refuses it. Sleeps until the first that is allowed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready_at: float | None = None

    async def gate(self, request: Request, left: Left) -> None:
        """Return when the request may pass to the server behind."""
        settings = self._settings
        if settings.api_key and request.key != settings.api_key:
            raise _said(401, "401 Unauthorized", "UNAUTHORIZED")
        if settings.paused:
            raise _said(400, PAUSED, "BAD_REQUEST")
        if settings.cold_start_seconds is None:
            return
        if self._ready_at is None:
            self._ready_at = time.monotonic() + settings.cold_start_seconds
        missing = self._ready_at - time.monotonic()
        if missing <= 0:
            return
        held = float(request.headers.get("x-scale-up-timeout", 0))
        if held:
            await unless_gone(min(held, missing), left)
        if held < missing:
            raise _said(503, "503 Service Unavailable", "SERVICE_UNAVAILABLE")
