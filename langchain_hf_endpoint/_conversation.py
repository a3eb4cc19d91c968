"""All that passes between us and a server about one batch: a generator that waits for nothing.

It decides what is sent next, what a reply means, when to try again, where to split. A driver
performs each `Step` it yields and sends the answer in. Closing the generator, at whichever step,
gives back the place and the permit it holds.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_hf_endpoint._acquaintance import ask_for_model
from langchain_hf_endpoint._attempts import Attempts, send
from langchain_hf_endpoint._dialects import (
    DIALECTS,
    Route,
    base64_route,
    candidates,
    conclude,
    declines,
    recognise,
    unknown_model,
)
from langchain_hf_endpoint._options import unsupported_settings
from langchain_hf_endpoint._pooling import is_unit_length
from langchain_hf_endpoint._retrying import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._steps import Stopped, Waiting
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint._wire import Cause, Failure, Reply
from langchain_hf_endpoint.errors import HFEndpointError, RateLimitedError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint._attempts import Conversation
    from langchain_hf_endpoint._call import Call
    from langchain_hf_endpoint._pooling import Keeper
    from langchain_hf_endpoint._wire import Rows

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")

_TOO_SLOW = 2  # time-outs of one batch after which a smaller one is tried


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
    attempts = Attempts(call)
    while open_runs:
        start, stop = open_runs.popleft()
        size = call.batch_size
        if stop - start > size:
            cuts = range(start, stop, size)
            open_runs.extendleft((cut, min(cut + size, stop)) for cut in reversed(cuts))
            continue
        try:
            result = yield from _vectors(inputs[start:stop], call, attempts)
        except Stopped:
            break  # what was answered is kept
        except HFEndpointError as no_permit:
            outcomes.extend(Outcome(*run, no_permit) for run in ((start, stop), *open_runs))
            break
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


_OF_THE_SERVER = WORTH_ANOTHER_TRY - {Cause.SERVER} | {
    Cause.BATCH_TOO_LARGE,
    Cause.BODY_TOO_LARGE,
    Cause.UNREACHABLE,
    Cause.PAUSED,
}
"""What the server would say on any of its routes."""

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


def _vectors(
    inputs: Sequence[str], call: Call, attempts: Attempts
) -> Conversation[Rows | _GivenUp]:
    """Embed inputs over the route that is known, or over each that may be until one answers."""
    tried: list[tuple[Route, Failure]] = []
    made = 0
    searching = _is_open_question(call)
    for route in _routes(call):
        if searching and _is_settled_otherwise(route, call):
            continue
        result = yield from _persist(inputs, route, call, attempts, searching=searching)
        if isinstance(result, _GivenUp) and unknown_model(result.failure):
            yield from ask_for_model(route, call)
            if call.learned.model is not None:
                result = yield from _persist(inputs, route, call, attempts, searching=searching)
        if not isinstance(result, _GivenUp):
            return result
        made += result.attempts
        tried.append((route, result.failure))
        if not result.is_wrong_route:
            return result
    return _GivenUp(conclude(tried), made)


def _is_open_question(call: Call) -> bool:
    """Whether it is still to be found out which protocol the server speaks, and where."""
    return call.service.dialect == "auto" and call.learned.route is None


def _is_settled_otherwise(route: Route, call: Call) -> bool:
    """Whether another call has found the route meanwhile, and it is not this one."""
    return call.learned.route is not None and call.learned.route.url != route.url


def _routes(call: Call) -> Sequence[Route]:
    """The routes worth trying, in order.

    Raises:
        SettingsError: None of them can do what the task settings ask for.
    """
    service, learned = call.service, call.learned
    if service.dialect != "auto":
        routes: Sequence[Route] = [Route(DIALECTS[service.dialect], service.url)]
    elif learned.route is not None:
        routes = [*_shortcut(learned.route, call), learned.route]
    else:
        routes = candidates(service.url)
    able = [route for route in routes if not route.dialect.unsupported(call.options)]
    if not able:
        raise SettingsError(*unsupported_settings(routes[0].dialect, call.task, call.lane))
    return able


def _shortcut(kept: Route, call: Call) -> list[Route]:
    """Base64 where arrays are wanted: half the bytes, and a tenth of the time to read them."""
    if call.form != "arrays" or call.learned.refuses_base64:
        return []
    route = base64_route(call.service.url, kept, call.learned.info, call.options)
    return [] if route is None else [route]


def _persist(
    inputs: Sequence[str], route: Route, call: Call, attempts: Attempts, *, searching: bool
) -> Conversation[Rows | _GivenUp]:
    """Send the inputs until there are vectors, or trying again is of no use.

    Args:
        inputs: What the vectors are for.
        route: Where they are sent.
        call: For whom.
        attempts: How often they were sent.
        searching: Whether a refusal may mean that this is the wrong route. What was not known when
            the search began is a guess to its end, although another call may have found out since.
    """
    request = route.request(inputs, call.options)
    timeout, failure = call.service.timeout, None
    while True:
        try:
            reply = yield from send(request, len(inputs), timeout, call, attempts.seconds_left)
        except RateLimitedError:
            if failure is None:
                raise
            return _GivenUp(failure, attempts.count)
        if searching and isinstance(reply, Reply) and declines(route, reply):
            result = route.dialect.decode(call.redactor.reply(reply), len(inputs))
            if isinstance(result, Failure):
                return _GivenUp(result, attempts.count + 1, is_wrong_route=True)
        result = _read(reply, len(inputs), route, call)
        if not isinstance(result, Failure):
            call.learned.is_waking = False
            attempts.succeeded()
            return result
        failure = result
        if route.shortcut and failure.cause not in _OF_THE_SERVER:
            call.learned.refuses_base64 = True
            return _GivenUp(failure, attempts.count + 1, is_wrong_route=True)
        pause = attempts.after(failure)
        if pause is None:
            return _GivenUp(failure, attempts.count)
        if attempts.time_outs == _TOO_SLOW and len(inputs) > 1:
            attempts.time_outs = 0
            slow = replace(failure, cause=Cause.BATCH_TOO_LARGE)
            return _GivenUp(slow, attempts.count)
        with call.pausing if pause.why is Waiting.REFUSED else nullcontext():
            yield pause


def _read(reply: Reply | Failure, count: int, route: Route, call: Call) -> Rows | Failure:
    """Turn a reply into vectors that fit those before, or into a failure."""
    if isinstance(reply, Failure):
        return reply
    result = route.dialect.decode(reply, count, call.form)
    if isinstance(result, Failure):
        # Read once more for its words, which may hold the key.
        spoken = route.dialect.decode(call.redactor.reply(reply), count, call.form)
        return spoken if isinstance(spoken, Failure) else result
    if problem := call.learned.problem_with_width(call.task.dimensions, len(result[0])):
        return Failure(Cause.PROTOCOL, problem, reply.status)
    if call.task.normalize and not call.learned.norm_checked:
        _check_norm(result[0], call)
    if call.learned.route is None:
        call.learned.route = recognise(route, reply)
    return result


def _check_norm(row: Sequence[float] | NDArray[np.float32], call: Call) -> None:
    """Say once that a server pays no heed to `normalize` (the inference toolkit does not)."""
    call.learned.norm_checked = True
    length = math.hypot(*row)
    if not is_unit_length(length):
        _logger.warning(
            "%s does not normalize: a vector has length %.3g. Texts of several chunks are brought "
            "to length 1 all the same; with task_settings.normalize=False all stay as they are",
            host_of(call.service.url),
            length,
        )
