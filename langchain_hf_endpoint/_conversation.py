"""All that passes between us and a server about one batch: a generator that waits for nothing.

It decides what is sent next, what a reply means, when to try again, where to split. A driver
performs each `Step` it yields and sends the answer in. Closing the generator, at whichever step,
gives back the place and the permit it holds.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from langchain_hf_endpoint._dialects import (
    DIALECTS,
    Route,
    candidates,
    conclude,
    declines,
    explain,
    info_request,
    models_request,
    read_info,
    read_model,
    recognise,
    unknown_model,
)
from langchain_hf_endpoint._failing import error_of
from langchain_hf_endpoint._options import options_of, unsupported_settings
from langchain_hf_endpoint._prompts import e5_prompt, needs_e5_prompts
from langchain_hf_endpoint._retrying import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._steps import AcquireFrom, Enter, Pause, Send, Stopped, Waiting
from langchain_hf_endpoint._urls import host_of, is_dedicated_endpoint
from langchain_hf_endpoint._wire import Cause, Failure, Reply
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from langchain_core.rate_limiters import BaseRateLimiter

    from langchain_hf_endpoint._learned import Learned
    from langchain_hf_endpoint._pooling import Keeper
    from langchain_hf_endpoint._retrying import RetryPolicy
    from langchain_hf_endpoint._steps import Answer, Step
    from langchain_hf_endpoint._window import Window
    from langchain_hf_endpoint._wire import InputOptions, Request, Rows
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import ServiceSettings, TaskSettings

    T = TypeVar("T")
    Conversation: TypeAlias = Generator[Step, Answer, T]

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")

_INFO_TIMEOUT = 10.0
_ENOUGH_FOR_INFO = 3
_HOLD_MARGIN = 5.0  # seconds by which the proxy's hold stays below our own time-out
_WHY = {Cause.NOT_READY: Waiting.COLD_START, Cause.RATE_LIMITED: Waiting.REFUSED}


@dataclass(frozen=True, slots=True)
class Call:
    """What the conversations of one call have in common."""

    service: ServiceSettings
    task: TaskSettings
    lane: Lane
    learned: Learned
    window: Window
    limiter: BaseRateLimiter
    policy: RetryPolicy
    sends_key: bool
    redact: Callable[[str], str]
    clock: Callable[[], float] = time.monotonic

    @property
    def batch_size(self) -> int:
        """Inputs per request at present."""
        return self.learned.batch_size(self.service.max_batch_size)

    @property
    def options(self) -> InputOptions:
        """What the server is asked to do with the inputs of this lane."""
        return options_of(self.task, self.lane, self.learned.model)

    @property
    def prompt(self) -> str:
        """The text before each input of this lane: the one set, else E5's own where it is E5."""
        task = self.task
        given = task.query_prompt if self.lane == "query" else task.document_prompt
        if given is not None or self.options.prompt_name is not None:
            return given or ""
        info = self.learned.info
        model = info.model_id if info else None
        if not (needs_e5_prompts(model) or needs_e5_prompts(self.service.url)):
            return ""
        if not self.learned.e5_logged:
            self.learned.e5_logged = True
            _logger.info(
                "%s serves an E5 model (%s): its prompts %r and %r are put before queries and "
                "documents. Set task_settings.query_prompt and document_prompt to change that.",
                host_of(self.service.url),
                model or "named in the URL",
                e5_prompt("query"),
                e5_prompt("document"),
            )
        return e5_prompt(self.lane)

    def error(self, failure: Failure, attempts: int) -> HFEndpointError:
        """Word a failure, without the key even where the server repeats it."""
        failure = dataclasses.replace(failure, text=self.redact(failure.text))
        host = host_of(self.service.url)
        return error_of(failure, host=host, attempts=attempts, sent_key=self.sends_key)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[RowT]):
    """What became of the inputs ``[start:stop]`` of a batch."""

    start: int
    stop: int
    result: Sequence[RowT] | HFEndpointError


def converse(
    inputs: Sequence[str], call: Call, keeper: Keeper[RowT]
) -> Conversation[list[Outcome[RowT]]]:
    """Get the vectors of one batch.

    A batch that the server calls too large is split at the limit it states; one that it rejects is
    halved until the inputs at fault stand alone. The vectors are brought into the form in which
    they are kept here, where the driver's threads share the work.

    Returns:
        One outcome for every input, in no order, each for a run of inputs. None for the inputs
        that were not sent when the call was stopped.
    """
    outcomes: list[Outcome[RowT]] = []
    open_runs = deque([(0, len(inputs))])
    while open_runs:
        start, stop = open_runs.popleft()
        size = call.batch_size
        if stop - start > size:
            cuts = range(start, stop, size)
            open_runs.extendleft((cut, min(cut + size, stop)) for cut in reversed(cuts))
            continue
        try:
            result = yield from _vectors(inputs[start:stop], call)
        except Stopped:
            break  # what was answered is kept
        if not isinstance(result, _GivenUp):
            outcomes.append(Outcome(start, stop, keeper.rows(result)))
        elif stop - start > 1 and _may_split(result.failure, inputs[start:stop], call):
            middle = (start + stop) // 2
            halves = result.failure.cause is not Cause.BATCH_TOO_LARGE
            runs = [(middle, stop), (start, middle)] if halves else [(start, stop)]
            open_runs.extendleft(runs)
        else:
            error = call.error(result.failure, result.attempts)
            outcomes.append(Outcome(start, stop, error))
            if result.failure.cause not in _OF_THE_INPUT:
                outcomes.extend(Outcome(*run, error) for run in open_runs)
                break
    return outcomes


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """A failure after which nothing more is tried for these inputs as they are."""

    failure: Failure
    attempts: int
    is_wrong_route: bool = False


_OF_THE_INPUT = frozenset({Cause.INPUT_REJECTED, Cause.BODY_TOO_LARGE, Cause.PROTOCOL})


def _may_split(failure: Failure, inputs: Sequence[str], call: Call) -> bool:
    """Whether smaller batches would fare better; remembers what the server takes."""
    if failure.cause is Cause.BATCH_TOO_LARGE:
        call.learned.refused_batch(len(inputs), failure.batch_limit)
        return True
    if failure.cause is Cause.BODY_TOO_LARGE:
        call.learned.refused_body(sum(len(one.encode()) for one in inputs))
        return True
    return failure.cause is Cause.INPUT_REJECTED


def _vectors(inputs: Sequence[str], call: Call) -> Conversation[Rows | _GivenUp]:
    """Embed inputs over the route that is known, or over each that may be until one answers."""
    tried: list[tuple[Route, Failure]] = []
    attempts = 0
    for route in _routes(call):
        result = yield from _persist(inputs, route, call)
        if isinstance(result, _GivenUp) and unknown_model(result.failure):
            yield from _ask_for_model(route, call)
            if call.learned.model is not None:
                result = yield from _persist(inputs, route, call)
        if not isinstance(result, _GivenUp):
            return result
        attempts += result.attempts
        tried.append((route, result.failure))
        if not result.is_wrong_route:
            return result
    return _GivenUp(conclude(tried), attempts)


def _ask_for_model(route: Route, call: Call) -> Conversation[None]:
    """Learn the model's name from an OpenAI-style server that insists on it (vLLM, Ollama)."""
    request = models_request(route.url)
    if request is not None and call.learned.model is None:
        reply = yield from _send(request, 0, min(call.service.timeout, _INFO_TIMEOUT), call)
        call.learned.model = read_model(reply) if isinstance(reply, Reply) else None


def _is_open_question(call: Call) -> bool:
    """Whether it is still to be found out which protocol the server speaks, and where."""
    return call.service.dialect == "auto" and call.learned.route is None


def _routes(call: Call) -> Sequence[Route]:
    """The routes worth trying, in order.

    Raises:
        SettingsError: None of them can do what the task settings ask for.
    """
    service, learned = call.service, call.learned
    if service.dialect != "auto":
        routes: Sequence[Route] = [Route(DIALECTS[service.dialect], service.url)]
    elif learned.route is not None:
        routes = [learned.route]
    else:
        routes = candidates(service.url)
    able = [route for route in routes if not route.dialect.unsupported(call.options)]
    if not able:
        raise SettingsError(*unsupported_settings(routes[0].dialect, call.task, call.lane))
    return able


def _persist(inputs: Sequence[str], route: Route, call: Call) -> Conversation[Rows | _GivenUp]:
    """Send the inputs until there are vectors, or trying again is of no use."""
    request = route.request(inputs, call.options)
    attempt, begun = 0, call.clock()
    while True:
        attempt += 1
        reply = yield from _send(request, len(inputs), call.service.timeout, call)
        if _is_open_question(call) and isinstance(reply, Reply) and declines(route, reply):
            failure = route.dialect.decode(reply, len(inputs))
            if isinstance(failure, Failure):
                return _GivenUp(failure, attempt, is_wrong_route=True)
        result = _read(reply, len(inputs), route, call)
        if not isinstance(result, Failure):
            call.learned.is_waking = False
            return result
        delay = call.policy.delay(result, attempt, call.clock() - begun)
        _slow_down(result, delay, call)
        if delay is None:
            return _GivenUp(result, attempt)
        yield _pause(result, delay, attempt, call)


def _pause(failure: Failure, delay: float, attempt: int, call: Call) -> Pause:
    why = _WHY.get(failure.cause, Waiting.RETRY)
    _logger.debug(
        "%s: attempt %d failed (%s, HTTP %s); next in %.1f s",
        host_of(call.service.url),
        attempt,
        failure.cause.value,
        failure.status,
        delay,
    )
    return Pause(delay, why)


def _read(reply: Reply | Failure, count: int, route: Route, call: Call) -> Rows | Failure:
    """Turn a reply into vectors that fit those before, or into a failure."""
    if isinstance(reply, Failure):
        return reply
    result = route.dialect.decode(reply, count)
    if isinstance(result, Failure):
        return result
    if problem := call.learned.problem_with_width(call.task.dimensions, len(result[0])):
        return Failure(Cause.PROTOCOL, problem, reply.status)
    if call.learned.route is None:
        call.learned.route = recognise(route, reply)
    return result


def _slow_down(failure: Failure, delay: float | None, call: Call) -> None:
    """Tell those who share this endpoint what a refusal means for them."""
    call.learned.is_waking = failure.cause is Cause.NOT_READY
    if failure.cause in (Cause.RATE_LIMITED, Cause.NOT_READY):
        call.window.refused(is_waking=call.learned.is_waking)
        stated = failure.retry_after
        if stated and delay is not None and isinstance(call.limiter, RequestsPerMinuteLimiter):
            call.limiter.penalize(stated)


def _send(
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


def acquaint(call: Call) -> Conversation[None]:
    """Ask the server what it is (TEI's ``/info``), once; most others answer 404, which is fine.

    Raises:
        HFEndpointError: The server cannot be reached, is not ready even after `max_wait`, or says
            that it makes no text embeddings.
    """
    learned = call.learned
    request = info_request(call.service.url)
    attempt, begun = 0, call.clock()
    while request is not None and not learned.asked_for_info:
        attempt += 1
        reply = yield from _send(request, 0, min(call.service.timeout, _INFO_TIMEOUT), call)
        failure = _worth_asking_again(reply)
        if failure is None:
            learned.info = read_info(reply) if isinstance(reply, Reply) else None
            break
        if attempt == _ENOUGH_FOR_INFO and _may_be_of_this_route(failure):
            _logger.warning(
                "%s does not say what it is (%s): its model and its limits are unknown",
                host_of(call.service.url),
                call.redact(failure.text),
            )
            break
        delay = call.policy.delay(failure, attempt, call.clock() - begun)
        _slow_down(failure, delay, call)
        if delay is None:
            raise call.error(failure, attempt)
        yield _pause(failure, delay, attempt, call)
    if learned.info is not None and learned.info.unfit is not None:
        raise call.error(Failure(Cause.BACKEND, learned.info.unfit), attempt)
    if learned.info is not None:
        call.window.bound(inputs=learned.info.max_concurrent_inputs)
    learned.asked_for_info = True


def _worth_asking_again(reply: Reply | Failure | None) -> Failure | None:
    """A reply, or the lack of one, that speaks of the server's state rather than of this route."""
    if isinstance(reply, Reply):
        if reply.status < 300:  # noqa: PLR2004 - a success
            return None
        reply = explain(reply)
    passing = reply is not None and reply.cause in WORTH_ANOTHER_TRY | {Cause.UNREACHABLE}
    return reply if passing else None


def _may_be_of_this_route(failure: Failure) -> bool:
    """Whether the route for information alone may be at fault, not the server as a whole.

    Then the inputs are sent all the same after a few tries: their own replies tell.
    """
    return failure.cause is Cause.SERVER or (failure.cause is Cause.TRANSPORT and failure.connected)
