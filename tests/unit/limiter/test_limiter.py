"""What the limiter promises, shown on a clock that the test turns."""

import asyncio
import copy
import gc
import heapq
import itertools
import os
import pickle
import random
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
from langchain_core.rate_limiters import BaseRateLimiter
from thoroughness import in_pairs

from langchain_hf_endpoint.errors import RateLimitedError, SettingsError
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter


class World:
    """A clock, and callers that sleep until the limiter told them to ask again."""

    def __init__(self, requests_per_minute, **settings):
        self.now = 0.0
        self.limiter = RequestsPerMinuteLimiter(
            requests_per_minute, clock=lambda: self.now, **settings
        )
        self.starts = []  # (moment, name)
        self.asked = 0
        self.lateness = lambda: 0.0
        self.after_start = lambda name: None
        self._sleepers = []
        self._lanes = {}
        self._count = itertools.count()

    def come(self, name="", lane="document"):
        turn = self.limiter.reserve(lane)
        self._ask(turn, name)
        return turn

    def come_at(self, moment, name, lane="document"):
        self.run(moment)
        return self.come(name, lane)

    def keep_busy(self, callers, lane="document"):
        """So many callers that line up again as soon as they have started."""
        self.after_start = lambda name: self._come_soon(name, self._lanes[name])
        for number in range(callers):
            name = f"{lane} {number}"
            self._lanes[name] = lane
            self._come_soon(name, lane)

    def _come_soon(self, name, lane):
        turn = self.limiter.reserve(lane)
        heapq.heappush(self._sleepers, (self.now, next(self._count), turn, name))

    def _ask(self, turn, name):
        self.asked += 1
        if seconds := turn.wait():
            wake = self.now + seconds + self.lateness()
            heapq.heappush(self._sleepers, (wake, next(self._count), turn, name))
        else:
            self.starts.append((self.now, name))
            self.after_start(name)

    def run(self, until=float("inf")):
        while self._sleepers and self._sleepers[0][0] <= until:
            wake, _, turn, name = heapq.heappop(self._sleepers)
            self.now = max(self.now, wake)
            self._ask(turn, name)
        if until < float("inf"):
            self.now = max(self.now, until)

    def cancel(self, turn):
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[2] is not turn]
        heapq.heapify(self._sleepers)
        turn.give_back()

    @property
    def moments(self):
        return [moment for moment, _ in self.starts]

    @property
    def order(self):
        return [name for _, name in self.starts]

    def used(self, since, until):
        """Permits used of those that the limit allows, between two moments."""
        count = sum(since < moment <= until for moment in self.moments)
        return count / (self.limiter.requests_per_minute * (until - since) / 60)


def most_in_a_minute(moments, minute=60.0):
    """The most starts that any window of a minute, ends included, holds."""
    moments = sorted(moments)
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] > minute:
            first += 1
        most = max(most, last - first + 1)
    return most


# The bound and the rate


@pytest.mark.parametrize("burst", [1, None, "all"])
@pytest.mark.parametrize("limit", [1, 7, 60, 600, 3000])
def test_steady_demand_uses_the_limit_and_never_more(limit, burst):
    world = World(limit, burst=limit if burst == "all" else burst)
    world.keep_busy(20)
    world.run(660)
    assert most_in_a_minute(world.moments) == limit
    assert world.used(30, 30 + 60.3 * 10) >= 0.99


@pytest.mark.parametrize("burst", [1, None])
def test_late_wake_ups_cost_no_rate(burst):
    rnd = random.Random(1)
    world = World(600, burst=burst)
    world.lateness = lambda: rnd.expovariate(20)
    world.keep_busy(64)
    world.run(660)
    assert most_in_a_minute(world.moments) <= 600
    assert world.used(61, 660) >= 0.99


def test_callers_that_wake_in_any_order_keep_the_bound():
    rnd = random.Random(2)
    world = World(30)
    world.lateness = lambda: rnd.choice([0.0, 0.1, 40.0, 90.0])
    world.keep_busy(50)
    world.run(1200)
    assert most_in_a_minute(world.moments) <= 30


def test_everybody_waking_at_once_after_a_stall_keeps_the_bound():
    world = World(30, burst=5)
    turns = [world.limiter.reserve() for _ in range(100)]
    assert [turn.wait() for turn in turns][:6] == [0, 0, 0, 0, 0, pytest.approx(2)]
    world.now = 1000.0  # all slots have passed
    assert sum(turn.wait() == 0.0 for turn in turns[5:]) == 30


def test_a_burst_starts_at_once_and_the_others_at_the_pace():
    world = World(60, burst=4)
    for _ in range(7):
        world.come()
    world.run()
    assert world.moments == pytest.approx([0, 0, 0, 0, 1, 2, 3])


def test_the_burst_is_a_seconds_worth_by_default():
    assert RequestsPerMinuteLimiter().requests_per_minute == 3000
    assert RequestsPerMinuteLimiter().burst == 50
    assert RequestsPerMinuteLimiter(59).burst == 1


@pytest.mark.parametrize("is_held", [False, True])
def test_idling_saves_up_a_burst_and_no_more_whether_or_not_a_turn_is_held_unused(is_held):
    world = World(60, burst=3)
    turn = world.limiter.reserve() if is_held else world.come()
    world.now = 1000.0
    assert [world.limiter.acquire(blocking=False) for _ in range(5)] == [True] * 3 + [False] * 2
    assert turn.wait() == 0.0


def test_everybody_sleeps_once():
    world = World(600)
    for _ in range(500):
        world.come()
    world.run()
    assert world.asked == 10 + 2 * 490  # the burst of 10 does not sleep


def test_the_wait_is_known_up_front_for_many_minutes():
    world = World(10)
    turns = [world.limiter.reserve() for _ in range(35)]
    told = [world.now + turn.wait() for turn in turns]
    for number, turn in enumerate(turns):
        world._ask(turn, number)
    world.run()
    assert world.moments == pytest.approx(told, abs=1e-4)


def test_the_log_holds_no_more_than_one_minute():
    world = World(60)
    world.keep_busy(3)
    world.run(600)
    assert len(world.limiter._shared.schedule._starts) == 60


# Turns


def test_a_turn_that_started_takes_nothing_more():
    world = World(60)
    turn = world.limiter.reserve()
    assert turn.started_at is None
    assert [turn.wait(), turn.wait(), turn.wait()] == [0.0, 0.0, 0.0]
    assert turn.started_at == 0.0
    turn.give_back()
    assert world.limiter.reserve().wait() == pytest.approx(1.0)


def test_giving_back_twice_frees_one_place():
    world = World(60)
    turns = [world.limiter.reserve() for _ in range(3)]
    turns[1].give_back()
    turns[1].give_back()
    assert world.limiter.reserve().wait() == pytest.approx(1.0)
    assert "document 3" in repr(world.limiter)


def test_a_turn_given_back_cannot_be_waited_for():
    turn = RequestsPerMinuteLimiter(60).reserve()
    turn.give_back()
    with pytest.raises(RuntimeError, match="given back"):
        turn.wait()


def test_a_forgotten_turn_frees_its_place():
    world = World(60)
    world.come()
    forgotten = world.limiter.reserve()
    assert forgotten.wait() == pytest.approx(1.0)
    del forgotten
    gc.collect()
    assert world.limiter.reserve().wait() == pytest.approx(1.0)


def test_a_turn_says_how_it_stands():
    world = World(60)
    turn, other = world.limiter.reserve("query"), world.limiter.reserve()
    assert repr(other) == "<Turn of a document: waiting>"
    turn.wait()
    assert repr(turn) == "<Turn of a query: started at 0.000>"
    other.give_back()
    assert repr(other) == "<Turn of a document: given back>"


@pytest.mark.parametrize(
    "leaving",
    [
        range(50),
        range(50, 100),
        range(0, 100, 2),
        range(1, 100, 2),
        random.Random(3).sample(range(100), 50),
    ],
    ids=["first", "last", "even", "odd", "any"],
)
@pytest.mark.parametrize("lane", ["query", "document"])
def test_who_leaves_loses_no_permit(leaving, lane):
    undisturbed = World(3000, burst=1)
    for _ in range(100):
        undisturbed.come(lane=lane)
    undisturbed.run()

    world = World(3000, burst=1)
    world.come("first", lane)  # it starts at once and cannot leave
    turns = [world.come(lane=lane) for _ in range(99)]
    gone = [number for number in leaving if number < 99]
    for number in gone:
        world.cancel(turns[number])
    for _ in gone:
        world.come(lane=lane)
    world.run()
    assert world.moments == pytest.approx(undisturbed.moments)
    assert world.asked == undisturbed.asked + len(gone)


def test_places_given_back_long_ago_are_no_burst():
    world = World(60, burst=2)
    turns = [world.come() for _ in range(32)]
    for turn in turns[2:-1]:
        world.cancel(turn)
    world.run(29.5)  # the slots of 1 to 29 are free, the one of 30 is not
    assert [world.limiter.acquire(blocking=False) for _ in range(3)] == [True, False, False]
    world.run()
    assert len(world.starts) == 3


# Lanes


def test_each_lane_is_served_in_order_and_queries_first():
    world = World(60)
    for number in range(4):
        world.come(f"d{number}")
        world.come(f"q{number}", "query")
    world.run()
    assert world.order == ["d0", "q0", "q1", "q2", "q3", "d1", "d2", "d3"]
    assert world.moments == pytest.approx(range(8))


def test_a_query_gets_the_next_slot_and_documents_move_back_by_one():
    world = World(60)
    for number in range(5):
        world.come(f"d{number}")
    world.come_at(2.5, "q", "query")
    world.run()
    assert world.order == ["d0", "d1", "d2", "q", "d3", "d4"]
    assert world.moments == pytest.approx([0, 1, 2, 3, 4, 5])


def test_a_query_goes_before_a_document_that_is_due_but_not_awake():
    world = World(60)
    world.come()
    document = world.limiter.reserve()
    world.now = 1.0
    assert world.limiter.acquire(lane="query", blocking=False)
    assert document.wait() == pytest.approx(1.0)


def test_a_query_that_leaves_lets_the_documents_keep_their_slots():
    world = World(60)
    for number in range(3):
        world.come(f"d{number}")
    world.cancel(world.come("q", "query"))
    world.run()
    assert world.moments == pytest.approx([0, 1, 2])


def test_a_place_that_a_query_left_goes_to_the_next_document_if_no_query_is_behind():
    world = World(60)
    world.come()
    queries = [world.come(lane="query") for _ in range(3)]
    world.come("d")
    world.cancel(queries[2])
    assert world.limiter.reserve("document").wait() == pytest.approx(3.0)


def test_queries_that_leave_one_after_another_leave_the_place_that_was_before_a_document():
    world = World(60)
    world.come()
    before = world.come(lane="query")
    world.come("d")
    pushing_in = world.come(lane="query")
    world.cancel(before)
    world.cancel(pushing_in)
    assert world.limiter.reserve("document").wait() == pytest.approx(1.0)
    world.run()
    assert world.moments == pytest.approx([0, 2])


def test_a_query_uses_up_the_place_that_a_document_left():
    world = World(60)
    documents = [world.come(f"d{number}") for number in range(5)]
    world.cancel(documents[2])
    world.come("q", "query")
    world.run()
    assert world.starts == [
        (0, "d0"),
        (pytest.approx(1), "q"),
        (pytest.approx(2), "d1"),
        (pytest.approx(3), "d3"),
        (pytest.approx(4), "d4"),
    ]


def test_queries_alone_can_use_the_whole_rate():
    world = World(60, document_share=0)
    world.come("d")
    world.come("d")
    world.after_start = lambda name: world.come(name, "query") if name == "q" else None
    for _ in range(3):
        world.come("q", "query")
    world.run(1200)
    assert world.order.count("d") == 1
    assert world.used(600, 1200) >= 0.99


@in_pairs(share=[0.05, 0.25, 0.5], callers=[(50, 1), (50, 30), (200, 8)], lateness=[0.0, 0.3])
def test_a_flood_of_queries_leaves_documents_their_share(share, callers, lateness):
    queries, documents = callers
    world = World(600, document_share=share)
    random.seed(7)
    world.lateness = lambda: random.uniform(0, lateness)
    world.keep_busy(queries, "query")
    world.keep_busy(documents)
    world.run(300)
    assert most_in_a_minute(world.moments) <= 600
    assert world.used(120, 300) > (0.97 if lateness else 0.98)
    late = [name for moment, name in world.starts if moment > 120]
    of_documents = sum(name.startswith("document") for name in late) / len(late)
    can_use = documents >= 8 or share <= 0.1 or not lateness
    assert share * (0.9 if can_use else 0.3) <= of_documents <= share * 1.05


def test_without_a_share_documents_wait_for_as_long_as_queries_come():
    world = World(600, document_share=0)
    world.keep_busy(20, "query")
    world.keep_busy(5)
    world.run(600)
    assert sum(name.startswith("document") for name in world.order) <= 5


def test_who_waits_with_a_share_is_told_its_moment_at_once():
    world = World(6000, burst=1)
    world.come("first", "query")
    queries = [world.limiter.reserve("query") for _ in range(60)]
    documents = [world.limiter.reserve() for _ in range(2)]
    told = [turn.wait() * 100 for turn in [*documents, *queries[:3]]]
    assert told == pytest.approx([20, 40, 1, 2, 3])
    more = [world.limiter.reserve("query").wait() * 100 for _ in range(2)]
    assert more == pytest.approx([63, 63])  # the first was forgotten at once


def test_queries_that_leave_give_their_places_to_whoever_is_next_with_a_share():
    world = World(600)
    world.keep_busy(40, "query")
    world.keep_busy(4)
    come_again = world.after_start
    world.after_start = lambda name: None if "leaver" in name else come_again(name)
    leavers = [world.come(f"leaver {n}", "query") for n in range(200)]
    world.run(10)
    for turn in leavers[::2]:
        world.cancel(turn)
    world.run(300)
    assert most_in_a_minute(world.moments) <= 600
    assert world.used(60, 300) > 0.97


@pytest.mark.parametrize("method", ["acquire", "reserve"])
def test_there_are_two_lanes(method):
    with pytest.raises(SettingsError, match="'query' or 'document', not 'fast'"):
        getattr(RequestsPerMinuteLimiter(60), method)(lane="fast")


# Not waiting, not that long


def test_without_blocking_a_permit_is_taken_only_if_it_is_due():
    world = World(60)
    limiter = world.limiter
    assert limiter.acquire(blocking=False)
    assert not limiter.acquire(blocking=False)
    assert not asyncio.run(limiter.aacquire(blocking=False))
    world.now = 1.0
    assert asyncio.run(limiter.aacquire(blocking=False))
    world.now = 2.0
    waiting = limiter.reserve()
    assert not limiter.acquire(blocking=False)
    assert limiter.acquire(blocking=False, lane="query")
    assert waiting.wait() == pytest.approx(1.0)
    assert "document 1" in repr(limiter)


def test_a_wait_beyond_max_wait_is_refused_when_reserved():
    world = World(60)
    for _ in range(4):
        world.come()
    with pytest.raises(RateLimitedError) as refused:
        world.limiter.reserve(max_wait=3.5)
    assert str(refused.value) == (
        "The next free start is 4 s away, more than the 3.5 s that this request may wait: "
        "60 requests a minute are allowed, and these wait already: query 0, document 3. Raise "
        "max_wait, send fewer requests at once, or raise requests_per_minute if the server allows "
        "more."
    )
    with pytest.raises(RateLimitedError, match="more than the 0 s"):
        world.limiter.reserve(max_wait=0.0)
    assert world.limiter.reserve(max_wait=4.0).wait() == pytest.approx(4.0)
    assert world.limiter.reserve("query", max_wait=1.0).wait() == pytest.approx(1.0)


# What the server and other settings say


def test_a_penalty_stops_everybody_and_keeps_the_order():
    world = World(60, burst=3)
    for number in range(6):
        world.come(number)
    world.limiter.penalize(10)
    world.limiter.penalize(4)
    world.limiter.penalize(-1)
    world.come("q", "query")
    world.run()
    assert world.order == [0, 1, 2, "q", 3, 4, 5]
    assert world.moments == pytest.approx([0, 0, 0, 10, 11, 12, 13])


@pytest.mark.parametrize("seconds", [10, 0.25])
def test_a_penalty_holds_for_those_who_come_later(seconds):
    world = World(60, burst=3)
    world.limiter.penalize(seconds)
    assert not world.limiter.acquire(blocking=False)
    assert world.limiter.reserve().wait() == pytest.approx(seconds)


async def test_the_former_names_of_a_reservation_tell_the_same_wait():
    world = World(60, burst=1)
    world.come()
    turn = world.limiter.reserve()
    assert await turn.await_() == turn.wait() == turn.delay() == pytest.approx(1.0)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_a_penalty_has_an_end(seconds):
    with pytest.raises(SettingsError, match="seconds"):
        RequestsPerMinuteLimiter(60).penalize(seconds)


def test_the_lower_of_two_limits_holds():
    world = World(600)
    world.keep_busy(5)
    world.run(90)
    world.limiter.slow_to(60)
    world.limiter.slow_to(6000)
    world.limiter.slow_to(120)
    assert world.limiter.requests_per_minute == 60
    assert world.limiter.burst == 1
    world.run(900)
    assert most_in_a_minute([moment for moment in world.moments if moment > 90]) <= 60
    assert world.used(300, 900) >= 0.99


def test_a_limit_can_be_raised_and_what_was_granted_before_counts():
    world = World(60)
    world.keep_busy(20)
    world.run(120)
    world.limiter.change_to(600)
    assert (world.limiter.requests_per_minute, world.limiter.burst) == (600, 10)
    world.run(600)
    assert most_in_a_minute(world.moments) <= 600
    assert most_in_a_minute([moment for moment in world.moments if moment < 120]) <= 60
    assert sum(1 for moment in world.moments if 300 < moment <= 600) >= 0.99 * 3000


@pytest.mark.parametrize("burst", [None, 60])
def test_a_limit_that_is_lowered_and_raised_again_is_kept_and_used(burst):
    world = World(60, burst=burst)
    world.keep_busy(2)  # who waits keeps to what it was told, a minute each
    for moment in (100, 400):
        world.run(moment)
        world.limiter.change_to(1)
        world.run(moment + 20)
        world.limiter.change_to(60)
    world.run(1000)
    assert most_in_a_minute(world.moments) <= 60
    assert world.used(600, 1000) >= 0.99


def test_what_a_low_limit_still_owed_is_forgiven_when_it_is_raised():
    world = World(1)
    assert world.limiter.acquire(blocking=False)
    world.limiter.change_to(600)
    assert world.limiter.reserve().wait() <= 0.1 + 1e-9


def test_a_pause_that_the_server_asked_for_outlasts_a_raised_limit():
    world = World(60)
    world.limiter.penalize(30)
    world.limiter.change_to(600)
    assert world.limiter.reserve().wait() == pytest.approx(30)


def test_a_burst_that_was_set_shrinks_to_the_lower_limit():
    limiter = RequestsPerMinuteLimiter(600, burst=100)
    limiter.slow_to(300)
    assert limiter.burst == 100
    limiter.slow_to(60)
    assert limiter.burst == 60
    with pytest.raises(SettingsError):
        limiter.slow_to(0)


def test_a_clock_that_steps_back_stands_still():
    world = World(60)
    world.come()
    turn = world.limiter.reserve()
    world.now = -1000.0
    assert turn.wait() == pytest.approx(1.0)
    world.now = -999.0
    assert turn.wait() == 0.0
    assert not world.limiter.acquire(blocking=False)


# acquire and aacquire


def test_it_is_langchains_and_answers_to_llama_index():
    limiter = RequestsPerMinuteLimiter(600)
    assert isinstance(limiter, BaseRateLimiter)
    assert limiter.acquire(500)
    assert limiter.acquire(blocking=True)
    assert asyncio.run(limiter.async_acquire(500))


def test_a_thread_sleeps_for_exactly_the_wait():
    world = World(60)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        world.now += seconds

    limiter = RequestsPerMinuteLimiter(60, clock=lambda: world.now, sleep=sleep)
    assert all(limiter.acquire() for _ in range(4))
    assert slept == pytest.approx([1, 1, 1])


async def test_a_task_sleeps_for_exactly_the_wait():
    world = World(60)
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        world.now += seconds

    limiter = RequestsPerMinuteLimiter(60, clock=lambda: world.now, async_sleep=sleep)
    assert [await limiter.aacquire() for _ in range(4)] == [True] * 4
    assert slept == pytest.approx([1, 1, 1])


def test_ctrl_c_gives_the_place_back():
    def sleep(seconds):
        raise KeyboardInterrupt

    limiter = RequestsPerMinuteLimiter(60, clock=lambda: 0.0, sleep=sleep)
    limiter.acquire()
    with pytest.raises(KeyboardInterrupt):
        limiter.acquire()
    assert limiter.reserve().wait() == pytest.approx(1.0)


async def test_a_cancelled_task_gives_its_place_back():
    limiter = RequestsPerMinuteLimiter(60, clock=lambda: 0.0)
    await limiter.aacquire()
    task = asyncio.create_task(limiter.aacquire())
    await asyncio.sleep(0)
    assert "document 1" in repr(limiter)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "document 0" in repr(limiter)


def lane_of(number):
    return "query" if number % 5 == 0 else "document"


def work(limiter, turns):
    for number in range(4):
        turn = limiter.reserve(lane_of(number))
        while seconds := turn.wait():
            time.sleep(seconds)
        turns.append(turn)
        limiter.acquire(lane=lane_of(number))


async def awork(limiter, turns):
    for number in range(4):
        turn = limiter.reserve(lane_of(number))
        while seconds := turn.wait():  # noqa: ASYNC110 - it does not poll
            await asyncio.sleep(seconds)
        turns.append(turn)
        await limiter.aacquire(lane=lane_of(number))


def work_in_tasks(limiter, turns):
    async def many():
        await asyncio.gather(*(awork(limiter, turns) for _ in range(16)))

    asyncio.run(many())


def test_threads_tasks_and_loops_share_one_limit():
    period, limit = 0.4, 200
    limiter = RequestsPerMinuteLimiter(limit, period=period)
    turns = []
    works = [work] * 32 + [work_in_tasks] * 2
    threads = [threading.Thread(target=each, args=(limiter, turns)) for each in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(turns) == 64 * 4
    assert most_in_a_minute([turn.started_at for turn in turns], period) <= limit
    assert "query 0, document 0" in repr(limiter)


# Settings, copies, processes


@pytest.mark.parametrize("value", [0, -1, True, 1.5, 60.0, "60", None])
def test_the_limit_is_a_positive_integer(value):
    with pytest.raises(SettingsError) as error:
        RequestsPerMinuteLimiter(value)
    assert error.value.problems == (
        ("requests_per_minute", f"must be an integer of at least 1, not {value!r}"),
    )


@pytest.mark.parametrize(
    ("name", "allowed", "values"),
    [
        ("burst", r"an integer from 1 to .*\(60\)", [0, -1, True, 1.5, 61]),
        ("period", "a positive number of seconds", [0, -1.0, float("inf"), float("nan")]),
        ("document_share", r"a number from 0 to 0\.5", [-0.1, 0.51, 1, True, float("nan")]),
    ],
)
def test_what_is_out_of_its_range_is_refused(name, allowed, values):
    for value in values:
        with pytest.raises(SettingsError, match=rf"\[{name}\] must be {allowed}"):
            RequestsPerMinuteLimiter(60, **{name: value})


def test_integers_of_numpy_are_taken():
    limiter = RequestsPerMinuteLimiter(np.int64(600), burst=np.uint8(7))
    assert (limiter.requests_per_minute, limiter.burst) == (600, 7)
    assert type(limiter.requests_per_minute) is type(limiter.burst) is int


def test_it_reads_well():
    limiter = RequestsPerMinuteLimiter(600)
    turns = [limiter.reserve(), limiter.reserve(), limiter.reserve("query")]
    assert turns
    assert repr(limiter) == (
        "<RequestsPerMinuteLimiter: 600 per minute, burst 10; waiting: query 1, document 2>"
    )


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda limiter: pickle.loads(pickle.dumps(limiter))]
)
def test_copies_in_one_process_are_the_same_object(duplicate):
    limiter = RequestsPerMinuteLimiter(60)
    assert duplicate(limiter) is limiter


def test_copies_in_another_process_share_one_object():
    limiter = RequestsPerMinuteLimiter(600, burst=7)
    limiter.slow_to(300)
    script = """
        import pickle, sys
        data = bytes.fromhex(sys.argv[1])
        first, second = pickle.loads(data), pickle.loads(data)
        assert first is second is pickle.loads(pickle.dumps(first))
        print(first.requests_per_minute, first.burst, pickle.dumps(first).hex())
    """
    *numbers, data = run_python(script, pickle.dumps(limiter).hex()).stdout.split()
    assert numbers == ["300", "7"]
    assert pickle.loads(bytes.fromhex(data)) is limiter  # it has come back


def test_a_limit_that_sank_below_its_burst_can_be_pickled():
    limiter = RequestsPerMinuteLimiter(600, burst=500)
    limiter.slow_to(60)
    data = pickle.dumps(limiter)
    del limiter
    gc.collect()
    assert pickle.loads(data).burst == 60


def test_a_limiter_that_nobody_holds_is_forgotten():
    limiter = RequestsPerMinuteLimiter(60)
    limiter.acquire()
    reference = weakref.ref(limiter)
    data = pickle.dumps(limiter)
    del limiter
    gc.collect()
    assert reference() is None
    assert pickle.loads(data).acquire(blocking=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_counts_anew_and_says_so_once():
    script = """
        import os, threading
        from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

        limiter, other = RequestsPerMinuteLimiter(60, burst=2), RequestsPerMinuteLimiter(60)
        limiter.acquire(), limiter.acquire()
        mine, theirs = limiter.reserve(), limiter.reserve("query")
        assert mine.wait() > 0.5
        limiter._shared.lock.acquire()  # as if another thread were in the middle of it
        child = os.fork()
        if child == 0:
            assert limiter.acquire(blocking=False), "the count was not begun anew"
            assert other.acquire(blocking=False)
            assert limiter.acquire(blocking=False) and not limiter.acquire(blocking=False)
            assert mine.wait() > 0
            theirs.give_back()
            if os.fork() == 0:
                os._exit(0)  # a child that uses nothing says nothing
            os.wait()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        limiter._shared.lock.release()
        assert not limiter.acquire(blocking=False), "the parent's count was lost"
        raise SystemExit(status)
    """
    done = run_python(script)
    assert done.stderr.count("by a fork") == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_turn_from_before_the_fork_lines_up_in_the_child():
    script = """
        import os
        from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

        now = 0.0
        limiter = RequestsPerMinuteLimiter(60, clock=lambda: now)
        limiter.acquire()
        turn = limiter.reserve()
        child = os.fork()
        if child == 0:
            now = 5.0
            limiter.acquire()
            assert 0.9 < turn.wait() < 1.1, turn
            now = 6.0
            assert turn.wait() == 0.0
            os._exit(0)
        raise SystemExit(os.waitpid(child, 0)[1])
    """
    run_python(script)


def run_python(script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done
