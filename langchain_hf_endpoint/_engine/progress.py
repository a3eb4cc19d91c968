"""Who follows a call: a progress bar, a log, a span, metrics, the usage of a block, or nobody."""

from __future__ import annotations

import logging
import sys
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from langchain_hf_endpoint._engine.actions import Progress, WaitReason
from langchain_hf_endpoint._engine.usage import CURRENT, EmbeddingUsage
from langchain_hf_endpoint._package import __version__
from langchain_hf_endpoint._urls import host_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Span

    from langchain_hf_endpoint._engine.call import EmbeddingCall
    from langchain_hf_endpoint._messages import Cause

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")

_PREFIX = "hf_endpoint"
_WORTH_SAYING = 0.5  # seconds; shorter waits are the limiter's ordinary pace
_EVERY = 30.0  # seconds between the lines of a log


def followed(
    call: EmbeddingCall[RowT], operation: str, *, show_bar: bool = False, is_current: bool = True
) -> EmbeddingCall[RowT]:
    """The call, which begins now, with whoever is to be told how it goes.

    Args:
        call: Which one.
        operation: The method that was called.
        show_bar: Whether the user wants a progress bar.
        is_current: Whether the call runs to its end without giving way to its caller's other work.
    """
    url, several = call.service.url, [*CURRENT.get()]
    if (telemetry := call_telemetry(operation, url, is_current=is_current)) is not None:
        several.append(telemetry)
    for one in several:
        one.begin()
    following: list[Progress] = [*several]
    if show_bar:
        following.append(ProgressBar("embedding") if _has_terminal() else ProgressLog(url))
    return call.followed_by(*following) if following else call


def _has_terminal() -> bool:
    """Whether a line can be written over; in a notebook it can."""
    stream = sys.stderr
    return "ipykernel" in sys.modules or (stream is not None and stream.isatty())


class ProgressBar(Progress):
    """Shows one call on standard error, or in a notebook."""

    def __init__(self, what: str) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 - it loads long and is seldom wanted

        self._lock = threading.Lock()
        self._bar = tqdm(desc=what, unit="chunk", total=0)
        self._planned = 0
        self._said_until = 0.0

    def planned(self, inputs: int, texts: int = 0, chunks: int = 0) -> None:  # noqa: ARG002 - of no interest
        with self._lock:
            self._planned += inputs
            self._bar.total = self._planned
            self._bar.refresh()

    def done(self, inputs: int) -> None:
        with self._lock:
            if self._said_until and time.monotonic() > self._said_until:
                self._bar.set_postfix_str("", refresh=False)
                self._said_until = 0.0
            self._bar.update(inputs)

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:  # noqa: ARG002 - as above
        if seconds < _WORTH_SAYING:
            return
        with self._lock:
            self._said_until = time.monotonic() + seconds
            self._bar.set_postfix_str(f"{why.value}, {seconds:.0f} s")

    def close(self, error: BaseException | None = None) -> None:  # noqa: ARG002 - the caller sees it
        with self._lock:
            self._bar.close()


class LoggedUsage(EmbeddingUsage):
    """Counts how far calls are, and what a request waits for; says so about every half minute.

    Attributes:
        say: Says it, asked at every event that comes late enough; None: nobody does.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        prices: tuple[float | None, float | None] = (None, None),
    ) -> None:
        super().__init__(*prices, clock=clock)
        self.say: Callable[[], None] | None = None
        self._waits_until = self._said_at = clock()
        self._why = ""
        self.begin()

    @property
    def embedded(self) -> int:
        """Chunks that are embedded, or failed."""
        return self._done

    def rate(self) -> float:
        """So many of them a second."""
        return self.embedded / max(self.seconds, 1e-6)

    def waiting(self) -> tuple[str, float]:
        """What a request waits for at this moment, in words, and for how many seconds more."""
        left = self._waits_until - self.clock()
        return (self._why, left) if left > 0 else ("", 0.0)

    def done(self, inputs: int) -> None:
        super().done(inputs)
        self.tick()

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:
        super().waits(why, seconds, cause)
        until = self.clock() + seconds
        with self._lock:
            if seconds >= _WORTH_SAYING and until > self._waits_until:
                self._waits_until, self._why = until, why.value
        self.tick()

    def tick(self) -> None:
        """Say how far it is, if it is time."""
        now = self.clock()
        with self._lock:
            if self.say is None or now < self._said_at + _EVERY:
                return
            self._said_at = now
        self.say()


class ProgressLog(LoggedUsage):
    """Logs one call where there is no terminal: its start, how far it is, and its end."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)
        self._host = host_of(url)
        self.say = self._say
        _logger.info("%s: embedding begins", self._host)

    def exchanged(self, *_: object) -> None:
        self.tick()  # what it costs is not asked here

    def close(self, error: BaseException | None = None) -> None:
        self._say(f"; ended with {type(error).__qualname__}" if error else "; done")

    def _say(self, ending: str | None = None) -> None:
        planned, rate, (why, _) = self.chunks - self.repeats_saved, self.rate(), self.waiting()
        if ending is None:
            ending = f", about {(planned - self.embedded) / rate:.0f} s left" if rate else ""
            ending += f"; {why}" if why else ""
        message = "%s: %d of %d chunks embedded in %.0f s, %.0f a second%s"
        _logger.info(message, self._host, self.embedded, planned, self.seconds, rate, ending)


def call_telemetry(operation: str, url: str, *, is_current: bool) -> CallTelemetry | None:
    """Begin the span of a call: where opentelemetry-api is installed and somebody records.

    No text, vector or key is told: only counts, waits, the host and the class of an error.
    Names follow the conventions for embeddings calls where there is one:
    https://opentelemetry.io/docs/specs/semconv/gen-ai/

    Args:
        operation: The method, such as ``embed_documents``: the span's name.
        url: Where the endpoint is; only host and port are told.
        is_current: Whether what happens until `close` in this thread or task, requests included,
            belongs under it. Not for generators, whose caller does other things in between.

    Returns:
        What is told how the call goes; None where nobody records spans or metrics.
    """
    if find_spec("opentelemetry") is None:
        return None
    try:
        from opentelemetry import metrics, trace  # noqa: PLC0415 - an optional package
    except ImportError:  # a namespace package without the API
        return None
    parts = urlsplit(url)
    attributes: dict[str, str | int] = {
        "gen_ai.operation.name": "rerank" if operation == "rerank" else "embeddings",
        "gen_ai.provider.name": "hugging_face",
        "server.address": parts.hostname or "",
    }
    if parts.port is not None:
        attributes["server.port"] = parts.port
    tracer = trace.get_tracer("langchain_hf_endpoint", __version__)
    span = tracer.start_span(operation, attributes=attributes)
    # Those that the API has of its own record nothing.
    is_metered = not type(metrics.get_meter_provider()).__module__.startswith(metrics.__name__)
    if not (span.is_recording() or is_metered):
        return None
    meter = metrics.get_meter("langchain_hf_endpoint", __version__) if is_metered else None
    return CallTelemetry(span, meter, attributes, is_current=is_current and span.is_recording())


class CallTelemetry(EmbeddingUsage):
    """Counts one call, and tells its span and OpenTelemetry's metrics."""

    def __init__(
        self,
        span: Span,
        meter: Meter | None,
        attributes: dict[str, str | int],
        *,
        is_current: bool,
    ) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415 - an optional package

        super().__init__()
        self._span, self._meter, self._attributes = span, meter, attributes
        self._waited = dict.fromkeys(WaitReason, 0.0)
        self._leave = None
        if is_current:
            token = context.attach(trace.set_span_in_context(span))
            self._leave = lambda: context.detach(token)

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:
        """A request waits: every retry is an event, a permit only where it takes long."""
        super().waits(why, seconds, cause)
        with self._lock:
            self._waited[why] += seconds
        if why is not WaitReason.LIMITER or seconds >= _WORTH_SAYING:
            self._span.add_event(why.value, {f"{_PREFIX}.wait.seconds": round(seconds, 3)})

    def close(self, error: BaseException | None = None) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an optional package

        super().close(error)
        if self._leave is not None:
            self._leave()
        said: dict[str, float | str] = {f"{_PREFIX}.chunks.done": self._done}
        if planned := self.chunks - self.repeats_saved:
            said[f"{_PREFIX}.chunks.planned"] = planned
        for why, seconds in self._waited.items():
            if seconds:
                said[f"{_PREFIX}.wait.{why.name.lower()}.seconds"] = round(seconds, 3)
        for name, value in self.figures().items():
            said[f"{_PREFIX}.usage.{name}"] = value
        if self.tokens is not None:
            said["gen_ai.usage.input_tokens"] = self.tokens
        if error is not None:  # no message: it may hold a server's words
            said["error.type"] = type(error).__qualname__
            self._span.set_status(StatusCode.ERROR)
        self._span.set_attributes(said)
        self._span.end()
        if self._meter is not None:
            self._record(self._meter, error)

    def _record(self, meter: Meter, error: BaseException | None) -> None:
        about = dict(self._attributes)
        if error is not None:
            about["error.type"] = type(error).__qualname__
        for name, value in self.figures().items():
            unit = "s" if name.endswith("seconds") else "1"
            meter.create_counter(f"{_PREFIX}.usage.{name}", unit).add(value, about)
        duration = meter.create_histogram("gen_ai.client.operation.duration", "s")
        duration.record(self.seconds, about)
        if self.tokens:
            tokens = meter.create_histogram("gen_ai.client.token.usage", "{token}")
            tokens.record(self.tokens, {**about, "gen_ai.token.type": "input"})
