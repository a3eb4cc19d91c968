"""Get the vectors of one batch: what is sent next, what a response means, where to split.

A generator that waits for nothing: a driver performs each `Action` it yields. Closing it, at
whichever step, gives back the slot and the permit it holds.
"""

from __future__ import annotations

import logging
import math
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from langchain_hf_endpoint._engine import discovery
from langchain_hf_endpoint._engine.actions import CallStopped, Sleep, WaitReason
from langchain_hf_endpoint._engine.attempts import GivenUp, RetryState, told
from langchain_hf_endpoint._engine.blame import (
    MAY_PASS,
    InputRange,
    Suspicion,
    suspicion,
    tries_again,
)
from langchain_hf_endpoint._engine.failures import model_changed
from langchain_hf_endpoint._engine.isolation import Fault, Outcome, Search
from langchain_hf_endpoint._engine.prompts import unsupported_settings
from langchain_hf_endpoint._engine.retry_policy import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._engine.vectors import is_unit_length, row_of_zeros
from langchain_hf_endpoint._messages import Cause, Failure, Response
from langchain_hf_endpoint._protocols import (
    DIALECTS,
    RERANK_DIALECTS,
    Route,
    base64_route,
    candidates,
    conclude,
    declines,
    numbered,
    recognise,
    refuses_base64,
    rerank_candidates,
    unknown_model,
)
from langchain_hf_endpoint._protocols.base import as_json
from langchain_hf_endpoint._session.fingerprint import RELATED, TEXTS, ModelFingerprint
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call, EmbeddingCall
    from langchain_hf_endpoint._messages import InputOptions, Vectors
    from langchain_hf_endpoint._session.server_state import ServerState

RowT = TypeVar("RowT")

_logger = logging.getLogger("langchain_hf_endpoint")


def embed_batch(inputs: Sequence[bytes], call: EmbeddingCall[RowT]) -> Flow[list[Outcome[RowT]]]:
    """Get the vectors of one batch.

    A batch that the server calls too large is split at the limit it states; one that it rejects, or
    fails although it answers others, is halved until the inputs at fault stand alone. The vectors
    are brought into the form in which they are kept here, where the driver's threads share the
    work.

    Args:
        inputs: What is sent, each as JSON.
        call: Whose they are.

    Returns:
        One outcome for every input, in no order, each for a run of inputs. None for the inputs
        that were not sent when the call was stopped.
    """
    retry = RetryState(call)
    search: Search[RowT] = Search(len(inputs), call, retry)
    bare: set[int] = set()  # single inputs that failed together with the proof
    while (run := search.next_run()) is not None:
        size = run.size
        sent = inputs[run.start : run.stop] if size else search.probe
        is_proven = takes_proof(size, call) and run.start not in bare
        if is_proven:
            sent = [*sent, _PROOF]
        searching = call.service.dialect == "auto" and call.server.route is None
        part = _Part(sent, run, search.is_last(run), searching)
        try:
            result = yield from _answer(part, retry, is_proven=is_proven)
        except CallStopped:
            break  # what was answered is kept
        except HFEndpointError as error:  # no permit, or another model
            search.give_up(error, Fault.SERVER, run)
        else:
            if result is None:
                search.again(run)
            elif not isinstance(result, GivenUp):
                search.succeeded(run, call.vector_format.rows(result), is_proven=is_proven)
            elif is_proven and size == 1 and search.tries_alone(run, result):
                bare.add(run.start)
            else:
                search.failed(run, sent, result)
    else:
        search.learn_from_refusals()
    if call.sharing is not None:
        discovery.share_news(call.sharing, call)
    return search.outcomes


_PROOF = as_json(TEXTS[:1])[0]


def _answer(part: _Part, retry: RetryState, *, is_proven: bool) -> Flow[Vectors | GivenUp | None]:
    """The vectors of the inputs, or None: it is known by now that they may be spoilt."""
    call, server = retry.call, retry.call.server
    before = server.restriction
    result = yield from _vectors(part, retry)
    if server.is_tei and not server.asked_for_info and not isinstance(result, GivenUp):
        with suppress(CallStopped):  # what was answered is kept
            yield from discovery.ask_tei(call)
    if server.restriction > before:  # others may have been in the server's batch
        return None
    return _without_proof(result, call) if is_proven and not isinstance(result, GivenUp) else result


def takes_proof(inputs: int, call: Call) -> bool:
    """Whether a request of so many inputs has the proof too: one of one where it is to be kept."""
    keeps_one = call.cache is not None and call.server.batch_size(call.service.max_batch_size) > 1
    return inputs >= (1 if keeps_one else 2) and call.takes_proof


def _without_proof(rows: Vectors, call: Call) -> Vectors:
    """The vectors of a reply without the last, which shows whose model's they are.

    Replicas of one server may have different models, and a server may be replaced without a sign.

    Raises:
        ModelChangedError: Another's.
    """
    expected = call.expected_fingerprint
    found = ModelFingerprint.of(np.asarray(rows[-1:], dtype=np.float32))
    if expected is not None and expected.similarity(found) < RELATED:
        call.server.doubt()  # the next call begins with the model that is there now
        raise model_changed(expected, found, host_of(call.service.url))
    return rows[:-1]


@dataclass(frozen=True, slots=True)
class _Part:
    """Some inputs of a batch, as they are sent in one request."""

    inputs: Sequence[bytes]  # the texts, as JSON
    run: InputRange  # how they have fared
    is_last: bool  # whether nothing else is left to be tried
    # Whether a refusal may mean that this is the wrong route. What was not known when the search
    # began is a guess to its end, although another call may have found out since.
    searching: bool


_UNAUTHORIZED = 401
_OF_THE_SERVER = WORTH_ANOTHER_TRY - {Cause.SERVER} | {
    Cause.BATCH_TOO_LARGE,
    Cause.BODY_TOO_LARGE,
    Cause.UNREACHABLE,
    Cause.PAUSED,
    Cause.PAYMENT_REQUIRED,
}


def _is_of_any_route(failure: Failure) -> bool:
    """Whether the server would say the same on any of its routes."""
    # A 403 may be a firewall's, for one path.
    return failure.status == _UNAUTHORIZED or failure.cause in _OF_THE_SERVER


def _vectors(part: _Part, retry: RetryState) -> Flow[Vectors | GivenUp]:
    """Embed inputs over the route that is known, or over each that may be until one answers."""
    call, server = retry.call, retry.call.server
    tried: list[tuple[Route, Failure]] = []
    made, options = 0, call.options
    for route in _routes(call, options):
        if part.searching and server.route is not None and server.route.url != route.url:
            continue  # another call has found the route meanwhile
        may_ask_otherwise = route.dialect.name == "openai" and not route.shortcut
        result = yield from _send_with_retries(part, route, options, retry)
        if isinstance(result, GivenUp) and may_ask_otherwise:
            found_out = call.options != options  # by another batch, while this one was under way
            result = yield from _ask_otherwise(result, part, route, retry, found_out=found_out)
        if not isinstance(result, GivenUp):
            return result
        made += result.attempts
        tried.append((route, result.failure))
        is_hinted = part.searching and route.place == server.likeliest
        if is_hinted and not _is_of_any_route(result.failure):
            server.likeliest = None  # others were answered here, but the server may be another now
        elif not result.is_wrong_route:
            return result
    return GivenUp(conclude(tried), made)


def _ask_otherwise(
    refused: GivenUp, part: _Part, route: Route, retry: RetryState, *, found_out: bool
) -> Flow[Vectors | GivenUp]:
    """Ask an OpenAI-style server once more, if it is the way of asking that it refused.

    It may insist on the name of a model, have no base64, or want to be told where to cut.
    """
    failure, call, server = refused.failure, retry.call, retry.call.server
    before = server.style
    if found_out:
        pass
    elif unknown_model(failure):
        served = yield from discovery.fetch_models(route, call)
        if not discovery.choose_model(served, call):
            names = discovery.names_of(served)
            text = f"{failure.text}. It has: {names}" if names else failure.text
            return replace(refused, failure=replace(failure, text=text))
    elif failure.over_context_length and call.task.truncate and before.truncate_tokens is None:
        served = yield from discovery.fetch_models(route, call)
        if served.kind != "vllm" or served.context_length is None:
            return refused
        server.style = replace(server.style, truncate_tokens=served.context_length)
    elif before.base64 and refuses_base64(failure):
        server.style = replace(before, base64=False)
    elif before.base64 and _may_be_of_base64(failure, server):
        before = replace(before, has_tried_digits=True)
        server.style = replace(before, base64=False)
    else:
        return refused
    result = yield from _send_with_retries(
        replace(part, searching=False), route, call.options, retry
    )
    if isinstance(result, GivenUp) and not refuses_base64(failure):
        server.style = before  # it was something else
        return refused if result.failure.text == failure.text else result
    return result


_REFUSALS = range(400, 600)
_MAY_BE_OF_THE_FORM = {
    Cause.INPUT_REJECTED,
    Cause.SETTING_REJECTED,
    Cause.BACKEND,
    Cause.PROTOCOL,
}


def _may_be_of_base64(failure: Failure, server: ServerState) -> bool:
    """Whether a server that has never answered, and does not say why, may refuse for base64."""
    refused = failure.status in _REFUSALS and failure.cause in _MAY_BE_OF_THE_FORM
    return refused and not server.has_worked and not server.style.has_tried_digits


def _routes(call: Call, options: InputOptions) -> Sequence[Route]:
    """The routes worth trying, in order.

    Raises:
        SettingsError: None of them can do what the task settings ask for.
    """
    service, server = call.service, call.server
    if service.dialect != "auto":
        dialects = DIALECTS if call.query is None else RERANK_DIALECTS
        routes: Sequence[Route] = [Route(dialects[service.dialect], service.url)]
    elif server.route is not None:
        routes = [*_shortcut(server.route, call, options), server.route]
    else:
        routes = candidates(service.url) if call.query is None else rerank_candidates(service.url)
        routes = numbered(routes, server.likeliest)
    able = [route for route in routes if not route.dialect.unsupported(options)]
    if not able:
        raise SettingsError(*unsupported_settings(routes[0].dialect, call.task, call.lane))
    return able


def _shortcut(kept: Route, call: Call, options: InputOptions) -> list[Route]:
    """Base64 where a server has it: half the bytes, and a tenth of the time to read them."""
    if call.service.dialect != "auto" or not call.server.style.base64_route:
        return []
    route = base64_route(call.service.url, kept, call.server.info, options)
    return [] if route is None else [route]


def _send_with_retries(
    part: _Part, route: Route, options: InputOptions, retry: RetryState
) -> Flow[Vectors | GivenUp]:
    """Send the inputs until there are vectors, or trying again as they are is of no use."""
    inputs, call, server = part.inputs, retry.call, retry.call.server
    request = route.request(inputs, options)
    # Sent for the first time, they are no retry, whatever was tried before.
    size, timeout, is_retry = len(inputs), call.service.timeout, part.run.own > 0
    while True:
        number = server.begin()
        reply = yield from retry.send(request, size, timeout, is_retry=is_retry)
        if isinstance(reply, GivenUp):
            return reply
        is_retry = True
        if part.searching and isinstance(reply, Response) and declines(route, reply):
            result = route.dialect.decode(call.redactor.response(reply), size)
            if isinstance(result, Failure):
                return GivenUp(result, retry.count + 1, is_wrong_route=True)
        result = _read(reply, size, route, options, call)
        if not isinstance(result, Failure):
            server.is_waking = False
            server.answered(inputs, number)
            retry.succeeded()
            return result
        failure = result
        if route.shortcut and not _is_of_any_route(failure):
            server.style = replace(server.style, base64_route=False)
            return GivenUp(failure, retry.count + 1, is_wrong_route=True)
        then = _after(failure, part, retry)
        if then.pause is not None:
            with call.pausing if then.pause.why is WaitReason.REFUSED else nullcontext():
                yield told(then.pause, call)
        if not then.again:
            return GivenUp(failure, retry.count, is_over=then.is_over)


@dataclass(frozen=True, slots=True)
class _Then:
    """How to go on after a failure: first a pause, then the same again or not."""

    pause: Sleep | None
    again: bool
    is_over: bool = False


def _after(failure: Failure, part: _Part, retry: RetryState) -> _Then:
    """Count a failure and say how to go on."""
    run, server = part.run, retry.call.server
    pause = retry.after(failure)
    why = suspicion(failure, has_worked=server.has_worked)
    if why is None:
        return _Then(pause, pause is not None)
    answers = server.answers
    if why is not Suspicion.REFUSED:
        run.failed(answers, begun=server.begun)
    can_probe = server.sample is not None
    again = tries_again(run, why, answers, is_last=part.is_last, can_probe=can_probe)
    if why in MAY_PASS and failure.retry_after is not None:
        return _Then(pause, again and pause is not None, is_over=pause is None)
    if why is Suspicion.MALFORMED or (why is Suspicion.PASSING and not again):
        # A server that answers others needs no rest.
        pause = retry.soon(failure) if again or not run.server_works(answers) else None
    return _Then(pause, again and pause is not None)


def _read(
    reply: Response | Failure, count: int, route: Route, options: InputOptions, call: Call
) -> Vectors | Failure:
    """Turn a reply into vectors that fit those before, or into a failure."""
    if isinstance(reply, Failure):
        return reply
    result = route.dialect.decode(reply, count, call.vector_format.form)
    if isinstance(result, Failure):
        # Vectors that are wrong show all the same who speaks here.
        call.server.route = call.server.route or recognise(route, reply)
        # Read once more for its words, which may hold the key.
        spoken = route.dialect.decode(call.redactor.response(reply), count, call.vector_format.form)
        return spoken if isinstance(spoken, Failure) else result
    if call.task.normalize and (zeros := row_of_zeros(result)) is not None:
        return Failure(Cause.PROTOCOL, f"{_ZEROS} (row {zeros})", reply.status)
    width, stated = len(result[0]), call.service.dimensions
    problem = call.server.problem_with_dimensions(call.task.dimensions, width)
    if problem is None and stated not in (None, width) and call.query is None:
        problem = f"the vectors have {width} dimensions, service_settings.dimensions says {stated}"
    if problem:
        return Failure(Cause.DIMENSIONS, problem, reply.status)
    if call.task.normalize and not call.server.norm_checked:
        _check_norm(result[0], call)
    kept = call.server.route = call.server.route or recognise(route, reply)
    call.server.is_tei = call.server.is_tei or _OF_TEI in reply.headers
    if isinstance(result, list) and not route.shortcut and kept and _shortcut(kept, call, options):
        # The next ones come in base64: a text has the same numbers, whichever request it was in.
        return np.asarray(result, dtype=np.float32)
    return result


_OF_TEI = "x-compute-type"  # on each of its routes with vectors
_ZEROS = "a vector of zeros, which has no direction and cannot be brought to length 1"


def _check_norm(row: Sequence[float] | NDArray[np.float32], call: Call) -> None:
    """Say once that a server pays no heed to `normalize` (the inference toolkit does not)."""
    call.server.norm_checked = True
    length = math.hypot(*row)
    if not is_unit_length(length):
        _logger.warning(
            "%s does not normalize: a vector has length %.3g. Texts of several chunks are brought "
            "to length 1 all the same; with task_settings.normalize=False all stay as they are",
            host_of(call.service.url),
            length,
        )
