"""One request after another until there is an answer: places, permits, and when to try again.

It knows how a request is sent and how long it is persisted. It must not know what is in a reply
beyond its status.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from langchain_hf_endpoint._steps import AcquireFrom, Enter, Pause, Send, Waiting
from langchain_hf_endpoint._urls import host_of, is_dedicated_endpoint
from langchain_hf_endpoint._wire import Cause, Reply
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_hf_endpoint._call import Call
    from langchain_hf_endpoint._steps import Answer, Step
    from langchain_hf_endpoint._wire import Failure, Request

    T = TypeVar("T")
    Conversation: TypeAlias = Generator[Step, Answer, T]

_logger = logging.getLogger("langchain_hf_endpoint")

_HOLD_MARGIN = 5.0  # seconds by which the proxy's hold stays below our own time-out
_WHY = {Cause.NOT_READY: Waiting.COLD_START, Cause.RATE_LIMITED: Waiting.REFUSED}


class Attempts:
    """The attempts at one thing: how many there were, and whether there is another.

    Attributes:
        count: How many were made.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._failing_since: float | None = None
        self.count = 0

    def after(self, failure: Failure) -> Pause | None:
        """Count a failed attempt and say how to go on; None where there is to be no other.

        Tells those who share the endpoint what a refusal means for them. The budget begins with
        the first failure: a long wait for the first permit must not use it up.
        """
        call, now = self._call, self._call.clock()
        self.count += 1
        if self._failing_since is None:
            self._failing_since = now
        delay = call.policy.delay(failure, self.count, now - self._failing_since)
        _slow_down(failure, delay, call)
        if delay is None:
            return None
        _logger.debug(
            "%s: attempt %d failed (%s, HTTP %s); next in %.1f s",
            host_of(call.service.url),
            self.count,
            failure.cause.value,
            failure.status,
            delay,
        )
        return Pause(delay, _WHY.get(failure.cause, Waiting.RETRY))


def _slow_down(failure: Failure, delay: float | None, call: Call) -> None:
    call.learned.is_waking = failure.cause is Cause.NOT_READY
    if failure.cause not in (Cause.RATE_LIMITED, Cause.NOT_READY):
        return
    call.window.refused(is_waking=call.learned.is_waking)
    stated = failure.retry_after
    if stated and delay is not None and isinstance(call.limiter, RequestsPerMinuteLimiter):
        call.limiter.penalize(stated)


def send(
    request: Request, inputs: int, timeout: float, call: Call
) -> Conversation[Reply | Failure]:
    """One attempt: a place in the window, a permit of the limiter, then the request."""
    place = call.window.place(inputs, call.lane)
    try:
        yield Enter(place)
        yield from _take_permit(call)
        started = call.clock()
        reply = yield Send(_held_by_proxy(request, timeout, call), timeout)
        assert reply is not None  # noqa: S101 - the driver's promise for Send
        if isinstance(reply, Reply) and reply.status < 300:  # noqa: PLR2004 - a success
            seconds = call.clock() - started
            call.learned.latency_seconds = seconds
            call.window.replied(inputs, seconds)
        return reply
    finally:
        place.leave()


def _take_permit(call: Call) -> Conversation[None]:
    if not isinstance(call.limiter, RequestsPerMinuteLimiter):
        yield AcquireFrom(call.limiter)
        return
    turn = call.limiter.reserve(call.lane)
    try:
        while (seconds := turn.wait()) > 0:
            yield Pause(seconds, Waiting.LIMITER)
    finally:
        turn.give_back()  # of no effect once the permit is taken


def _held_by_proxy(request: Request, timeout: float, call: Call) -> Request:
    """Have Hugging Face's proxy hold a request to an endpoint that is starting.

    Without the header it answers 503 at once, and waiting costs many requests:
    https://huggingface.co/docs/inference-endpoints/autoscaling
    """
    if not (call.learned.is_waking and is_dedicated_endpoint(request.url)):
        return request
    seconds = str(max(1, int(timeout - _HOLD_MARGIN)))
    return dataclasses.replace(request, headers={**request.headers, "X-Scale-Up-Timeout": seconds})
