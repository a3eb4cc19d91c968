"""Count for Prometheus.

A label is a route, a status, a lane or the name of an endpoint that exists: never a path, a text,
a URL or a key.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from langchain_hf_endpoint._engine.actions import Progress, WaitReason
from langchain_hf_endpoint._engine.attempts import PROXY_HOLD
from langchain_hf_endpoint._engine.usage import WAITS
from langchain_hf_endpoint._messages import Response
from langchain_hf_endpoint._protocols import tokens_reported
from langchain_hf_endpoint.limiter.schedule import LANES

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint._engine.actions import SendRequest
    from langchain_hf_endpoint._messages import Cause, Failure
    from langchain_hf_endpoint.limiter import Lane

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_CAUSES = {
    WaitReason.COLD_START: "cold_start",
    WaitReason.REFUSED: "refused",
    WaitReason.RETRY: "failed",
}

_TOTALS = {
    "limiter_wait_seconds": "Seconds that requests to a server waited for the rate limit",
    "cold_start_wait_seconds": "Seconds that requests to a server waited for it to start",
    "endpoint_tokens": "Tokens that an endpoint's server has counted, where it does",
}


class Metrics:
    """The figures of one gateway, in a registry of their own.

    Args:
        waiting: Says how many requests wait with inputs that were not sent.
    """

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = own = CollectorRegistry()
        counter, name = partial(Counter, registry=own), "hf_gateway"
        histogram = partial(Histogram, registry=own)
        requests = counter(f"{name}_requests", "Requests answered", ("route", "method", "status"))
        seconds = histogram(
            f"{name}_request_seconds", "From arrival to answer", ("route",), buckets=_SECONDS
        )
        # There are few, and they stay; those of endpoints come and go.
        self._requests, self._seconds = cache(requests.labels), cache(seconds.labels)
        self.in_flight = Gauge(f"{name}_in_flight", "Requests not answered yet", registry=own)
        unsent = Gauge(f"{name}_waiting", "Requests with inputs that were not sent", registry=own)
        unsent.set_function(waiting)
        self.inputs = counter(f"{name}_inputs", "Inputs asked for", ("inference_id", "lane"))
        self.batches = histogram(
            f"{name}_endpoint_batch_inputs",
            "Inputs of each request to an endpoint's server, retries included",
            ("inference_id",),
            buckets=_SIZES,
        )
        self.retries = counter(
            f"{name}_endpoint_retries",
            "Requests to an endpoint's server that were made again, by cause",
            ("inference_id", "cause"),
        )
        self.totals = {
            key: counter(f"{name}_{key}", words, ("inference_id",))
            for key, words in _TOTALS.items()
        }

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered; 499: nobody was there any more."""
        self._requests(route, method, status).inc()
        self._seconds(route).observe(seconds)

    def asked(self, inference_id: str, lane: Lane, inputs: int) -> None:
        """So many inputs were asked for."""
        self.inputs.labels(inference_id, lane).inc(inputs)

    def endpoints(self) -> set[str]:
        """Those that have series."""
        return {
            sample.labels["inference_id"]
            for metric in (self.inputs, self.retries, self.batches, *self.totals.values())
            for family in metric.collect()
            for sample in family.samples
        }

    def forget(self, inference_id: str) -> None:
        """An endpoint is gone: so are its series."""
        series: list[tuple[Counter | Histogram, str]] = [
            *((self.inputs, lane) for lane in LANES),
            *((self.retries, cause) for cause in _CAUSES.values()),
            (self.batches, ""),
            *((total, "") for total in self.totals.values()),
        ]
        for metric, label in series:
            with suppress(KeyError):  # older versions raise where there is nothing to remove
                metric.remove(inference_id, *([label] if label else []))

    def text(self, accept: str) -> tuple[bytes, str]:
        """All figures in the form that the scraper takes, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class EndpointMetrics(Progress):
    """Counts the requests to one endpoint's server."""

    def __init__(self, metrics: Metrics, inference_id: str) -> None:
        self._metrics = metrics
        self._id = inference_id

    def exchanged(
        self, action: SendRequest, reply: Response | Failure | None, seconds: float
    ) -> None:
        """A request was sent."""
        if action.inputs:
            self._metrics.batches.labels(self._id).observe(action.inputs)
            if isinstance(reply, Response) and reply.status == HTTPStatus.OK:
                self._add("endpoint_tokens", tokens_reported(reply) or 0)
        if PROXY_HOLD in action.request.headers:
            self._add("cold_start_wait_seconds", seconds)

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:  # noqa: ARG002 - the base's
        """A request waits: for the limiter, or to be made again."""
        if why in _CAUSES:
            self._metrics.retries.labels(self._id, _CAUSES[why]).inc()
        if why in WAITS:
            self._add(WAITS[why], seconds)

    def _add(self, total: str, value: float) -> None:
        self._metrics.totals[total].labels(self._id).inc(value)
