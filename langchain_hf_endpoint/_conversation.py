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
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_hf_endpoint._acquaintance import ask_for_models, names_of, take_model
from langchain_hf_endpoint._attempts import Attempts, send
from langchain_hf_endpoint._blaming import (
    MOST_ASIDE,
    Next,
    Run,
    Suspicion,
    suspicion,
    tells_of_size,
    took_too_long,
    tries_again,
    what_next,
)
from langchain_hf_endpoint._dialects import (
    DIALECTS,
    Route,
    base64_route,
    candidates,
    conclude,
    declines,
    recognise,
    refuses_base64,
    unknown_model,
)
from langchain_hf_endpoint._options import unsupported_settings
from langchain_hf_endpoint._pooling import is_unit_length
from langchain_hf_endpoint._retrying import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._steps import Pause, Stopped, Waiting
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


class Fault(Enum):
    """Whose fault it is that inputs have no vectors."""

    INPUTS = "inputs"
    """Theirs: other inputs fare better."""
    SERVER = "server"
    """The server's: other batches would meet the same."""
    UNCLEAR = "unclear"
    """The server failed all of a batch, by what may be the inputs' fault or its own."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[RowT]):
    """What became of the inputs ``[start:stop]`` of a batch; `fault` is of their error."""

    start: int
    stop: int
    result: Sequence[RowT] | HFEndpointError
    fault: Fault = Fault.SERVER


def converse(
    inputs: Sequence[str], call: Call, keeper: Keeper[RowT]
) -> Conversation[list[Outcome[RowT]]]:
    """Get the vectors of one batch.

    A batch that the server calls too large is split at the limit it states; one that it rejects, or
    fails although it answers others, is halved until the inputs at fault stand alone. The vectors
    are brought into the form in which they are kept here, where the driver's threads share the
    work.

    Returns:
        One outcome for every input, in no order, each for a run of inputs. None for the inputs
        that were not sent when the call was stopped.
    """
    attempts = Attempts(call)
    search: _Search[RowT] = _Search(len(inputs), call, attempts)
    while (run := search.next_run()) is not None:
        sent = search.probe if run.size == 0 else inputs[run.start : run.stop]
        try:
            result = yield from _vectors(sent, run, call, attempts, is_last=search.is_last(run))
        except Stopped:
            break  # what was answered is kept
        except HFEndpointError as no_permit:
            search.not_sent(run, no_permit)
        else:
            if isinstance(result, _GivenUp):
                search.failed(run, sent, result)
            else:
                search.succeeded(run, keeper.rows(result))
    else:
        search.learn_from_refusals()
    return search.outcomes


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """A failure after which nothing more is tried for these inputs as they are.

    Attributes:
        failure: The last one.
        attempts: How many requests failed in a row.
        is_wrong_route: Whether another route may fare better.
        is_over: Whether smaller requests would not either: the server asks for a longer wait than
            there is time.
    """

    failure: Failure
    attempts: int
    is_wrong_route: bool = False
    is_over: bool = False


class _Search(Generic[RowT]):
    """The inputs of one batch: which are done, which are to be sent next, which have failed.

    While the server answers nothing, a batch that failed is asked for in ever smaller parts: down
    to one input, and then for what that leaves. What fails meanwhile is set aside. If nothing of
    it is answered, nor what it has answered before, the server fails everything.
    """

    def __init__(self, inputs: int, call: Call, attempts: Attempts) -> None:
        self._call = call
        self._attempts = attempts
        self._open = deque([Run(0, inputs)])
        self._aside: list[tuple[Run, _GivenUp, Suspicion]] = []
        self._slow: list[tuple[Run, bool]] = []
        self._refused: list[tuple[Run, int]] = []
        self._nothing_works = False
        self._may_probe = True
        self._first: _GivenUp | None = None
        self._last: _GivenUp | None = None
        self.outcomes: list[Outcome[RowT]] = []

    @property
    def probe(self) -> list[str]:
        """An input that the server has answered, if there was one: sent by a run of size 0."""
        sample = self._call.learned.sample
        return [] if sample is None else [sample]

    def next_run(self) -> Run | None:
        """What is to be sent next; None where every input has its outcome."""
        if len(self._aside) > MOST_ASIDE:
            self._reopen()
        while self._aside and not self._open:
            self._reopen()
        while self._open:
            run, size = self._open.popleft(), self._call.batch_size
            if run.size <= size:
                return run
            cuts = range(run.start, run.stop, size)
            self._open.extendleft(
                replace(run, start=cut, stop=min(cut + size, run.stop), own=0)
                for cut in reversed(cuts)
            )
        return None

    def is_last(self, run: Run) -> bool:
        """Whether nothing else is left that could show that the server works."""
        return self._nothing_works or (run.size == 1 and not self._open and not self._aside)

    def _reopen(self) -> None:
        """Go on with what was set aside: where others were answered since, else all the same."""
        answers = self._call.learned.answers
        ready = [one for one in self._aside if answers > one[0].own_answers]
        if ready:
            self._aside = [one for one in self._aside if one not in ready]
            for run, given_up, why in reversed(ready):
                if run.is_to_blame(why, answers):
                    self._settle(run, given_up, Fault.INPUTS)
                else:
                    self._open.appendleft(run)
            self._attempts.succeeded()  # of others: the server works, so there is time again
        elif self._aside and self._may_probe and self.probe:
            self._may_probe = False
            self._open.appendleft(Run(0, 0))
        elif self._aside:
            self._may_probe = True
            _, given_up, why = self._aside[0]
            if why is Suspicion.PASSING and not self._attempts.is_spent:
                self._nothing_works = True
                self._open.appendleft(self._aside.pop(0)[0])
            else:
                self._give_up_for(given_up, why)

    def succeeded(self, run: Run, rows: Sequence[RowT]) -> None:
        """Enter the vectors of a run."""
        self._nothing_works, self._may_probe = False, True
        if run.size == 0:
            return
        self.outcomes.append(Outcome(run.start, run.stop, rows))
        for slow, is_sure in list(self._slow):
            done = sum(
                one.stop - one.start
                for one in self.outcomes
                if slow.start <= one.start < slow.stop
                and not isinstance(one.result, HFEndpointError)
            )
            if done == slow.size:
                self._slow.remove((slow, is_sure))
                self._call.learned.worked_in_parts(slow.size, is_sure=is_sure)

    def failed(self, run: Run, sent: Sequence[str], given_up: _GivenUp) -> None:
        """Decide what becomes of a run that failed; remembers what the server takes."""
        if run.size == 0:
            self._nothing_works = True
            return
        failure, learned = given_up.failure, self._call.learned
        why = None if given_up.is_over else suspicion(failure, has_worked=learned.has_worked)
        if failure.cause is Cause.BATCH_TOO_LARGE and run.size > 1:
            learned.refused_batch(run.size, failure.batch_limit)
            self._open.appendleft(Run(run.start, run.stop))
            return
        if failure.cause is Cause.WIDTH:
            self._settle(run, given_up, Fault.UNCLEAR)
            return
        if why is None:
            self.give_up(self._error(given_up), Fault.SERVER, run)
            return
        if why is not Suspicion.REFUSED:
            self._first = self._first or given_up
            self._last = given_up
        if run.size > 1:
            self._note_refusal(run, _size(sent), failure)
        aside = len(self._aside)
        step = what_next(
            run,
            why,
            learned.answers,
            aside=aside,
            is_last=self.is_last(run),
            can_probe=bool(self.probe),
        )
        self._nothing_works = self._nothing_works and step not in {Next.HALVE, Next.BLAME}
        if step is Next.HALVE:
            self._halve(run, failure)
        elif step is Next.SET_ASIDE:
            self._aside.append((run, given_up, why))
        elif step is Next.BLAME:
            self._settle(run, given_up, Fault.INPUTS)
        else:
            self._give_up_for(given_up, why, run)

    def _note_refusal(self, run: Run, size: int, failure: Failure) -> None:
        if failure.cause is Cause.BODY_TOO_LARGE:
            self._call.learned.refused_body(size)
        elif failure.cause is Cause.INPUT_REJECTED and failure.share is not None:
            self._call.learned.refused_tokens(size, failure.share)
        elif failure.cause is Cause.INPUT_REJECTED:
            self._refused.append((run, size))

    def learn_from_refusals(self) -> None:
        """What was refused although none of its inputs is at fault was too much at once.

        Such is a limit of tokens per request, in whichever words.
        """
        failed = [one for one in self.outcomes if isinstance(one.result, HFEndpointError)]
        for run, size in self._refused:
            if not any(one.start < run.stop and run.start < one.stop for one in failed):
                self._call.learned.refused_tokens(size, None)

    def _halve(self, run: Run, failure: Failure) -> None:
        if tells_of_size(failure):
            self._slow.append((run, took_too_long(failure)))
            self._call.learned.failed_again(run.size)
        self._open.extendleft(reversed(run.halves()))

    def not_sent(self, run: Run, why: HFEndpointError) -> None:
        """No permit is to be had in time, or a limiter elsewhere does not answer."""
        if run.own and self._last is not None and isinstance(why, RateLimitedError):
            why = self._error(self._last)  # a retry: what it failed with before says more
        self.give_up(why, Fault.SERVER, run)

    def _settle(self, run: Run, given_up: _GivenUp, fault: Fault) -> None:
        attempts = max(given_up.attempts, run.failures)
        error = self._call.error(given_up.failure, attempts, of_input=fault is Fault.INPUTS)
        self.outcomes.append(Outcome(run.start, run.stop, error, fault))

    def _error(self, given_up: _GivenUp) -> HFEndpointError:
        return self._call.error(given_up.failure, given_up.attempts)

    def _give_up_for(self, given_up: _GivenUp, why: Suspicion, *runs: Run) -> None:
        if why is Suspicion.PASSING:
            self.give_up(self._error(given_up), Fault.SERVER, *runs)
            return
        first = self._first or given_up  # its words are about all of them
        error = self._call.error(first.failure, given_up.attempts)
        self.give_up(error, Fault.UNCLEAR, *runs)

    def give_up(self, error: HFEndpointError, fault: Fault, *runs: Run) -> None:
        """These, and all that have no outcome, fail by this error."""
        failed = (*runs, *self._open, *(run for run, _, _ in self._aside))
        self.outcomes.extend(Outcome(one.start, one.stop, error, fault) for one in failed)
        self._open.clear()
        self._aside.clear()


_OF_THE_SERVER = WORTH_ANOTHER_TRY - {Cause.SERVER} | {
    Cause.BATCH_TOO_LARGE,
    Cause.BODY_TOO_LARGE,
    Cause.UNREACHABLE,
    Cause.PAUSED,
}
"""What the server would say on any of its routes."""


def _size(inputs: Sequence[str]) -> int:
    return sum(len(one.encode()) for one in inputs)


def _vectors(
    inputs: Sequence[str], run: Run, call: Call, attempts: Attempts, *, is_last: bool
) -> Conversation[Rows | _GivenUp]:
    """Embed inputs over the route that is known, or over each that may be until one answers."""
    tried: list[tuple[Route, Failure]] = []
    made = 0
    how = _How(is_last, searching=_is_open_question(call))
    for route in _routes(call):
        if how.searching and _is_settled_otherwise(route, call):
            continue
        asked = call.options
        result = yield from _persist(inputs, run, route, call, attempts, how)
        if isinstance(result, _GivenUp) and route.dialect.name == "openai" and not route.shortcut:
            found_out = call.options != asked  # by another batch, while this one was under way
            result = yield from _asked_otherwise(
                result, inputs, run, route, call, attempts, how, found_out=found_out
            )
        if not isinstance(result, _GivenUp):
            return result
        made += result.attempts
        tried.append((route, result.failure))
        if not result.is_wrong_route:
            return result
    return _GivenUp(conclude(tried), made)


def _asked_otherwise(  # noqa: PLR0913, PLR0917 - what was refused, and how it was sent
    refused: _GivenUp,
    inputs: Sequence[str],
    run: Run,
    route: Route,
    call: Call,
    attempts: Attempts,
    how: _How,
    *,
    found_out: bool,
) -> Conversation[Rows | _GivenUp]:
    """Ask an OpenAI-style server once more, if it is the way of asking that it refused.

    It may insist on the name of a model, have no base64, or want to be told where to cut.
    """
    failure, learned = refused.failure, call.learned
    before = (learned.has_no_base64, learned.truncate_tokens)
    if found_out:
        pass
    elif unknown_model(failure):
        served = yield from ask_for_models(route, call)
        if not take_model(served, call):
            names = names_of(served)
            text = f"{failure.text}. It has: {names}" if names else failure.text
            return replace(refused, failure=replace(failure, text=text))
    elif failure.over_window and call.task.truncate and learned.truncate_tokens is None:
        served = yield from ask_for_models(route, call)
        if served.kind != "vllm" or served.window is None:
            return refused
        learned.truncate_tokens = served.window
    elif not learned.has_no_base64 and _may_be_of_base64(failure, call):
        learned.has_no_base64 = True
    else:
        return refused
    settled = replace(how, searching=False)
    result = yield from _persist(inputs, run, route, call, attempts, settled)
    if isinstance(result, _GivenUp) and not refuses_base64(failure):
        learned.has_no_base64, learned.truncate_tokens = before  # it was something else
        return refused if result.failure.text == failure.text else result
    return result


_REFUSALS = range(400, 600)
_MAY_BE_OF_THE_FORM = {
    Cause.INPUT_REJECTED,
    Cause.SETTING_REJECTED,
    Cause.BACKEND,
    Cause.PROTOCOL,
}


def _may_be_of_base64(failure: Failure, call: Call) -> bool:
    """Whether a server may have refused for base64: it says so, or has never answered before."""
    if refuses_base64(failure):
        return True
    refused = failure.status in _REFUSALS and failure.cause in _MAY_BE_OF_THE_FORM
    if not refused or call.learned.has_worked or call.learned.asked_for_floats:
        return False
    call.learned.asked_for_floats = True
    return True


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


@dataclass(frozen=True, slots=True)
class _How:
    """How inputs are sent.

    Attributes:
        is_last: Whether nothing else is left to be tried.
        searching: Whether a refusal may mean that this is the wrong route. What was not known when
            the search began is a guess to its end, although another call may have found out since.
    """

    is_last: bool
    searching: bool


def _persist(  # noqa: PLR0913, PLR0917 - what is sent, where, for whom, how often, and how
    inputs: Sequence[str], run: Run, route: Route, call: Call, attempts: Attempts, how: _How
) -> Conversation[Rows | _GivenUp]:
    """Send the inputs until there are vectors, or trying again as they are is of no use."""
    request = route.request(inputs, call.options)
    timeout, failure, learned = call.service.timeout, None, call.learned
    while True:
        # Sent for the first time, they are no retry, whatever was tried before.
        patience = attempts.seconds_left if run.own or failure is not None else None
        try:
            reply = yield from send(request, len(inputs), timeout, call, patience)
        except RateLimitedError:
            if failure is None:
                raise
            return _GivenUp(failure, attempts.count, is_over=True)
        if how.searching and isinstance(reply, Reply) and declines(route, reply):
            result = route.dialect.decode(call.redactor.reply(reply), len(inputs))
            if isinstance(result, Failure):
                return _GivenUp(result, attempts.count + 1, is_wrong_route=True)
        result = _read(reply, len(inputs), route, call)
        if not isinstance(result, Failure):
            learned.is_waking = False
            learned.answered(inputs)
            attempts.succeeded()
            return result
        failure = result
        if route.shortcut and failure.cause not in _OF_THE_SERVER:
            learned.refuses_base64 = True
            return _GivenUp(failure, attempts.count + 1, is_wrong_route=True)
        then = _after(failure, run, call, attempts, is_last=how.is_last)
        if then.pause is not None:
            with call.pausing if then.pause.why is Waiting.REFUSED else nullcontext():
                yield then.pause
        if not then.again:
            return _GivenUp(failure, attempts.count, is_over=then.is_over)


@dataclass(frozen=True, slots=True)
class _Then:
    """How to go on after a failure: first a pause, then the same again or not."""

    pause: Pause | None
    again: bool
    is_over: bool = False


def _after(failure: Failure, run: Run, call: Call, attempts: Attempts, *, is_last: bool) -> _Then:
    """Count a failure and say how to go on."""
    pause = attempts.after(failure)
    why = suspicion(failure, has_worked=call.learned.has_worked)
    if why is None:
        return _Then(pause, pause is not None)
    answers = call.learned.answers
    if why is not Suspicion.REFUSED:
        run.failed(answers)
    can_probe = call.learned.sample is not None
    again = tries_again(run, why, answers, is_last=is_last, can_probe=can_probe)
    if why is Suspicion.PASSING and failure.retry_after is not None:
        return _Then(pause, again and pause is not None, is_over=pause is None)
    if why is Suspicion.MALFORMED or (why is Suspicion.PASSING and not again):
        # A server that answers others needs no rest.
        pause = attempts.soon() if again or not run.server_works(answers) else None
    return _Then(pause, again and pause is not None)


def _read(reply: Reply | Failure, count: int, route: Route, call: Call) -> Rows | Failure:
    """Turn a reply into vectors that fit those before, or into a failure."""
    if isinstance(reply, Failure):
        return reply
    result = route.dialect.decode(reply, count, call.form)
    if isinstance(result, Failure):
        # Vectors that are wrong show all the same who speaks here.
        call.learned.route = call.learned.route or recognise(route, reply)
        # Read once more for its words, which may hold the key.
        spoken = route.dialect.decode(call.redactor.reply(reply), count, call.form)
        return spoken if isinstance(spoken, Failure) else result
    if call.task.normalize and (zeros := _row_of_zeros(result)) is not None:
        return Failure(Cause.PROTOCOL, f"{_ZEROS} (row {zeros})", reply.status)
    if problem := call.learned.problem_with_width(call.task.dimensions, len(result[0])):
        return Failure(Cause.WIDTH, problem, reply.status)
    if call.task.normalize and not call.learned.norm_checked:
        _check_norm(result[0], call)
    if call.learned.route is None:
        call.learned.route = recognise(route, reply)
    return result


_ZEROS = "a vector of zeros, which has no direction and cannot be brought to length 1"


def _row_of_zeros(rows: Rows) -> int | None:
    """The first row without any number but 0; most rows are seen at their first number."""
    return next((index for index, row in enumerate(rows) if not (row[0] or any(row))), None)


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
