"""Whose fault a failure is, from counts alone."""

import pytest

from langchain_hf_endpoint._engine.blame import (
    InputRange,
    Next,
    Suspicion,
    suspicion,
    tells_of_size,
    took_too_long,
    tries_again,
    what_next,
)
from langchain_hf_endpoint._messages import Cause, Failure

SUSPICIONS = {
    (Cause.INPUT_REJECTED, 400): Suspicion.REFUSED,
    (Cause.BODY_TOO_LARGE, 413): Suspicion.REFUSED,
    (Cause.BACKEND, 424): Suspicion.FINAL,
    (Cause.BLOCKED, 403): Suspicion.FINAL,
    (Cause.AUTHENTICATION, 403): Suspicion.FINAL,
    (Cause.PROTOCOL, 406): Suspicion.FINAL,
    (Cause.PROTOCOL, 200): Suspicion.MALFORMED,
    (Cause.SERVER, 500): Suspicion.PASSING,
    (Cause.TRANSPORT, None): Suspicion.PASSING,
    (Cause.AUTHENTICATION, 401): None,
    (Cause.PAYMENT_REQUIRED, 402): None,
    (Cause.NOT_FOUND, 404): None,
    (Cause.PAUSED, 400): None,
    (Cause.NOT_READY, 503): Suspicion.BUSY,
    (Cause.RATE_LIMITED, 429): None,
    (Cause.UNREACHABLE, None): None,
    (Cause.SETTING_REJECTED, 422): None,
    (Cause.DIMENSIONS, 200): None,
}
SHARED = {"aside": 0, "is_last": False, "can_probe": False}


@pytest.mark.parametrize(("of", "expected"), SUSPICIONS.items(), ids=str)
def test_what_may_be_the_inputs_fault(of, expected):
    cause, status = of
    assert suspicion(Failure(cause, "words", status), has_worked=True) is expected


def test_a_key_that_was_never_accepted_and_a_connection_that_never_stood_are_not():
    forbidden = Failure(Cause.AUTHENTICATION, "Forbidden", 403)
    assert suspicion(forbidden, has_worked=False) is None
    down = Failure(Cause.TRANSPORT, "refused", connected=False)
    assert suspicion(down, has_worked=True) is None


@pytest.mark.parametrize(
    ("status", "of_size", "of_time"),
    [
        (408, True, True),
        (504, True, True),
        (524, True, True),
        (502, True, False),
        (500, False, False),
        (503, False, False),
        (424, False, False),
    ],
)
def test_what_tells_of_batches_that_are_too_large(status, of_size, of_time):
    failure = Failure(Cause.SERVER, "words", status)
    assert (tells_of_size(failure), took_too_long(failure)) == (of_size, of_time)


@pytest.mark.parametrize(
    ("why", "tries"), [(Suspicion.FINAL, 1), (Suspicion.MALFORMED, 2), (Suspicion.PASSING, 2)]
)
def test_a_batch_is_tried_as_it_is_before_it_is_halved(why, tries):
    run, made = InputRange(0, 32), 1
    run.failed(5, begun=5)
    while tries_again(run, why, 5, is_last=False, can_probe=True):
        run.failed(5, begun=5)
        made += 1
    assert made == tries
    assert what_next(run, why, 5, **SHARED) is Next.HALVE


def test_a_half_is_tried_once_and_set_aside_while_nothing_is_answered():
    run = InputRange(0, 32)
    run.failed(5, begun=5)
    first, second = run.halves()
    assert (first.start, first.stop, second.start, second.stop) == (0, 16, 16, 32)
    second.failed(5, begun=5)
    assert not tries_again(second, Suspicion.PASSING, 5, is_last=False, can_probe=False)
    shared = SHARED | {"aside": 1}
    assert what_next(second, Suspicion.PASSING, 5, **shared) is Next.SET_ASIDE
    assert what_next(second, Suspicion.PASSING, 6, **shared) is Next.HALVE


@pytest.mark.parametrize("why", [Suspicion.FINAL, Suspicion.MALFORMED, Suspicion.PASSING])
def test_one_input_is_never_blamed_while_nothing_else_is_answered(why):
    run = InputRange(0, 1, failures=7, first=3)
    for _ in range(50):
        run.failed(5, begun=5)
        assert not run.is_to_blame(why, 5)
    assert what_next(run, why, 5, **SHARED | {"is_last": True}) is Next.GIVE_UP


@pytest.mark.parametrize(
    ("why", "after"), [(Suspicion.FINAL, 1), (Suspicion.MALFORMED, 1), (Suspicion.PASSING, 2)]
)
def test_one_input_is_blamed_where_it_fails_and_others_are_answered(why, after):
    run = InputRange(0, 1, failures=6, first=3)
    run.failed(5, begun=5)
    for answers in range(6, 6 + after):
        assert not run.is_to_blame(why, answers)
        run.failed(answers, begun=answers)
    assert run.is_to_blame(why, 10)
    assert what_next(run, why, 10, **SHARED) is Next.BLAME


@pytest.mark.parametrize("why", [Suspicion.FINAL, Suspicion.MALFORMED, Suspicion.PASSING])
def test_an_answer_to_what_was_under_way_when_it_failed_shows_nothing(why):
    run = InputRange(0, 1, failures=6, first=3)
    for answers in range(3, 10):
        run.failed(answers, begun=9)
    assert not run.is_to_blame(why, 9)
    assert not run.server_works(3)
    assert run.after_others == 0


def test_one_input_whose_time_is_over_before_there_is_proof_fails_without_blame():
    run = InputRange(0, 1)
    run.failed(5, begun=5)
    run.failed(6, begun=6)
    assert what_next(run, Suspicion.BUSY, 7, **SHARED | {"is_last": True}) is Next.FAIL_ALONE
    assert what_next(run, Suspicion.BUSY, 7, **SHARED) is Next.SET_ASIDE


def test_one_input_alone_from_the_start_is_tried_eight_times_where_it_may_pass():
    run = InputRange(0, 1)
    for answers in range(8):
        assert not run.is_to_blame(Suspicion.PASSING, answers)
        run.failed(answers, begun=answers)
    assert run.is_to_blame(Suspicion.PASSING, 8)


def test_what_works_is_asked_for_after_four_failures_without_a_sign_of_life():
    run, shared = InputRange(0, 1), {"is_last": True, "can_probe": True}
    probes = []
    for failures in range(1, 13):
        run.failed(5, begun=5)
        if not tries_again(run, Suspicion.PASSING, 5, **shared):
            assert what_next(run, Suspicion.PASSING, 5, aside=0, **shared) is Next.SET_ASIDE
            probes.append(failures)
    assert probes == [4, 8, 12]
