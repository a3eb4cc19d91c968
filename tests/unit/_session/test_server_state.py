"""What is remembered of a server, and how it bounds the requests to come."""

import pytest

from langchain_hf_endpoint._messages import ServerInfo
from langchain_hf_endpoint._session.server_state import DEFAULT_BATCH_SIZE, ServerState


def learned(**info):
    return ServerState(info=ServerInfo(kind="tei", **info) if info else None)


def test_a_batch_is_of_32_while_nothing_is_known():
    assert learned().batch_size(None) == DEFAULT_BATCH_SIZE == 32
    assert learned(version="1.8").batch_size(None) == 32


@pytest.mark.parametrize(
    ("wanted", "stated", "at_once", "size"),
    [
        (None, 8, None, 8),
        (None, 128, None, 128),
        (None, 128, 512, 128),
        (None, None, 16, 16),
        (None, 128, 16, 16),
        (8, None, None, 8),
        (256, None, None, 256),
        (8, 32, None, 8),
        (64, 32, None, 32),  # what the server says it refuses is not sent
        (64, 128, 16, 16),
        (1, 32, 512, 1),
    ],
)
def test_a_batch_is_as_large_as_the_settings_want_and_the_server_takes(
    wanted, stated, at_once, size
):
    server = learned(max_batch_size=stated, max_concurrent_inputs=at_once, version="1")
    assert server.batch_size(wanted) == size


def test_a_refused_batch_is_remembered_at_the_limit_that_was_stated():
    server = learned()
    server.refused_batch(32, 10)
    assert server.batch_size(None) == 10
    assert server.batch_size(64) == 10
    assert server.batch_size(4) == 4


@pytest.mark.parametrize("stated", [None, 0, 32, 100])
def test_a_refused_batch_is_halved_where_the_stated_limit_says_nothing(stated):
    server = learned()
    server.refused_batch(32, stated)
    assert server.batch_size(None) == 16


def test_what_was_learned_never_grows_again():
    server = learned()
    server.refused_batch(32, 4)
    server.refused_batch(32, 10)
    server.refused_batch(20, None)
    assert server.batch_size(None) == 4


def test_a_batch_never_has_less_than_one_input():
    server = learned()
    for inputs in (3, 1, 1):
        server.refused_batch(inputs, None)
    assert server.batch_size(None) == 1


def test_a_body_is_below_the_two_megabytes_of_the_usual_server():
    assert 1_000_000 < learned().body_bytes < 2_000_000


def test_a_refused_body_is_halved_and_remembered():
    server = learned()
    server.refused_body(1_000_000)
    assert server.body_bytes == 500_000
    server.refused_body(1_500_000)
    assert server.body_bytes == 500_000
    for size in (3, 1, 1):
        server.refused_body(size)
    assert server.body_bytes == 1


def test_the_width_of_the_first_reply_is_the_width_of_all():
    server = learned()
    assert server.dimensions(None) is None
    assert not server.has_worked
    assert server.problem_with_dimensions(None, 384) is None
    assert server.has_worked
    assert server.problem_with_dimensions(None, 384) is None
    assert server.dimensions(None) == 384


def test_another_width_is_a_problem_that_names_both_and_changes_nothing():
    server = learned()
    server.problem_with_dimensions(None, 384)
    problem = server.problem_with_dimensions(None, 768)
    assert "384" in problem
    assert "768" in problem
    assert server.dimensions(None) == 384


def test_a_width_that_was_not_asked_for_is_a_problem_and_no_sign_of_life():
    server = learned()
    problem = server.problem_with_dimensions(64, 384)
    assert "64" in problem
    assert "384" in problem
    assert not server.has_worked
    assert server.dimensions(64) is None


def test_each_number_of_dimensions_that_is_asked_for_has_its_own_width():
    server = learned()
    assert server.problem_with_dimensions(None, 768) is None
    assert server.problem_with_dimensions(64, 64) is None
    assert server.problem_with_dimensions(128, 128) is None
    assert (server.dimensions(None), server.dimensions(64), server.dimensions(128)) == (
        768,
        64,
        128,
    )


def test_a_batch_that_took_too_long_and_worked_in_parts_is_too_large():
    server = learned()
    server.worked_in_parts(32, is_sure=True)
    assert server.batch_size(None) == 16


def test_where_it_may_have_been_chance_it_must_happen_again_before_one_works():
    server = learned()
    server.worked_in_parts(32, is_sure=False)
    assert server.batch_size(None) == 32
    server.answered(["text"] * 32, 1)
    server.failed_again(32, 1)
    assert server.batch_size(None) == 32
    server.worked_in_parts(32, is_sure=False)
    server.answered(["text"] * 16, 1)
    server.failed_again(16, 1)
    assert server.batch_size(None) == 32
    server.failed_again(32, 1)
    assert server.batch_size(None) == 16


def test_what_failed_before_the_doubt_arose_does_not_confirm_it():
    server = learned()
    since = server.begin()
    server.worked_in_parts(8, is_sure=False)
    server.failed_again(32, since)
    assert server.batch_size(None) == 32
    server.failed_again(32, server.begin())
    assert server.batch_size(None) == 4


def test_the_last_request_that_is_answered_is_known_and_a_short_input_is_kept_as_a_sample():
    server = learned()
    assert (server.answers, server.sample) == (0, None)
    first, second, third = (server.begin() for _ in range(3))
    server.answered(["longest", "long"], second)
    server.answered(["longer"], first)
    assert (server.answers, server.begun, server.sample) == (second, third, "long")
