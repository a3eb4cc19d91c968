"""Who follows a call: a progress bar, a span, both or nobody."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.tracing import call_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._engine.actions import Progress, WaitReason


def followers(operation: str, url: str, *, show_bar: bool, is_current: bool) -> Progress | None:
    """Whoever is to be told how a call goes; None where nobody is.

    Args:
        operation: The method that was called.
        url: The endpoint's.
        show_bar: Whether the user wants a progress bar.
        is_current: Whether the call runs to its end without giving way to its caller's other work.
    """
    bar = ProgressBar("embedding") if show_bar else None
    span = call_span(operation, url, is_current=is_current)
    return CompositeProgress((span, bar)) if span and bar else span or bar


class CompositeProgress:
    """Passes everything on to each."""

    def __init__(self, several: Sequence[Progress]) -> None:
        self._several = several

    def planned(self, chunks: int) -> None:
        for one in self._several:
            one.planned(chunks)

    def done(self, chunks: int) -> None:
        for one in self._several:
            one.done(chunks)

    def waits(self, why: WaitReason, seconds: float) -> None:
        for one in self._several:
            one.waits(why, seconds)

    def close(self, error: BaseException | None = None) -> None:
        for one in self._several:
            one.close(error)


_WORTH_SAYING = 0.5  # seconds; shorter waits are the limiter's ordinary pace


class ProgressBar:
    """Shows one call on standard error, or in a notebook."""

    def __init__(self, what: str) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 - it loads long and is seldom wanted

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

    def waits(self, why: WaitReason, seconds: float) -> None:
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
