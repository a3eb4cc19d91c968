"""Send one request: slot, permit, response; and keep how long a failing one is tried again."""

from __future__ import annotations

import dataclasses
import logging
import time
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from langchain_hf_endpoint._engine.actions import (
    AcquireSlot,
    AskLimiter,
    CallStopped,
    SendRequest,
    Sleep,
    WaitReason,
)
from langchain_hf_endpoint._engine.retry_policy import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._messages import Cause, Failure, Response
from langchain_hf_endpoint._protocols import wait_foretold
from langchain_hf_endpoint._session.concurrency import Slot
from langchain_hf_endpoint._urls import host_of, is_dedicated_endpoint, is_loopback
from langchain_hf_endpoint.errors import HFEndpointError, RateLimitedError
from langchain_hf_endpoint.limiter.reservation import ReservingLimiter, reserve_from

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_hf_endpoint._engine.actions import Action, ActionResult
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._engine.retry_policy import RetryPolicy
    from langchain_hf_endpoint._messages import Request
    from langchain_hf_endpoint.limiter.reservation import Reservation

    T = TypeVar("T")
    Flow: TypeAlias = Generator[Action, ActionResult, T]

_logger = logging.getLogger(__name__)

_TOO_MANY_REQUESTS = 429
_LONG = 5.0  # seconds of trying after which the user is told
_SOON_UP = 15.0  # seconds in which a server on this machine may begin to listen
PROXY_HOLD = "X-Scale-Up-Timeout"
_HOLD_MARGIN = 5.0  # seconds by which the proxy's hold stays below our own time-out
_WHY = {Cause.NOT_READY: WaitReason.COLD_START, Cause.RATE_LIMITED: WaitReason.REFUSED}


@dataclasses.dataclass(frozen=True, slots=True)
class GivenUp:
    """A failure after which nothing more is tried for these inputs as they are."""

    failure: Failure  # the last one
    attempts: int  # how many requests failed in a row
    is_wrong_route: bool = False  # whether another route may fare better
    # Whether smaller requests would not either: the server asks for a longer wait than there is
    # time.
    is_over: bool = False


class RetryState:
    """The attempts at one thing: how many there were, and whether there is another."""

    count = 0  # since the last success
    _last: Failure | None = None
    _failing_since: float | None = None
    _said = False

    def __init__(self, call: Call) -> None:
        self.call = call

    def succeeded(self) -> None:
        """Begin anew: the next part of a batch has the whole budget."""
        self._failing_since, self._last, self.count = None, None, 0

    def send(
        self, request: Request, inputs: int, timeout: float, *, is_retry: bool = True
    ) -> Flow[Response | Failure | GivenUp]:
        """One attempt; where a retry's permit comes too late, what failed before says more."""
        patience = self.seconds_left if is_retry else None
        try:
            return (yield from send_once(request, inputs, timeout, self.call, patience))
        except RateLimitedError:
            if self._last is None:
                raise
            return GivenUp(self._last, self.count, is_over=True)

    @property
    def seconds_left(self) -> float | None:
        """How long the next attempt may wait for its permit; None for the first: any time."""
        if self._failing_since is None:
            return None
        return max(0.0, self.call.policy.max_wait - self._elapsed(self._failing_since))

    def after(self, failure: Failure) -> Sleep | None:
        """Count a failed attempt and say how to go on; None where there is to be no other.

        Tells those who share the endpoint what a refusal means for them. The budget begins with
        the first failure: a long wait for the first permit must not use it up.
        """
        call, self._last = self.call, failure
        self.count += 1
        if self._failing_since is None:
            self._failing_since = call.clock()
        elapsed = self._elapsed(self._failing_since)
        usual = call.server.latency_seconds
        policy = _policy_for(failure, call)
        delay = policy.delay(failure, self.count, elapsed, usual)
        _slow_down(failure, delay, call)
        if failure.cause not in WORTH_ANOTHER_TRY | {Cause.PROTOCOL}:
            # The server has answered. What is sent next, smaller or elsewhere, is no retry.
            self._failing_since = None
        if delay is None:
            return None
        self._tell(failure, delay, elapsed, policy.max_wait)
        return Sleep(delay, _WHY.get(failure.cause, WaitReason.RETRY), failure.cause)

    def soon(self, failure: Failure) -> Sleep | None:
        """A short pause after a failure that is the inputs' or chance; None: no time is left."""
        since = self._failing_since
        delay = self.call.policy.soon(0.0 if since is None else self._elapsed(since))
        return None if delay is None else Sleep(delay, WaitReason.RETRY, failure.cause)

    @property
    def is_spent(self) -> bool:
        """Whether no time is left for another try."""
        return self.seconds_left == 0

    def _tell(self, failure: Failure, delay: float, elapsed: float, max_wait: float) -> None:
        """Say that it is tried again: loudly where nothing listens, or once it takes long."""
        host = host_of(self.call.service.url)
        if failure.refused and self._is_worth_saying(_LONG):
            _logger.warning(
                "nothing listens at %s; trying again for %.0f s (max_wait)",
                failure.proxy or host,
                max_wait,
            )
            return
        status = "" if failure.status is None else f"HTTP {failure.status}, "
        _logger.log(
            logging.WARNING if self._is_worth_saying(elapsed) else logging.DEBUG,
            "%s: attempt %d failed: %s (%s%s); next in %.1f s, for %.0f s in all (max_wait)",
            host,
            self.count,
            failure.cause.value,
            status,
            self.call.redactor.text(failure.text),
            delay,
            max_wait,
        )

    def _elapsed(self, since: float) -> float:
        return self.call.clock() - since

    def _is_worth_saying(self, elapsed: float) -> bool:
        """Once for each call that takes long: ten silent minutes are a mystery."""
        first = elapsed >= _LONG and not self._said
        self._said = self._said or first
        return first


def _policy_for(failure: Failure, call: Call) -> RetryPolicy:
    """On this machine a server that is not up is seldom about to be."""
    hopeless = failure.refused and is_loopback(call.service.url) and not call.server.has_worked
    if not hopeless or call.policy.max_wait <= _SOON_UP:
        return call.policy
    return dataclasses.replace(call.policy, max_wait=_SOON_UP)


def _slow_down(failure: Failure, delay: float | None, call: Call) -> None:
    call.server.is_waking = failure.cause is Cause.NOT_READY
    if failure.cause is Cause.NOT_READY or failure.timed_out:
        call.window.refused(is_waking=call.server.is_waking)
    elif failure.cause is not Cause.RATE_LIMITED:
        return
    stated = None if failure.is_estimate else failure.retry_after
    if stated and delay is not None:
        _pause(stated, call)


def _heed(reply: Response, call: Call) -> None:
    """Send nothing more for a while where a good reply says that nothing more is allowed.

    A wait beyond `max_wait` is not begun: the refusal that follows says it to the user.
    """
    wait = wait_foretold(reply.headers, time.time)
    if wait is None or wait > call.policy.max_wait:
        return
    if isinstance(call.limiter, ReservingLimiter):
        host = host_of(call.service.url)
        _logger.info("%s allows no more requests: the next leaves in %.1f s", host, wait)
        _pause(wait, call)


def _pause(seconds: float, call: Call) -> None:
    """Let nobody start for so long, since the server says so."""
    if isinstance(call.limiter, ReservingLimiter):
        call.session.limit_waits.paused(call.clock() + seconds)
        call.limiter.penalize_soon(seconds)


def _pause_for_limit(seconds: float, call: Call) -> Sleep:
    """Wait for a permit; say once that it is the limit that holds the work back."""
    limiter = call.limiter
    held = call.session.limit_waits.add(call.clock(), seconds)
    if held is not None and isinstance(limiter, ReservingLimiter):
        rate, size = limiter.requests_per_minute, call.batch_size
        _logger.warning(
            "%s: the limit of %d requests per minute, not the server, holds the work back: "
            "requests have waited for it in %.0f of the last %.0f s. With %d texts in each it "
            "allows %.0f texts per second. If the server may have more, raise "
            "rate_limit.requests_per_minute.",
            host_of(call.service.url),
            rate,
            held.waited,
            held.elapsed,
            size,
            rate / 60 * size,
        )
    return Sleep(seconds, WaitReason.LIMITER)


def send_once(
    request: Request, inputs: int, timeout: float, call: Call, patience: float | None = None
) -> Flow[Response | Failure]:
    """One attempt: a place in the window, a permit of the limiter, then the request.

    Raises:
        RateLimitedError: The permit is more than `patience` seconds away.
        HFEndpointError: A limiter that is kept elsewhere does not answer.
    """
    slot = Slot(inputs, call.lane)
    reservation: Reservation | None = None
    try:
        yield AcquireSlot(call.window, slot)
        reservation = reserve_from(call.limiter, call.lane, patience)
        while (seconds := (yield from _delay_of(reservation))) > 0:
            # The slot is for others meanwhile: a query may pass a document that waits.
            call.window.release(slot)
            yield told(_pause_for_limit(seconds, call), call)
            slot = Slot(inputs, call.lane)
            yield AcquireSlot(call.window, slot)
        started = call.clock()
        if call.server.is_waking:
            request = _held_by_proxy(request, timeout)
        action = SendRequest(request, timeout, inputs, call.tokenizer)
        if call.followers:
            reply = yield from _followed(action, call)
        else:
            reply = yield action
        assert isinstance(reply, (Response, Failure))  # noqa: S101 - the driver's promise for SendRequest
        if isinstance(reply, Failure) or reply.status >= 500:  # noqa: PLR2004 - the server fails
            call.server.doubt()
        if isinstance(reply, Failure):
            return reply
        if reply.status < 300:  # noqa: PLR2004 - a success
            seconds = call.clock() - started
            call.server.latency_seconds = seconds
            call.window.replied(slot, seconds)
            _heed(reply, call)
            return reply
        if reply.status == _TOO_MANY_REQUESTS:
            call.window.refused_at(slot.in_flight)
        return call.redactor.response(reply)
    finally:
        call.window.release(slot)
        if reservation is not None:
            reservation.give_back()  # of no effect once the permit is taken


def told(pause: Sleep, call: Call) -> Sleep:
    """The same pause; those who follow the call are told of it."""
    for one in call.followers:
        one.waits(pause.why, pause.seconds, pause.cause)
    return pause


def _followed(action: SendRequest, call: Call) -> Flow[ActionResult]:
    """Send a request, and tell those who follow the call of it, also where it is broken off."""
    begun, reply, is_sent = time.monotonic(), None, True
    try:
        reply = yield action
    except (CallStopped, HFEndpointError):
        is_sent = False
        raise
    finally:
        if is_sent:
            known = reply if isinstance(reply, (Response, Failure)) else None
            for one in call.followers:
                one.exchanged(action, known, time.monotonic() - begun)
    return reply


def _delay_of(reservation: Reservation) -> Flow[float]:
    """How long to sleep before asking again; 0.0: the permit is taken."""
    if not reservation.is_remote:
        return reservation.delay()
    seconds = yield AskLimiter(reservation.delay, reservation.adelay)
    assert isinstance(seconds, float)  # noqa: S101 - the driver's promise for AskLimiter
    return seconds


def _held_by_proxy(request: Request, timeout: float) -> Request:
    """Have Hugging Face's proxy hold a request to an endpoint that is starting.

    Without the header it answers 503 at once, and waiting costs many requests:
    https://huggingface.co/docs/inference-endpoints/autoscaling
    """
    if not is_dedicated_endpoint(request.url):
        return request
    seconds = str(max(1, int(timeout - _HOLD_MARGIN)))
    return dataclasses.replace(request, headers={**request.headers, PROXY_HOLD: seconds})
