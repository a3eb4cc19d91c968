"""Hugging Face's proxy in front of an endpoint: keys, sleeping, paused."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from langchain_hf_endpoint.testing import tei

from .engine import unless_gone
from .wire import Refusal

if TYPE_CHECKING:
    from .engine import Left
    from .settings import Settings
    from .wire import Request


class Proxy:
    """Lets a request through, holds it, or refuses it. Sleeps until the first that is allowed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ready_at: float | None = None

    async def gate(self, request: Request, left: Left) -> None:
        """Return when the request may pass to the server behind."""
        settings = self._settings
        if settings.api_key and request.key != settings.api_key:
            raise Refusal(tei.unauthorized())
        if settings.paused:
            raise Refusal(tei.paused())
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
            raise Refusal(tei.asleep())
