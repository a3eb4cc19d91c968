"""Who follows a call: a progress bar, a span, both or nobody."""

from __future__ import annotations

import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_hf_endpoint._engine.actions import WaitReason
from langchain_hf_endpoint._package import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.trace import Span

    from langchain_hf_endpoint._engine.actions import Progress

_PREFIX = "hf_endpoint"
_WORTH_SAYING = 0.5  # seconds; shorter waits are the limiter's ordinary pace


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


def call_span(operation: str, url: str, *, is_current: bool) -> Progress | None:
    """Begin the span of a call: where opentelemetry-api is installed and somebody records.

    No text, vector or key is told: only counts, waits, the host and the class of an error.
    Attribute names follow the conventions for embeddings calls where there is one:
    https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/

    Args:
        operation: The method, such as ``embed_documents``: the span's name.
        url: Where the endpoint is; only host and port are told.
        is_current: Whether what happens until `close` in this thread or task, requests included,
            belongs under it. Not for generators, whose caller does other things in between.

    Returns:
        What is told how the call goes; None where nobody records.
    """
    if find_spec("opentelemetry") is None:
        return None
    try:
        from opentelemetry import trace  # noqa: PLC0415 - an optional package
    except ImportError:  # a namespace package without the API
        return None
    parts = urlsplit(url)
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "hugging_face",
        "server.address": parts.hostname or "",
    }
    if parts.port is not None:
        attributes["server.port"] = parts.port
    tracer = trace.get_tracer("langchain_hf_endpoint", __version__)
    span = tracer.start_span(operation, attributes=attributes)
    return CallSpan(span, is_current=is_current) if span.is_recording() else None


class CallSpan:
    """Tells a span how its call goes."""

    def __init__(self, span: Span, *, is_current: bool) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - an optional package

        self._span = span
        self._lock = threading.Lock()
        self._chunks_planned = 0
        self._chunks_done = 0
        self._waited = dict.fromkeys(WaitReason, 0.0)
        self._leave = None
        if is_current:
            token = context.attach(trace.set_span_in_context(span))
            self._leave = lambda: context.detach(token)

    def planned(self, chunks: int) -> None:
        """So many chunks are known of by now."""
        self._chunks_planned = chunks

    def done(self, chunks: int) -> None:
        """So many more chunks have their vectors."""
        with self._lock:
            self._chunks_done += chunks

    def waits(self, why: WaitReason, seconds: float) -> None:
        """A request waits: every retry is an event, a permit only where it takes long."""
        with self._lock:
            self._waited[why] += seconds
        if why is not WaitReason.LIMITER or seconds >= _WORTH_SAYING:
            self._span.add_event(why.value, {f"{_PREFIX}.wait.seconds": round(seconds, 3)})

    def close(self, error: BaseException | None = None) -> None:
        """The call is over."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an optional package

        if self._leave is not None:
            self._leave()
        if self._chunks_planned:
            self._span.set_attribute(f"{_PREFIX}.chunks.planned", self._chunks_planned)
        self._span.set_attribute(f"{_PREFIX}.chunks.done", self._chunks_done)
        for why, seconds in self._waited.items():
            if seconds:
                name = f"{_PREFIX}.wait.{why.name.lower()}.seconds"
                self._span.set_attribute(name, round(seconds, 3))
        if error is not None:  # no message: it may hold a server's words
            self._span.set_attribute("error.type", type(error).__qualname__)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
