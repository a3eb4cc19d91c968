"""What workers tell one another of a server, and what becomes of it: without Redis."""

import pytest

from langchain_hf_endpoint._protocols import candidates
from langchain_hf_endpoint._protocols.detection import numbered
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
from langchain_hf_endpoint._session.server_state import ServerState
from langchain_hf_endpoint._session.shared_facts import name_of, news, take

URL = "https://embed.example.org"


@pytest.fixture
def server():
    return ServerState()


@pytest.fixture
def window():
    return ConcurrencyWindow()


def test_a_new_worker_has_nothing_to_tell(server, window):
    assert news(server, window) == {}


def test_what_refusals_and_routes_have_shown_is_told_once(server, window):
    server.refused_batch(32, 8)
    server.refused_body(1_000_000)
    server.route = numbered(candidates(URL), None)[1]
    window.refused_at(17)
    told = {"width": 16, "batch_size": 8, "body_bytes": 500_000, "route": 1}
    assert news(server, window) == told
    assert news(server, window) == {}
    server.refused_batch(8, None)
    assert news(server, window) == {"batch_size": 4}


def test_a_width_that_is_about_the_same_is_no_news(server, window):
    window.refused_at(17)
    assert news(server, window) == {"width": 16}
    window.refused_at(13)
    assert news(server, window) == {}
    window.refused_at(9)
    assert news(server, window) == {"width": 8}


def test_a_new_worker_begins_with_what_others_found(server, window):
    take({"width": 16, "batch_size": 8, "body_bytes": 500_000, "route": 1}, server, window)
    assert (window.limit, server.batch_size(None), server.body_bytes) == (16, 8, 500_000)
    first, *_ = numbered(candidates(URL), server.likeliest)
    assert first.url == f"{URL}/v1/embeddings"


def test_what_was_only_heard_is_not_told_again(server, window):
    take({"width": 16, "batch_size": 8, "body_bytes": 500_000, "route": 1}, server, window)
    assert news(server, window) == {}
    server.refused_batch(8, None)
    assert news(server, window) == {"batch_size": 4}


def test_those_who_begin_together_begin_with_parts_of_the_width():
    """Else they would flood a server that one of them may be filling already."""
    limits = []
    for begun in range(1, 8):
        window = ConcurrencyWindow()
        take({"width": 64, "begun": begun}, ServerState(), window)
        limits.append(window.limit)
    assert limits == [32, 21, 16, 12, 10, 9, 8]
    assert sum(limits) < 2 * 64


@pytest.mark.parametrize(("width", "limit"), [(1, 1), (3, 3), (8, 4), (1000, 4)])
def test_a_part_is_no_less_than_without_a_hint_nor_more_than_was_found(width, limit, server):
    window = ConcurrencyWindow()
    take({"width": width, "begun": 1000}, server, window)
    assert window.limit == limit == min(width, ConcurrencyWindow().limit)


def test_who_began_with_a_part_and_finds_the_whole_tells_it_again(server, window):
    take({"width": 16, "begun": 1}, server, window)
    assert window.limit == 8
    window.refused_at(17)
    assert news(server, window) == {"width": 16}


def test_a_window_that_knows_better_takes_no_hint(server, window):
    window.refused_at(4)
    before = window.limit
    take({"width": 100}, server, window)
    assert window.limit == before


def test_a_bound_of_the_users_holds_whatever_others_found(server, window):
    window.bound(requests=5)
    take({"width": 100}, server, window)
    assert window.limit == 5


def test_what_was_found_out_here_stays(server, window):
    server.refused_batch(32, 4)
    server.refused_body(100_000)
    take({"batch_size": 8, "body_bytes": 500_000}, server, window)
    assert (server.batch_size(None), server.body_bytes) == (4, 50_000)
    assert news(server, window) == {"batch_size": 4, "body_bytes": 50_000}


@pytest.mark.parametrize("fact", [0, -5, 1.5, "16", None, [], {"a": 1}])
def test_what_is_no_fact_is_left_aside(fact, server, window):
    """Others may write to the same Redis."""
    before = window.limit
    take(
        dict.fromkeys(("width", "batch_size", "body_bytes", "route", "begun"), fact), server, window
    )
    assert (window.limit, server.batch_size(None), server.likeliest) == (before, 32, None)
    assert server.body_bytes == ServerState().body_bytes


def test_a_route_that_there_is_not_changes_nothing():
    assert numbered(candidates(URL), 1000) == numbered(candidates(URL), None)


def test_the_name_of_a_server_tells_nothing_of_it_and_is_its_own():
    names = {
        name_of(url, model, scores=scores)
        for url in (URL, f"{URL}/")
        for model in (None, "None", "a")
        for scores in (False, True)
    }
    assert len(names) == 12
    assert not any("example" in name for name in names)
