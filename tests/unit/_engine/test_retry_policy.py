"""When a failure is worth another try, and how long the wait before it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_hf_endpoint._engine.retry_policy import RetryPolicy
from langchain_hf_endpoint._messages import Cause, Failure

RETRIED = [Cause.NOT_READY, Cause.RATE_LIMITED, Cause.SERVER, Cause.TRANSPORT]
FINAL = [cause for cause in Cause if cause not in RETRIED]
BUSY = Failure(Cause.SERVER, "busy", 500)


def asked(seconds, cause=Cause.RATE_LIMITED):
    return Failure(cause, "slow down", 429, retry_after=seconds)


def policy(max_wait=600.0, chance=0.5):
    return RetryPolicy(max_wait, chance=lambda: chance)


@pytest.mark.parametrize("cause", RETRIED)
def test_what_may_pass_by_itself_is_tried_again(cause):
    assert policy().delay(Failure(cause, "later"), 1, 0.0) > 0


@pytest.mark.parametrize("cause", FINAL)
def test_what_stays_wrong_is_never_tried_again(cause):
    assert policy().delay(Failure(cause, "no"), 1, 0.0) is None
    assert policy().delay(Failure(cause, "no", retry_after=1.0), 1, 0.0) is None


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_delays_double_up_to_a_bound_and_lie_in_its_upper_half(chance, share):
    delays = [policy(chance=chance).delay(BUSY, attempt, 0.0) for attempt in range(1, 9)]
    assert delays == [share * bound for bound in (0.5, 1, 2, 4, 8, 8, 8, 8)]


def test_a_server_that_has_too_much_to_do_is_asked_again_when_it_usually_has_room():
    busy = Failure(Cause.RATE_LIMITED, "overloaded", 429)
    delays = [policy(chance=1.0).delay(busy, attempt, 0.0, 0.02) for attempt in range(1, 12)]
    assert delays == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 8.0, 8.0]
    assert policy(chance=1.0).delay(busy, 1, 0.0, 3.0) == 0.5  # a slow one not later than others
    assert policy(chance=1.0).delay(BUSY, 1, 0.0, 0.02) == 0.5  # an error is no lack of room


def test_the_bounds_may_be_set():
    quick = RetryPolicy(10.0, first_delay=0.1, longest_delay=0.3, chance=lambda: 1.0)
    delays = [quick.delay(BUSY, attempt, 0.0) for attempt in (1, 2, 3, 4)]
    assert delays == [0.1, 0.2, 0.3, 0.3]


def test_callers_that_fail_together_do_not_come_back_together():
    delays = {RetryPolicy(600.0).delay(BUSY, 5, 0.0) for _ in range(50)}
    assert len(delays) > 40


def test_a_late_attempt_has_a_delay_too():
    assert policy(chance=1.0).delay(BUSY, 10_000, 0.0) == 8.0


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 30.0, 599.0])
@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_a_wait_that_the_server_asks_for_is_kept_to_the_full_and_hardly_overdone(seconds, chance):
    delay = policy(chance=chance).delay(asked(seconds), 1, 0.0)
    assert seconds < delay < seconds + 0.2


def test_a_wait_that_the_server_asks_for_does_not_grow_with_the_attempts():
    assert policy().delay(asked(1.0), 1, 0.0) == policy().delay(asked(1.0), 20, 0.0)


@pytest.mark.parametrize(("left", "seconds"), [(10.0, 10.1), (0.5, 60.0), (599.0, 3600.0)])
def test_a_wait_that_does_not_fit_is_not_begun(left, seconds):
    assert policy().delay(asked(seconds), 3, 600.0 - left) is None


def test_a_wait_that_just_fits_is_kept():
    assert policy().delay(asked(10.0), 3, 590.0) == 10.0


def test_the_last_attempt_is_made_at_the_end_of_the_budget():
    assert policy(chance=1.0).delay(BUSY, 8, 597.0) == 3.0


@pytest.mark.parametrize("elapsed", [600.0, 600.1, 10_000.0])
def test_nothing_is_tried_after_the_budget(elapsed):
    assert policy().delay(BUSY, 3, elapsed) is None
    assert policy().delay(asked(0.0), 3, elapsed) is None


def test_without_a_budget_nothing_is_tried_twice():
    assert policy(max_wait=0.0).delay(BUSY, 1, 0.0) is None
    assert policy(max_wait=0.0).delay(asked(0.0), 1, 0.0) is None


@settings(deadline=None)
@given(
    st.builds(
        Failure,
        st.sampled_from(Cause),
        st.just("failed"),
        retry_after=st.none() | st.floats(0, 1000),
    ),
    st.integers(1, 1000),
    st.floats(0, 1000),
    st.floats(0, 1000),
    st.floats(0, 1),
)
def test_no_wait_ends_after_the_budget_and_none_is_shorter_than_asked(
    failure, attempt, elapsed, max_wait, chance
):
    delay = policy(max_wait, chance).delay(failure, attempt, elapsed)
    if delay is not None:
        assert failure.cause in RETRIED
        assert 0 < delay <= max_wait - elapsed
        assert delay >= (failure.retry_after or 0)
