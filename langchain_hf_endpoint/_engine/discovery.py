"""Ask a server what it is and which models it has, and others what they know of it."""

from __future__ import annotations

import copy
import dataclasses
import logging
from functools import partial
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.actions import AcquireSlot, AskLimiter
from langchain_hf_endpoint._engine.attempts import GivenUp, RetryState, send_once, told
from langchain_hf_endpoint._engine.retry_policy import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._messages import Cause, Failure, Response
from langchain_hf_endpoint._protocols import (
    ServedModels,
    explain,
    info_request,
    models_request,
    props_request,
    read_context_length,
    read_info,
    read_models,
    shortened,
)
from langchain_hf_endpoint._session.concurrency import Slot
from langchain_hf_endpoint._session.server_state import Restriction
from langchain_hf_endpoint._session.shared_facts import name_of, news, take
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._messages import Request, ServerInfo
    from langchain_hf_endpoint._protocols import Route
    from langchain_hf_endpoint.limiter.reservation import FactSharing

_logger = logging.getLogger("langchain_hf_endpoint")

_INFO_TIMEOUT = 10.0
_ENOUGH_FOR_INFO = 3
_MOMENT = 3.0  # seconds
_LONGEST_NAME, _MOST_NAMES = 60, 5


def fetch_server_info(call: Call) -> Flow[None]:
    """Ask the server what it is (TEI's ``/info``), once; most others answer 404, which is fine.

    Raises:
        HFEndpointError: The server cannot be reached, is not ready even after `max_wait`, or says
            that it makes no text embeddings.
    """
    yield from ask_once(call, lambda: call.server.asked_for_info, _ask)


def ask_others(call: Call) -> Flow[None]:
    """Ask those who share the limiter, once, what they have found out about the server.

    Raises:
        HFEndpointError: It is kept where nobody answers: there are no permits to be had either.
    """
    sharing = call.sharing
    if sharing is None or call.server.told is not None:
        return
    name = _name_of_server(call)
    question = AskLimiter(partial(sharing.facts, name), partial(sharing.afacts, name))

    def ask(call: Call) -> Flow[None]:
        facts = yield question
        assert isinstance(facts, dict)  # noqa: S101 - the driver's promise for AskLimiter
        take(facts, call.server, call.window)

    yield from ask_once(call, lambda: call.server.told is not None, ask)


def share_news(sharing: FactSharing, call: Call) -> None:
    """Tell those who share the limiter what is new about the server, without waiting for them."""
    if found := news(call.server, call.window):
        sharing.tell_soon(_name_of_server(call), found)


def _name_of_server(call: Call) -> str:
    return name_of(call.service.url, call.service.model, scores=call.query is not None)


def ask_once(
    call: Call, is_known: Callable[[], bool], ask: Callable[[Call], Flow[None]]
) -> Flow[None]:
    """Find out something about the server that all its callers share.

    One asks, and all who want to know meanwhile wait for its answer, or its error. Where it is
    cancelled the next one asks.

    Raises:
        HFEndpointError: What `ask` raised.
    """
    server = call.server
    failed_before = server.failed_to_say
    slot = Slot(0, call.lane)
    try:
        yield AcquireSlot(call.session.discovery_lock, slot)
        if is_known():
            return
        if server.failed_to_say is not None and server.failed_to_say is not failed_before:
            raise copy.copy(server.failed_to_say)  # an error is raised by one thread alone
        try:
            yield from ask(call)
        except HFEndpointError as error:
            server.failed_to_say = copy.copy(error)
            raise
    finally:
        call.session.discovery_lock.release(slot)


def _ask(call: Call) -> Flow[None]:
    server, timeout = call.server, min(call.service.timeout, _INFO_TIMEOUT)
    if not server.asked_for_info:
        reply = yield from ask(info_request(call.service.url), call, timeout, _ENOUGH_FOR_INFO)
        server.info = None if reply is None else read_info(call.redactor.response(reply))
    if server.info is not None:
        unfit = server.info.unfit if call.query is None else server.info.unfit_to_score
        if unfit is not None:
            raise call.error(Failure(Cause.BACKEND, unfit), 1)
        _keep_to(server.info, call)
    server.asked_for_info = True


def _keep_to(info: ServerInfo, call: Call) -> None:
    """Send no more than a server takes, and so that its fault cannot strike."""
    call.window.bound(inputs=info.max_concurrent_inputs)
    if info.fault is not None:
        restrict(call, Restriction.ONE_AT_A_TIME, info.fault)


def ask_tei(call: Call) -> Flow[None]:
    """Ask what it is a server that was not asked before, of which a reply shows that it is TEI.

    What has come is there already: where the server does not say, nothing is lost but a moment.
    """
    server, lock, slot = call.server, call.session.reply_lock, Slot(0, call.lane)
    try:
        yield AcquireSlot(lock, slot)
        request = info_request(call.service.url)
        if server.asked_for_info or request is None:
            return
        reply = yield from send_once(request, 0, _MOMENT, call)
        if isinstance(reply, Response) and reply.status < 300:  # noqa: PLR2004 - a success
            server.info = read_info(call.redactor.response(reply))
            if server.info is not None:
                _keep_to(server.info, call)
        elif (explain(reply) if isinstance(reply, Response) else reply).cause in _OF_THE_STATE:
            server.in_vain += 1
            if server.in_vain < _ENOUGH_FOR_INFO:
                return  # the next reply has it asked
        server.asked_for_info = True
    except HFEndpointError:
        pass  # of a limiter that is kept elsewhere: the next reply has it asked
    finally:
        lock.release(slot)


HOW_RESTRICTED = {
    Restriction.ONE_A_REQUEST: "Each text is sent in a request of its own, which is slower",
    Restriction.ONE_AT_A_TIME: "This process sends one text at a time, which is slow; other "
    "clients of the server should do the same",
    Restriction.NOTHING: "Nothing is sent to it",
}


def restrict(call: Call, how: Restriction, why: str) -> None:
    """Send texts so that a fault of the server cannot strike, and say so."""
    server = call.server
    if how <= server.restriction:
        return
    server.restriction = how
    if how is Restriction.ONE_AT_A_TIME:
        # A server that puts requests together makes batches of what others in this process send.
        call.window.bound(inputs=1)
    _logger.warning("%s %s. %s", host_of(call.service.url), why, HOW_RESTRICTED[how])


def ask(
    request: Request | None, call: Call, timeout: float | None = None, enough: int | None = None
) -> Flow[Response | None]:
    """Send a request that carries no inputs; None where the server does not serve it.

    Args:
        request: None: there is no such route.
        call: For whose sake.
        timeout: Of one attempt. Default: the call's.
        enough: So many attempts at most, where the route alone may be at fault; then it is said
            that the server is not known.

    Raises:
        HFEndpointError: The server cannot be reached, or is not ready even after `max_wait`.
    """
    timeout, retry = timeout or call.service.timeout, RetryState(call)
    while request is not None:
        reply = yield from retry.send(request, 0, timeout)
        if isinstance(reply, GivenUp):
            raise call.error(reply.failure, reply.attempts)
        if isinstance(reply, Response) and reply.status < 300:  # noqa: PLR2004 - a success
            return reply
        failure = explain(reply) if isinstance(reply, Response) else reply
        if failure is None or failure.cause not in _OF_THE_STATE:
            return None
        pause = retry.after(failure)
        if retry.count == enough and _may_be_of_this_route(failure):
            _logger.warning(
                "%s does not say what it is (%s): its model and its limits are unknown",
                host_of(call.service.url),
                call.redactor.text(failure.text),
            )
            return None
        if pause is None:
            raise call.error(failure, retry.count)
        yield told(pause, call)
    return None


_OF_THE_STATE = WORTH_ANOTHER_TRY | {Cause.UNREACHABLE}
"""What speaks of the server's state rather than of one route."""


def _may_be_of_this_route(failure: Failure) -> bool:
    """Whether the route for information alone may be at fault, not the server as a whole.

    Then the inputs are sent all the same after a few tries: their own replies tell.
    """
    return failure.cause is Cause.SERVER or (failure.cause is Cause.TRANSPORT and failure.connected)


def fetch_models(route: Route, call: Call) -> Flow[ServedModels]:
    """Ask an OpenAI-style server which models it has, once, and keep what it says.

    Where no model is named, the one that is chosen is asked for from now on, if the server insists
    on a name. vLLM is asked to cut what is too long, which it does only if it is told where.
    """
    server = call.server
    if server.served is not None:
        return server.served
    timeout = min(call.service.timeout, _INFO_TIMEOUT)
    served, request = ServedModels(), models_request(route.url)
    if request is not None:
        reply = yield from send_once(request, 0, timeout, call)
        if isinstance(reply, Response):
            served = read_models(call.redactor.response(reply), call.service.model)
    request = props_request(route.url) if served.kind == "llamacpp" else None
    if request is not None:
        reply = yield from send_once(request, 0, timeout, call)
        told = read_context_length(reply) if isinstance(reply, Response) else None
        lengths = [one for one in (served.context_length, told) if one is not None]
        served = dataclasses.replace(served, context_length=min(lengths, default=None))
    server.served = served
    return served


def fetch_served(call: Call) -> Flow[None]:
    """Likewise of a server that says nothing else of itself, once its route is known."""
    route = call.server.route
    if call.server.info is None and route is not None and route.dialect.name == "openai":
        yield from fetch_models(route, call)


def choose_model(served: ServedModels, call: Call) -> bool:
    """Ask for the model that was chosen from now on; False where there is none to choose."""
    if call.service.model is not None or served.choice is None:
        return False
    if call.server.model is None and len(served.names) > 1:
        _logger.warning(
            "%s has several models (%s); %s is taken, the only one whose name says that it embeds. "
            "Set service_settings.model to choose another, or to say that this is right",
            host_of(call.service.url),
            names_of(served),
            served.choice,
        )
    call.server.model = served.choice
    return True


def names_of(served: ServedModels) -> str:
    """The first of the models' names, as they may stand in a message."""
    names = [shortened(name, _LONGEST_NAME) for name in served.names[:_MOST_NAMES]]
    return ", ".join(names) + (", …" if len(served.names) > _MOST_NAMES else "")
