"""What must hold whatever happened. Each rule says in words how it was broken."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from acting import KEY, SourceBrokeError
from scenario import DIMENSIONS, FIRST_DELAY, LONGEST_DELAY, MUST_SUCCEED, PATIENT, POISON

from langchain_hf_endpoint import (
    AuthenticationError,
    ChunkingSettings,
    EmbeddedChunk,
    EmbeddingError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    HFEndpointError,
    InputError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    TransportError,
    chunk,
)
from langchain_hf_endpoint.testing import expected_vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from acting import Ended, Ran
    from scenario import Call, Scenario

    from langchain_hf_endpoint.testing import Arrival

_STILL_RIGHT = {"", "permuted", "wrong_content_type", "late", "slow"}
_TO_BE_SURE = 3
"""Tries of an input alone, after others were answered, before it is blamed."""
_REFUSALS = {"batch_too_large", "body_too_large", "input_too_long", "empty_input", "input_rejected"}
_ERRORS: Mapping[str, tuple[type[HFEndpointError], ...]] = {
    "rate_limited": (RateLimitedError,),
    "cold_start": (EndpointNotReadyError,),
    "server_error": (ServerError,),
    **dict.fromkeys(
        ("reset_before", "reset_head", "reset_body", "reset_after", "truncated", "closed"),
        (TransportError,),
    ),
    **dict.fromkeys(("hang", "slow"), (TransportError,)),
    **dict.fromkeys(
        (
            *("wrong_count", "no_vectors", "ragged", "narrower", "null", "not_a_number"),
            *("infinite", "duplicates", "repeated_index", "malformed", "web_page"),
            *("compressed", "compressed_unsaid", "huge"),
        ),
        (ProtocolError,),
    ),
    **dict.fromkeys(_REFUSALS - {"batch_too_large"}, (InputError, ServerError)),
    "batch_too_large": (ServerError,),
    "paused": (EndpointPausedError,),
    "unauthorized": (AuthenticationError,),
    "http_402": (PaymentRequiredError,),
    "backend_error": (ServerError,),
    **dict.fromkeys(("http_404", "redirect"), (EndpointNotFoundError,)),
}


def judge(ran: Ran) -> list[str]:
    """All that was broken, an empty list where nothing was."""
    return [*ran.left_behind, *_of_the_server(ran), *_of_the_calls(ran), *_of_the_usage(ran)]


def _of_the_calls(ran: Ran) -> Iterator[str]:
    made = sum(len(actor.calls) for actor in ran.scenario.actors)
    if len(ran.ended) != made:
        yield f"{made} calls were made, {len(ran.ended)} ended"
    possible = _possible_errors(ran)
    for ended in ran.ended:
        for problem in _of_a_call(ended, ran, possible):
            yield f"{ended.call.method} of {len(ended.call.texts)} texts: {problem}"


def _possible_errors(ran: Ran) -> tuple[type[HFEndpointError], ...]:
    """The classes that what really happened can lead to."""
    if ran.scenario.mood in MUST_SUCCEED:
        return ()
    possible: list[type[HFEndpointError]] = []
    if _tries_closed_connections(ran.scenario):
        possible.append(TransportError)
    for arrival in ran.arrivals:
        possible += _ERRORS.get(arrival.fault, ())
        if arrival.status == 429:
            possible.append(RateLimitedError)
        if any(POISON in text for text in arrival.texts):
            possible += (InputError, ServerError)
    return tuple(set(possible))


def _tries_closed_connections(scenario: Scenario) -> bool:
    """Whether a kept connection that the server has just closed costs the only try."""
    return "transport" in scenario.service and scenario.service["max_wait"] != PATIENT


def _of_a_call(
    ended: Ended, ran: Ran, possible: tuple[type[HFEndpointError], ...]
) -> Iterator[str]:
    call, error = ended.call, ended.error
    if error is not None and KEY in f"{error} {error!r} {error.__cause__!r} {error.__dict__}":
        yield "the key is in the error"
    yield from _of_what_came_out(ended, ran.scenario)
    if isinstance(error, asyncio.CancelledError):
        if not ended.was_cancelled:
            yield "was cancelled by nobody"
    elif isinstance(error, SourceBrokeError):
        yield from _of_a_broken_source(ended, error)
    elif isinstance(error, HFEndpointError):
        yield from _of_an_error(ended, error, ran, possible)
    elif error is not None:
        yield f"ended with {error!r}"
    elif call.breaks_at is not None and call.stop_after is None:
        yield "its source broke, and it does not say so"


def _of_what_came_out(ended: Ended, scenario: Scenario) -> Iterator[str]:
    """Right vectors, in order, exactly once."""
    call = ended.call
    if call.method == "stream":
        yield from _of_a_stream(ended, scenario)
    elif ended.result is not None:
        results = [ended.result] if call.method == "query" else list(ended.result)
        if len(results) != len(call.texts):
            yield f"{len(results)} results"
        elif not are_right(call.texts, results, scenario, whole=call.method == "query"):
            yield "wrong vectors"


def _of_a_stream(ended: Ended, scenario: Scenario) -> Iterator[str]:
    call = ended.call
    out: dict[int, list[EmbeddedChunk]] = defaultdict(list)
    for piece in ended.chunks:
        out[piece.text_index].append(piece)
    order = [piece.text_index for piece in ended.chunks]
    if order != sorted(order):
        yield f"out of order: {order}"
    for index, pieces in out.items():
        # The last text of a stream that was left may be there in part.
        is_whole = index != order[-1] or (call.stop_after is None and not ended.was_cancelled)
        if not _are_right_chunks(call.texts[index], pieces, scenario, is_whole=is_whole):
            yield f"wrong chunks of text {index}"
    if ended.error is None and call.stop_after is None and set(out) != set(range(len(call.texts))):
        yield f"only the texts {sorted(out)} came out"


def _of_a_broken_source(ended: Ended, error: SourceBrokeError) -> Iterator[str]:
    """What came before is out, or named by the error's context."""
    if ended.call.breaks_at is None:
        yield "its source did not break"
        return
    named = {piece.text_index for piece in ended.chunks}
    if isinstance(error.__context__, EmbeddingError):
        named |= set(error.__context__.failures)
    if named != set(range(ended.call.breaks_at)):
        yield f"before its source broke at {ended.call.breaks_at}, only {sorted(named)} are named"


_BLAMED_AFTER = 8  # failures in a row


def _of_an_error(
    ended: Ended, error: HFEndpointError, ran: Ran, possible: tuple[type[HFEndpointError], ...]
) -> Iterator[str]:
    call = ended.call
    if call.method == "query":
        failures: Mapping[int, HFEndpointError] = {0: error}
    elif isinstance(error, EmbeddingError):
        failures = error.failures
        yield from _of_indices(ended, error, ran.scenario)
    elif call.method == "stream":
        failures = {-1: error}
    else:
        yield f"ended with {error!r}, which names no text"
        return
    for index, failure in failures.items():
        if not isinstance(failure, possible) and not _always_failed(call, index, ran):
            yield f"text {index} failed for no reason: {failure!r}"
        elif isinstance(failure, InputError) and not _was_refused_alone(call, index, ran):
            yield f"text {index} is blamed for another: {failure!r}"


def _of_indices(ended: Ended, error: EmbeddingError, scenario: Scenario) -> Iterator[str]:
    """`completed` and `failures` name every text, and what is completed is right."""
    call = ended.call
    done, failed = set(error.completed), set(error.failures)
    if call.method == "stream":
        done = {piece.text_index for piece in ended.chunks}
        named = done | failed
        if named != set(range(len(named))):
            yield f"of a stream {sorted(done)} came out and {sorted(failed)} failed"
    elif done | failed != set(range(len(call.texts))):
        yield f"{sorted(done)} are completed and {sorted(failed)} failed"
    if done & failed:
        yield f"{sorted(done & failed)} are completed and failed"
    if error.completed:
        texts = [call.texts[index] for index in error.completed]
        if not are_right(texts, list(error.completed.values()), scenario):
            yield "wrong vectors in completed"


def _was_refused_alone(call: Call, index: int, ran: Ran) -> bool:
    """Whether the server refused one of the text's inputs that stood alone in its request."""
    inputs = set(_inputs(call.texts[index], ran.scenario, whole=call.method == "query"))
    return any(
        len(arrival.texts) == 1
        and arrival.texts[0] in inputs
        and (arrival.fault in _REFUSALS or POISON in arrival.texts[0])
        for arrival in ran.arrivals
    )


def _always_failed(call: Call, index: int, ran: Ran) -> bool:
    """Whether an input of the text met a fault again and again, by chance, until it was given up.

    Nobody can tell it from one that the server fails on each time.
    """
    for one in _inputs(call.texts[index], ran.scenario, whole=call.method == "query"):
        faults = [arrival.fault for arrival in ran.arrivals if one in arrival.texts]
        if len(faults) >= _BLAMED_AFTER and all(faults[-_BLAMED_AFTER:]):
            return True
    return False


# What it is said to have cost

_MOST_AT_ONCE = 64  # requests of a call that may be under way when it is left
_OF_THE_CONNECTION = ("reset", "truncated", "closed", "hang", "compressed", "huge", "slow")
"""Faults after which the client may know of a request what the server does not, or less."""


def _of_the_usage(ran: Ran) -> Iterator[str]:
    """All calls together are billed what the server's log says, and each has its share."""
    usage, log = ran.usage, ran.arrivals
    for name in ("texts", "chunks", "repeats_saved", "inputs_sent", "requests", "retries"):
        whole, parts = getattr(usage, name), [getattr(one.usage, name) for one in ran.ended]
        if whole != sum(parts[1:], parts[0]):
            yield f"{name}: {whole} in all, and {parts} by call"
    sent, inputs = len(log), sum(len(one.texts) for one in log)
    tokens = sum(one.tokens for one in log if one.texts and one.status == 200)
    billed = usage.tokens if usage.tokens is not None else tokens
    told = f"{usage} where the log has {sent} requests with {inputs} inputs, {tokens} tokens"
    if is_billed_exactly(ran):
        if (usage.requests, usage.inputs_sent, billed) != (sent, inputs, tokens):
            yield told
        return
    unsure = sum(one.fault.startswith(_OF_THE_CONNECTION) for one in log)
    unsure += _MOST_AT_ONCE * sum(map(_was_left, ran.ended))
    may_be_lost = ran.scenario.may_time_out or _tries_closed_connections(ran.scenario)
    unsure += len(log) * may_be_lost + usage.retries["transport"]
    if not sent <= usage.requests <= sent + unsure:
        yield told
    if usage.inputs_sent < inputs or billed > tokens:
        yield told


def is_billed_exactly(ran: Ran) -> bool:
    """Whether client and server must know of the same requests and replies."""
    is_whole = not any(one.fault.startswith(_OF_THE_CONNECTION) for one in ran.arrivals)
    # Of what goes into a connection at the moment in which it is closed the server knows nothing.
    is_whole = is_whole and not ran.usage.retries["transport"]
    is_whole = is_whole and not _tries_closed_connections(ran.scenario)
    return is_whole and not (any(map(_was_left, ran.ended)) or ran.scenario.may_time_out)


def _was_left(ended: Ended) -> bool:
    return ended.was_cancelled or ended.call.stop_after is not None


# Vectors


def _inputs(text: str, scenario: Scenario, *, whole: bool) -> list[str]:
    if whole:
        return [text]
    return [piece.text for piece in chunk(text, ChunkingSettings(**scenario.chunking))]


def are_right(
    texts: Sequence[str], results: Sequence[object], scenario: Scenario, *, whole: bool = False
) -> bool:
    """Whether these are the results of these texts: vectors, or lists of chunks."""
    for text, result in zip(texts, results, strict=True):
        if isinstance(result, list) and isinstance(result[0], EmbeddedChunk):
            if not _are_right_chunks(text, result, scenario):
                return False
            continue
        rows = [expected_vector(one, DIMENSIONS) for one in _inputs(text, scenario, whole=whole)]
        if len(rows) == 1:
            if not np.array_equal(np.asarray(result, np.float32), rows[0]):
                return False
            continue
        words = [len(one.split()) for one in _inputs(text, scenario, whole=whole)]
        mean = np.average(np.asarray(rows, np.float64), axis=0, weights=words)
        if not np.allclose(np.asarray(result), mean / np.linalg.norm(mean), atol=1e-6):
            return False
    return True


def _are_right_chunks(
    text: str, pieces: Sequence[EmbeddedChunk], scenario: Scenario, *, is_whole: bool = True
) -> bool:
    wanted = _inputs(text, scenario, whole=False)
    if len(pieces) > len(wanted) or (is_whole and len(pieces) < len(wanted)):
        return False
    return all(
        piece.text == wanted[place] == text[piece.start : piece.end]
        and np.array_equal(piece.embedding, expected_vector(wanted[place], DIMENSIONS))
        for place, piece in enumerate(pieces)
    )


# The server's log


def _of_the_server(ran: Ran) -> Iterator[str]:
    if any(arrival.headers.get("authorization") != f"Bearer {KEY}" for arrival in ran.arrivals):
        yield "a request without the key"
    yield from _of_the_rate(ran)
    yield from _of_retries(ran)


def _of_the_rate(ran: Ran) -> Iterator[str]:
    """At most the burst and the rate, counted from the start at each arrival.

    Whatever delays a request on its way only makes it later: this holds on a busy machine too.
    """
    per_second = ran.scenario.rate / ran.scenario.period
    for number, arrival in enumerate(sorted(ran.arrivals, key=lambda one: one.monotonic), 1):
        allowed = ran.limiter.burst + (arrival.monotonic - ran.begun) * per_second
        if number > allowed + 1e-3:
            yield f"{number} requests where {allowed:.1f} are allowed"
            return


def _of_retries(ran: Ran) -> Iterator[str]:
    """An input is sent again only after a failure, and only as often as `max_wait` lets it.

    One input that was answered may be sent again by itself, as a probe of a server that fails: at
    most one for each failure that there was. Halves of a batch are no retries.
    """
    of_input: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in ran.arrivals:
        for text in set(arrival.texts):
            of_input[text].append(arrival)
        if len(set(arrival.texts)) < len(arrival.texts):
            yield f"a request with the same input twice: {arrival.texts}"
    most = _most_attempts(float(ran.scenario.service["max_wait"]))
    all_failed = sum(one.fault not in _STILL_RIGHT or one.status != 200 for one in ran.arrivals)
    probes = 0
    for text, arrivals in of_input.items():
        failed = [one for one in arrivals if one.fault not in _STILL_RIGHT or one.status != 200]
        again = len(arrivals) - 1 - len(failed)
        alone = sum(len(one.texts) == 1 for one in arrivals)
        if again > min(alone, all_failed) and not ran.scenario.may_time_out:
            yield f"{text!r} was sent {len(arrivals)} times with {len(failed)} failures"
        probes += max(0, again)
        halved = max(len(one.texts) for one in arrivals).bit_length()
        split = 1 + sum(one.status in (400, 413, 422) for one in failed)
        routes = len({one.path for one in arrivals})
        most_failures = most * split + halved + routes - 1 + _TO_BE_SURE
        if len(failed) > most_failures:
            yield f"{text!r} was sent {len(arrivals)} times; {most_failures} fit into max_wait"
    if probes > all_failed and not ran.scenario.may_time_out:
        yield f"{probes} inputs were sent again with {all_failed} failures in all"


def _most_attempts(max_wait: float) -> int:
    """How many attempts fit in at most, where every delay is the shortest that it can be."""
    attempts, waited, bound = 1, 0.0, FIRST_DELAY
    while waited < max_wait and attempts < 10_000:
        waited += bound / 2
        bound = min(LONGEST_DELAY, bound * 2)
        attempts += 1
    return attempts + 1
