"""Whatever the server is like, a client that was told nothing about it keeps it busy.

Whole jobs in virtual time. The share is that of the middle of a job: from a third of it, when the
width is found, to its last batches, after which nothing is left to send.
"""

import pytest
from thoroughness import IS_THOROUGH
from virtual_endpoint import Kind, Run

STEADY = {
    f"{slots} at once, {milliseconds} ms": (Kind(slots, milliseconds / 1000, client=0.00005), job)
    for slots in (1, 4, 16, 64)
    for milliseconds, job in ((5, 0.5), (50, 3.0), (500, 12.0))
} | {
    "permits for 64 inputs": (Kind(64, 0.02, batch=32, permits=64), 2.0),
    "permits for 512 inputs": (Kind(64, 0.05, batch=32, permits=512), 2.0),
    "slow CPU": (Kind(1, 0.325, jitter=0.1), 10.0),
    "429 above 8 requests": (Kind(8, 0.02, edge=8), 3.0),
    "429 above 8, times that vary": (Kind(8, 0.02, edge=8, jitter=0.3), 3.0),
    "429 above 8, a wavering network": (Kind(8, 0.02, edge=8, jitter=0.3, wobble=0.005), 6.0),
    "429 above 8, slow": (Kind(8, 0.2, edge=8, jitter=0.1), 20.0),
    "429 above 16, of which 8 are worked on": (Kind(8, 0.05, edge=16, jitter=0.1), 6.0),
    "429 above 64": (Kind(64, 0.05, edge=64, jitter=0.1), 3.0),
    "times that vary much": (Kind(16, 0.05, jitter=0.7), 4.0),
    "a wavering network": (Kind(16, 0.05, jitter=0.3, wobble=0.02), 4.0),
    "a wide server over a wavering network": (Kind(64, 0.05, jitter=0.2, wobble=0.02), 4.5),
    "a server that is far away": (Kind(16, 0.02, jitter=0.2, transit=0.025, wobble=0.01), 3.0),
    "a client that is busy half of the time": (Kind(64, 0.05, client=0.0004), 3.0),
    "for a long time": (Kind(4, 0.1, jitter=0.5, wobble=0.01), 120.0),
}
CHANGING = {
    "16, then 4, then 16": (Kind(16, 0.05, slots_at=((2.0, 4), (4.0, 16))), 6.0),
    "the same, times that vary": (Kind(16, 0.05, 4, 0.2, slots_at=((2.0, 4), (4.0, 16))), 6.0),
    "the same, more slowly": (Kind(16, 0.05, 4, 0.2, slots_at=((5.0, 4), (10.0, 16))), 15.0),
    "4, then 32, then 4": (Kind(4, 0.1, 4, 0.1, slots_at=((5.0, 32), (10.0, 4))), 15.0),
    "429 above 4, then above 32": (Kind(32, 0.05, edge=4, edge_at=((5.0, 32),)), 15.0),
    "429 above 32, then above 8": (Kind(32, 0.05, edge=32, edge_at=((5.0, 8),)), 15.0),
}


def run(kind, seconds, share=0.4, **more):
    share = 1.0 if IS_THOROUGH else share
    return Run(kind, kind.texts(share * seconds), **more)


@pytest.mark.parametrize("name", STEADY)
def test_a_server_is_kept_busy_by_a_client_that_was_told_nothing(name):
    assert run(*STEADY[name]).middle >= 0.95


@pytest.mark.parametrize("name", CHANGING)
def test_a_server_whose_capacity_changes_is_kept_busy_all_the_same(name):
    assert run(*CHANGING[name], share=1.0).whole >= 0.9


@pytest.mark.parametrize("seed", [1, 2])  # 0 is that of all other runs
def test_what_chance_brings_does_not_matter(seed):
    for name in ("times that vary much", "a wavering network", "429 above 8, times that vary"):
        assert run(*STEADY[name], share=0.6, seed=seed).middle >= 0.95


@pytest.mark.parametrize("slots", [4, 16])
def test_a_client_that_stands_still_half_of_the_time_has_more_in_flight(slots):
    """On a machine that others need too the server works on what waits there meanwhile."""
    kind = Kind(slots, 0.05, stalls=(0.03, 0.03))
    assert run(kind, 5.0, share=1.0).middle >= 0.85


@pytest.mark.parametrize("seconds", [0.05, 0.3])
@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16, 64])
def test_no_queue_of_its_own_making_is_before_what_comes_next(slots, seconds):
    """An ingestion has S + 2 batches at a server of S slots, or S + S / 4 where that is more."""
    job = run(Kind(slots, seconds), 100 * seconds)
    assert job.middle >= 0.95
    assert job.in_house <= slots + max(2, slots / 4)


@pytest.mark.parametrize(("slots", "most"), [(1, 6), (4, 24), (16, 64)])
def test_a_narrow_server_is_not_swamped(slots, most):
    job = run(Kind(slots, 0.05, jitter=0.3, wobble=0.005), 20.0)
    assert job.middle >= 0.95
    assert job.endpoint.most <= most
    assert job.in_house <= slots + max(2, slots / 4)


def test_requests_at_the_edge_are_seldom_refused():
    job = run(Kind(8, 0.05, edge=8, jitter=0.2), 30.0)
    assert len(job.endpoint.refused) <= 0.01 * len(job.endpoint.worked)


def test_permits_that_the_server_states_are_never_exceeded():
    assert not run(Kind(64, 0.02, batch=32, permits=64), 2.0).endpoint.refused


def test_the_users_bound_holds():
    assert run(Kind(64, 0.05), 1.0, max_concurrent=5).endpoint.most == 5


def test_the_users_limit_of_requests_is_used_up_where_the_server_could_do_more():
    job = run(Kind(64, 0.05), 0.5, share=1.0, requests_per_minute=3000)  # 640 batches
    assert job.ended <= 640 / 50 * 1.02
