"""A call as an OpenTelemetry span, where opentelemetry-api is installed and somebody records.

No text, vector or key is told: only counts, waits, the host and the class of an error. Attribute
names follow the conventions for embeddings calls where there is one:
https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_hf_endpoint._engine.actions import WaitReason
from langchain_hf_endpoint._package import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from langchain_hf_endpoint._engine.actions import Progress

_WORTH_AN_EVENT = 0.5  # seconds: shorter waits for the limiter are its ordinary pace
_PREFIX = "hf_endpoint"


def call_span(operation: str, url: str, *, is_current: bool) -> Progress | None:
    """Begin the span of a call.

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
        if why is not WaitReason.LIMITER or seconds >= _WORTH_AN_EVENT:
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
