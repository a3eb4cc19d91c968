"""How many requests are in flight: whom the window lets in, and how it finds its width.

The server of these tests works in virtual time: nothing here waits.
"""

import heapq
import itertools
import random
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
from thoroughness import amount

from langchain_hf_endpoint._session.adaptive_limit import CEILING
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, Slot


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Server:
    """Works on so many requests at once, in virtual time; its callers always have more to send."""

    def __init__(self, window, *, slots, seconds=0.1, callers=200, clock=None):
        self.window = window
        self.slots = slots
        self.seconds = seconds if callable(seconds) else lambda: seconds
        self.clock = clock or Clock()
        self._arrived = deque()
        self._working = []
        self._number = itertools.count()
        for _ in range(callers):
            self._come()

    def _come(self):
        slot = Slot(32, "document")
        if self.window.acquire(slot, lambda: self._arrive(slot)):
            self._arrive(slot)

    def _arrive(self, slot):
        self._arrived.append((self.clock.now, slot))

    def _work(self):
        while self._arrived and len(self._working) < self.slots:
            seconds = self.seconds()
            done_at = self.clock.now + seconds
            heapq.heappush(
                self._working, (done_at, next(self._number), seconds, *self._arrived.popleft())
            )

    def answer(self, requests):
        """Answer so many. Returns pairs of time and limit, and the share of its power in use."""
        begun, worked, limits = self.clock.now, 0.0, []
        for _ in range(requests):
            self._work()
            self.clock.now, _, seconds, arrived_at, slot = heapq.heappop(self._working)
            worked += seconds
            self.window.replied(slot, self.clock.now - arrived_at)
            self.window.release(slot)
            self._come()
            limits.append((self.clock.now - begun, self.window.limit))
        passed = self.clock.now - begun
        return limits, worked / passed / self.slots if passed else 0.0


@pytest.fixture
def clock():
    return Clock()


class Crowd:
    """Callers at one window, and the order in which they were let in."""

    def __init__(self, **bounds):
        self.window = ConcurrencyWindow()
        self.window.bound(**bounds)
        self.entered = []

    def come(self, *names, lane="document", inputs=1, loop=None, blocked=None):
        return [self._come(name, Slot(inputs, lane, loop, blocked)) for name in names]

    def _come(self, name, slot):
        if self.window.acquire(slot, lambda: self.entered.append(name)):
            self.entered.append(name)
        return slot


def test_a_new_window_lets_a_few_in_and_the_others_in_their_order():
    crowd = Crowd()
    few = crowd.window.limit
    assert 1 < few < 10
    places = crowd.come(*range(few + 3))
    assert crowd.entered == list(range(few))
    for count in (1, 2, 3):
        crowd.window.release(places[count - 1])
        assert crowd.entered == list(range(few + count))


def test_a_place_says_whether_it_was_granted():
    crowd = Crowd(requests=1)
    first, second = crowd.come("first", "second")
    assert (first.granted, second.granted) == (True, False)
    crowd.window.release(first)
    assert second.granted


def test_leaving_twice_frees_one_place():
    crowd = Crowd(requests=1)
    first, *_ = crowd.come("a", "b", "c")
    crowd.window.release(first)
    crowd.window.release(first)
    assert crowd.entered == ["a", "b"]


def test_a_place_that_was_never_entered_can_be_left():
    crowd = Crowd(requests=1)
    crowd.window.release(Slot(1, "document"))
    crowd.come("a", "b")
    assert crowd.entered == ["a"]


def test_a_waiter_that_leaves_is_passed_over():
    crowd = Crowd(requests=1)
    first, second, _third = crowd.come("a", "b", "c")
    crowd.window.release(second)
    crowd.window.release(first)
    assert crowd.entered == ["a", "c"]


def test_a_large_request_that_stops_waiting_lets_the_small_ones_behind_it_in():
    crowd = Crowd(inputs=10)
    crowd.come("six", inputs=6)
    (large,) = crowd.come("eight", inputs=8)
    crowd.come("three", inputs=3)
    assert crowd.entered == ["six"]
    crowd.window.release(large)
    assert crowd.entered == ["six", "three"]


def test_a_waiter_whose_loop_is_closed_hands_its_place_on():
    crowd = Crowd(requests=1)
    (first,) = crowd.come("first")

    def wake_a_closed_loop():
        raise RuntimeError("Event loop is closed")

    gone = Slot(1, "document")
    assert not crowd.window.acquire(gone, wake_a_closed_loop)
    crowd.come("last")
    crowd.window.release(first)
    assert crowd.entered == ["first", "last"]


class Loop:
    """What a window may know of an event loop."""

    def is_closed(self):
        return False


LOOP, OTHER_LOOP = Loop(), Loop()


def test_a_call_that_blocks_the_tasks_which_fill_the_window_goes_past_them():
    crowd = Crowd(requests=2)
    of_loop, of_thread = crowd.come("task", loop=LOOP) + crowd.come("thread")
    blocking, third = crowd.come("blocking", "third", blocked=LOOP)
    assert blocking.granted
    assert not third.granted  # one goes past for each that the loop's tasks hold
    crowd.come("fourth")
    crowd.window.release(of_thread)
    assert crowd.entered == ["task", "thread", "blocking", "third"]
    crowd.window.release(blocking)
    assert crowd.entered == ["task", "thread", "blocking", "third"]  # as full as it may be
    crowd.window.release(third)
    assert crowd.entered == ["task", "thread", "blocking", "third", "fourth"]
    crowd.window.release(of_loop)


def test_who_went_past_makes_room_for_the_next_of_its_kind():
    crowd = Crowd(requests=1)
    crowd.come("task", loop=LOOP)
    crowd.come("thread")
    first, second = crowd.come("first", "second", blocked=LOOP)
    assert first.granted
    assert not second.granted
    crowd.window.release(first)
    assert second.granted
    assert crowd.entered == ["task", "first", "second"]


def test_a_task_that_is_let_in_while_its_loop_is_blocked_keeps_nobody_waiting():
    crowd = Crowd(requests=1)
    (first,) = crowd.come("thread")
    crowd.come("task", loop=LOOP)
    (blocking,) = crowd.come("blocking", blocked=LOOP)
    assert not blocking.granted
    crowd.window.release(first)
    assert crowd.entered == ["thread", "task", "blocking"]


def test_nobody_goes_past_threads_or_the_tasks_of_another_loop():
    crowd = Crowd(requests=2)
    crowd.come("thread")
    crowd.come("task", loop=OTHER_LOOP)
    (blocking,) = crowd.come("blocking", blocked=LOOP)
    assert not blocking.granted


def test_where_the_loop_holds_nothing_a_call_that_blocks_it_waits_like_others():
    crowd = Crowd(requests=1)
    (first,) = crowd.come("first")
    (second,) = crowd.come("second")
    (blocking,) = crowd.come("blocking", blocked=LOOP)
    crowd.come("third")
    for slot in (first, second, blocking):
        crowd.window.release(slot)
    assert crowd.entered == ["first", "second", "blocking", "third"]


def test_a_bound_of_requests_holds_over_both_lanes_and_the_lowest_one_holds():
    crowd = Crowd(requests=3)
    crowd.window.bound(requests=2)
    crowd.window.bound(requests=5)
    assert crowd.window.limit == 2
    crowd.come("document")
    crowd.come("query", lane="query")
    crowd.come("one more")
    crowd.come("one more query", lane="query")
    assert crowd.entered == ["document", "query"]


def test_a_window_never_grows_over_the_bound_that_was_set():
    window = ConcurrencyWindow()
    window.bound(requests=6)
    Server(window, slots=64).answer(2000)
    assert window.limit == 6


def test_a_bound_may_lie_above_what_the_window_would_grow_to_by_itself():
    window = ConcurrencyWindow()
    window.bound(requests=2 * CEILING)
    Server(window, slots=3 * CEILING, callers=4 * CEILING).answer(5_000)
    assert window.limit == 2 * CEILING


def test_without_a_bound_the_window_has_a_ceiling():
    window = ConcurrencyWindow()
    Server(window, slots=3 * CEILING, callers=4 * CEILING).answer(5_000)
    assert window.limit == CEILING


def test_a_bound_of_inputs_holds_over_both_lanes():
    crowd = Crowd(inputs=64)
    crowd.come("a", "b", inputs=32)
    crowd.come("c", inputs=32)
    crowd.come("q", lane="query")
    assert crowd.entered == ["a", "b"]


def test_the_lowest_bound_of_inputs_holds():
    crowd = Crowd(inputs=64)
    crowd.window.bound(inputs=32)
    crowd.window.bound(inputs=128)
    crowd.come("a", "b", inputs=32)
    assert crowd.entered == ["a"]


def test_a_request_over_the_bound_of_inputs_goes_alone_rather_than_never():
    crowd = Crowd(inputs=10)
    (small,) = crowd.come("small", inputs=1)
    (large,) = crowd.come("large", inputs=32)
    crowd.come("after", inputs=1)
    assert crowd.entered == ["small"]
    crowd.window.release(small)
    assert crowd.entered == ["small", "large"]
    crowd.window.release(large)
    assert crowd.entered == ["small", "large", "after"]


def test_documents_do_not_keep_a_query_waiting():
    crowd = Crowd()
    crowd.come(*range(100))
    crowd.come("query", lane="query")
    assert "query" in crowd.entered


def test_queries_do_not_keep_documents_waiting():
    crowd = Crowd()
    crowd.come(*range(100), lane="query")
    crowd.come("document")
    assert "document" in crowd.entered


def test_where_a_place_must_be_shared_the_query_gets_it_first():
    crowd = Crowd(requests=1)
    (first,) = crowd.come("first")
    crowd.come("document")
    (query,) = crowd.come("query", lane="query")
    crowd.window.release(first)
    assert crowd.entered == ["first", "query"]
    crowd.window.release(query)
    assert crowd.entered == ["first", "query", "document"]


def test_threads_never_have_more_places_than_there_are_and_none_is_left_behind():
    window = ConcurrencyWindow()
    window.bound(requests=3)
    lock, inside, most = threading.Lock(), 0, 0

    def one_request(_number):
        nonlocal inside, most
        slot, awake = Slot(1, "document"), threading.Event()
        if not window.acquire(slot, awake.set):
            assert awake.wait(timeout=60)
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1
        window.replied(slot, 0.01)
        window.release(slot)
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one_request, range(2000))) == 2000
    assert 1 <= most <= 3


# How the window finds its width


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16, 32, 60])
def test_the_window_opens_to_what_the_server_does_at_once_within_a_few_round_trips(slots):
    limits, used = Server(ConcurrencyWindow(), slots=slots).answer(30 * slots)
    reached = min(seconds for seconds, limit in limits if limit >= 0.9 * slots)
    assert reached <= 10 * 0.1
    assert used > 0.85


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16, 60])
def test_at_a_steady_server_hardly_more_than_it_does_at_once_is_in_flight(slots):
    limits, used = Server(ConcurrencyWindow(), slots=slots).answer(
        amount(max(5_000, 330 * slots), 20_000)
    )
    later = [limit for _, limit in limits[len(limits) // 2 :]]
    assert sum(later) / len(later) <= slots + max(2, slots / 4)
    assert max(later) <= slots + max(3, slots / 2)
    assert used > 0.98


def test_latencies_that_vary_by_themselves_do_not_narrow_the_window():
    chance = random.Random(0)
    server = Server(ConcurrencyWindow(), slots=32, seconds=lambda: chance.uniform(0.1, 0.15))
    _, used = server.answer(10_000)
    assert used > 0.95


def test_batches_of_long_and_short_texts_do_not_close_the_window():
    lengths = itertools.cycle([0.19 - 0.012 * place for place in range(16)])
    _, used = Server(ConcurrencyWindow(), slots=8, seconds=lambda: next(lengths)).answer(10_000)
    assert used > 0.9


def test_a_server_that_becomes_slower_is_used_to_the_full_again():
    server = Server(ConcurrencyWindow(), slots=32)
    server.answer(5000)
    server.seconds = lambda: 0.4
    server.answer(5000)
    _, used = server.answer(5000)
    assert used > 0.95


@pytest.mark.parametrize("slots", [4, 16])
@pytest.mark.parametrize("seconds", [0.07, 0.14, 0.18, 0.25])
def test_batches_that_take_another_time_do_not_close_the_window(slots, seconds):
    server = Server(ConcurrencyWindow(), slots=slots)
    server.answer(200 * slots)
    server.seconds = lambda: seconds
    _, used = server.answer(200 * slots)
    assert used > 0.93


@pytest.mark.parametrize("slots", [1, 8, 16])
def test_at_a_server_that_becomes_quicker_the_queue_is_short_again(slots):
    server = Server(ConcurrencyWindow(), slots=slots)
    server.answer(2000)
    for seconds in (1.0, 0.1, 0.02):
        server.seconds = lambda seconds=seconds: seconds
        limits, used = server.answer(4000)
        later = [limit for _, limit in limits[3000:]]
        assert sum(later) / len(later) <= slots + max(2, slots / 4)
        assert used > 0.95


def test_texts_that_become_ever_shorter_do_not_lengthen_the_queue():
    server = Server(ConcurrencyWindow(), slots=8)
    server.seconds = lambda: max(0.02, 0.5 - server.clock.now / 400)
    limits, used = server.answer(15_000)
    assert sum(limit for _, limit in limits) / len(limits) <= 2 * 8
    assert used > 0.95


def test_a_server_that_loses_most_of_its_replicas_is_not_swamped_for_long():
    server = Server(ConcurrencyWindow(), slots=32)
    server.answer(5000)
    server.slots = 2
    limits, _ = server.answer(5000)
    assert max(limit for _, limit in limits[3000:]) <= 16


def test_a_window_that_is_not_used_does_not_grow():
    window = ConcurrencyWindow()
    narrow = window.limit
    Server(window, slots=64, callers=narrow - 2).answer(1000)
    assert window.limit == narrow


def test_requests_that_take_no_time_do_no_harm():
    window = ConcurrencyWindow()
    Server(window, slots=4, seconds=0.0).answer(500)
    assert 1 <= window.limit <= CEILING


def test_a_bound_of_inputs_holds_while_the_window_grows():
    window = ConcurrencyWindow()
    window.bound(inputs=100)
    clock, in_flight, most = Clock(), 0, 0
    places = deque()
    for _ in range(2000):
        while True:
            slot = Slot(32, "document")
            if not window.acquire(slot, lambda: None):
                window.release(slot)
                break
            places.append(slot)
            in_flight += 32
        most = max(most, in_flight)
        clock.now += 0.1
        window.replied(places[0], 0.1)
        window.release(places.popleft())
        in_flight -= 32
    assert most == 96


class Edge:
    """A house that takes so many requests at once and refuses more; each takes its time."""

    def __init__(self, most, clock, seconds=0.1):
        self.most = most
        self.clock = clock
        self.seconds = seconds
        self.window = ConcurrencyWindow(clock)
        self.refused = []
        self._house = deque()

    def _fill(self):
        """Send as many as the window lets in."""
        while True:
            slot = Slot(32, "document")
            if not self.window.acquire(slot, lambda: None):
                self.window.release(slot)
                return
            if len(self._house) < self.most:
                self._house.append((self.clock.now, slot))
            else:
                self.refused.append(self.clock.now)
                self.window.refused_at(slot.in_flight)
                self.window.release(slot)

    def answer(self, requests):
        """Answer so many; returns the mean number in the house."""
        inside = 0
        for _ in range(requests):
            self._fill()
            inside += len(self._house)
            sent_at, slot = self._house.popleft()
            self.clock.now = max(self.clock.now, sent_at + self.seconds)
            self.window.replied(slot, self.clock.now - sent_at)
            self.window.release(slot)
        return inside / requests


@pytest.mark.parametrize("most", [1, 2, 8, 40])
def test_a_house_that_refuses_more_is_kept_full(most, clock):
    house = Edge(most, clock)
    house.answer(30 * most)
    assert house.answer(30 * most) >= 0.97 * most


def test_what_lies_beyond_an_edge_is_tried_ever_less_often_but_always_again(clock):
    house = Edge(8, clock)
    house.answer(20_000)
    tries = [later - earlier for earlier, later in itertools.pairwise(house.refused)]
    assert 3.0 < max(tries) < 4.0  # thirty-two round trips of a tenth of a second
    assert all(3.0 < wait < 4.0 for wait in tries[-20:])
    assert sum(wait < 3.0 for wait in tries) < 12


def test_an_edge_that_moves_up_is_found(clock):
    house = Edge(4, clock)
    house.answer(1000)
    house.most, since = 32, clock.now
    while house.window.limit < 32:
        house.answer(1)
    assert clock.now - since < 3.2 + 2.0  # until it is tried, and then in steps that double


def test_an_edge_that_moves_down_costs_few_refusals(clock):
    house = Edge(32, clock)
    house.answer(1000)
    house.most, before = 8, len(house.refused)
    house.answer(32)
    assert house.answer(200) >= 0.95 * 8
    assert len(house.refused) - before < 16


def test_after_a_refusal_the_window_is_back_at_the_edge_within_a_round_trip(clock):
    house = Edge(8, clock)
    house.answer(100)
    while len(house.refused) < 8:
        house.answer(1)
    assert house.window.limit < 8
    house.answer(8)
    assert house.window.limit == 8


def test_at_an_edge_a_query_waits_for_a_free_place_rather_than_be_refused():
    crowd = Crowd()
    places = crowd.come(*range(crowd.window.limit))
    crowd.window.refused_at(places[-1].in_flight)
    crowd.window.release(places[-1])
    assert crowd.window.most == len(places) - 1
    crowd.come("query", lane="query")
    assert "query" not in crowd.entered
    crowd.window.release(places[0])
    assert crowd.entered[-1] == "query"


def test_the_edge_is_what_was_in_flight_when_the_refused_request_was_sent():
    crowd = Crowd(requests=4)
    first, second, *_ = crowd.come(*range(4))
    crowd.window.refused_at(second.in_flight)
    assert crowd.window.most == 1
    crowd.window.refused_at(
        first.in_flight
    )  # a server that refuses the only request: less than one is never in flight
    assert crowd.window.most == 1


@pytest.fixture
def busy(clock):
    """A server that answers within a tenth of a second, at a window that was opened to 40."""
    window = ConcurrencyWindow(clock)
    window.bound(requests=40)
    server = Server(window, slots=64, clock=clock)
    server.answer(1000)
    assert window.limit == 40
    return server


@pytest.fixture
def wide(busy):
    return busy.window


def test_a_refusal_halves_the_window(wide):
    wide.refused()
    assert wide.limit == 20


def test_a_wave_of_refusals_halves_the_window_once(wide, clock):
    for _ in range(40):
        wide.refused()
        clock.now += 0.002
    assert wide.limit == 20


def test_the_next_wave_halves_it_again(wide, clock):
    for width in (20, 10, 5, 2, 1, 1, 1):
        wide.refused()
        assert wide.limit == width
        clock.now += 1.0


def test_a_first_wave_is_one_wave_too(clock):
    window = ConcurrencyWindow(clock)
    start = window.limit
    window.replied(Slot(32, "document"), 2.0)
    for _ in range(4):
        window.refused()
        clock.now += 0.4
    assert window.limit == start // 2


def test_after_a_time_out_the_window_opens_slowly_and_then_ever_faster(busy):
    busy.window.refused()
    busy.answer(20)
    assert 20 <= busy.window.limit <= 22
    busy.answer(100)
    assert busy.window.limit == 40


def test_after_a_cold_start_the_window_opens_as_fast_as_at_first(busy):
    for _ in range(6):
        busy.window.refused(is_waking=True)
        busy.clock.now += 1.0
    assert busy.window.limit == 1
    busy.answer(100)
    assert busy.window.limit == 40


def test_those_who_wait_are_let_in_one_by_one_after_a_refusal():
    crowd = Crowd()
    width = crowd.window.limit
    places = crowd.come(*range(width + 4))
    crowd.window.refused()
    for slot in places[: width // 2]:
        crowd.window.release(slot)
    assert crowd.entered == list(range(width))
    crowd.window.release(places[width // 2])
    assert crowd.entered == list(range(width + 1))


def test_a_window_shows_its_state():
    crowd = Crowd(requests=2)
    crowd.come("a", "b", "c", inputs=5)
    assert repr(crowd.window) == "<Window of 2 requests: 2 in flight with 10 inputs, 1 waiting>"


# What another worker found


@pytest.mark.parametrize("slots", [8, 16, 64])
def test_a_window_that_is_told_the_width_begins_there_and_goes_nowhere_else(slots, clock):
    """A cold one doubles beyond it, to see where the server is full."""
    window = ConcurrencyWindow(clock)
    window.begin_with(slots, 0)
    assert window.limit == slots
    limits, share = Server(window, slots=slots, clock=clock).answer(50 * slots)
    assert share >= 0.95
    assert max(limit for _, limit in limits) <= slots + max(3, slots / 4)
    assert window.found == pytest.approx(slots, rel=0.2)


def test_one_of_two_that_begin_has_half_of_it_and_doubles_no_further(clock):
    window = ConcurrencyWindow(clock)
    window.begin_with(32, 1)
    assert window.limit == 16
    limits, _ = Server(window, slots=1000, clock=clock).answer(32)
    assert max(limit for _, limit in limits) == 32


@pytest.mark.parametrize(("told", "slots"), [(4, 32), (100, 4), (1, 8), (16, 1)])
def test_a_width_that_is_not_true_any_more_is_found_anew(told, slots, clock):
    window = ConcurrencyWindow(clock)
    window.begin_with(told, 0)
    server = Server(window, slots=slots, clock=clock)
    server.answer(100 * slots)
    limits, share = server.answer(100 * slots)
    assert share >= 0.95
    assert max(limit for _, limit in limits) <= slots + max(4, slots / 2)


def test_nothing_is_found_before_the_server_was_full_or_refused(clock):
    window = ConcurrencyWindow(clock)
    Server(window, slots=64, clock=clock).answer(20)
    assert window.found is None
    window.refused_at(20)
    assert window.found == 19
