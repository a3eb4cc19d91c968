"""A progress bar: chunks done of all, rate, time left, and what the call waits for, in words.

It knows tqdm. It must not know what is embedded.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from langchain_hf_endpoint._engine.actions import Waiting

_WORTH_SAYING = 0.5  # seconds; shorter waits are the limiter's ordinary pace


class ProgressBar:
    """Shows one call on standard error, or in a notebook."""

    def __init__(self, what: str) -> None:
        self._lock = threading.Lock()
        self._bar = tqdm(desc=what, unit="chunk", total=0)
        self._said_until = 0.0

    def planned(self, chunks: int) -> None:
        """So many chunks are known of by now."""
        with self._lock:
            self._bar.total = chunks
            self._bar.refresh()

    def done(self, chunks: int) -> None:
        """So many more chunks have their vectors."""
        with self._lock:
            if self._said_until and time.monotonic() > self._said_until:
                self._bar.set_postfix_str("", refresh=False)
                self._said_until = 0.0
            self._bar.update(chunks)

    def waits(self, why: Waiting, seconds: float) -> None:
        """A request waits."""
        if seconds < _WORTH_SAYING:
            return
        with self._lock:
            self._said_until = time.monotonic() + seconds
            self._bar.set_postfix_str(f"{why.value}, {seconds:.0f} s")

    def close(self, error: BaseException | None = None) -> None:  # noqa: ARG002 - the caller sees it
        """The call is over."""
        with self._lock:
            self._bar.close()
