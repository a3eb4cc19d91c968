"""One limit for many processes, on a real Redis. Starts are read off the clock of Redis itself."""

import asyncio
import functools
import itertools
import logging
import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import redis
from late_forwarding import forwarding_late
from redis_workers import astart_once, line_up_and_stay, start_once, take

from langchain_hf_endpoint import (
    RateLimitedError,
    RedisRequestsPerMinuteLimiter,
    SettingsError,
    TransportError,
)
from langchain_hf_endpoint.redis import client as redis_client
from langchain_hf_endpoint.redis.background import BackgroundTasks, background
from langchain_hf_endpoint.redis.reservation import TRY_AGAIN

ENOUGH = 60.0
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def most_in(period, starts):
    """The most starts in any stretch of so many seconds, both ends counted."""
    starts = sorted(starts)
    first = most = 0
    for last, start in enumerate(starts):
        while starts[first] < start - period:
            first += 1
        most = max(most, last - first + 1)
    return most


async def in_order(*turns):
    """Wait for all turns at once; their positions in the arguments by when they started."""

    async def wait(turn):
        while seconds := await turn.await_():  # noqa: ASYNC110 - as its docstring says
            await asyncio.sleep(seconds)

    await asyncio.wait_for(asyncio.gather(*map(wait, turns)), ENOUGH)
    return sorted(range(len(turns)), key=lambda number: turns[number].started_at)


# The promise


def test_eight_processes_keep_to_one_limit_and_use_it_up_and_share_it(limiter):
    period, limit, processes, each = 4.0, 300, 8, 12
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["redis_workers", "redis.asyncio", "langchain_hf_endpoint.redis"]
    )
    shared = limiter(limit, burst=4, period=period)
    with context.Manager() as manager:
        barrier = manager.Barrier(processes)
        with context.Pool(processes) as pool:
            work = [(shared, barrier, each)] * processes
            lists = pool.starmap_async(take, work, chunksize=1).get(ENOUGH)
    starts = sorted(itertools.chain(*lists))
    assert len(starts) == processes * 4 * each
    assert most_in(period, starts) <= limit
    allowed = 4 + (starts[-1] - starts[0]) * limit / period
    assert len(starts) >= 0.9 * allowed
    # Nobody starves: at half time each process had a good part of an even share.
    owners = {start: number for number, starts in enumerate(lists) for start in starts}
    early = Counter(owners[start] for start in starts[: len(starts) // 2])
    assert min(early[number] for number in range(processes)) >= len(starts) / 2 / processes / 3


def test_a_burst_starts_at_once_and_the_rest_at_the_pace(limiter):
    shared = limiter(100, burst=10)
    starts = [start_once(shared) for _ in range(20)]
    pace = 2.0 / 100
    assert starts[19] - starts[0] >= 10 * pace - 0.001


def test_a_whole_minute_at_once_is_followed_by_none_for_a_minute(limiter):
    shared = limiter(20, burst=20)
    starts = [start_once(shared) for _ in range(21)]
    assert starts[20] - starts[0] >= 2.0


# The order


async def test_waiters_start_in_the_order_in_which_they_came(limiter):
    shared = limiter()
    start_once(shared)
    turns = [shared.reserve() for _ in range(5)]
    for turn in turns:
        assert turn.wait() > 0
    assert await in_order(*turns) == [0, 1, 2, 3, 4]


async def test_queries_go_before_documents_that_came_earlier(limiter):
    shared = limiter()
    start_once(shared)
    turns = [shared.reserve(lane) for lane in ("document", "document", "query", "query")]
    for turn in turns:
        assert turn.wait() > 0
    assert await in_order(*turns) == [2, 3, 0, 1]


async def test_waiters_are_due_one_pace_apart(limiter):
    shared = limiter()
    first = start_once(shared)
    turns = [shared.reserve() for _ in range(5)]
    waits = [turn.wait() for turn in turns]
    assert waits == sorted(waits)
    await in_order(*turns)
    for number, turn in enumerate(turns, 1):
        assert turn.started_at >= first + number * 0.1 - 0.001


# Leaving the line


async def test_who_comes_next_gets_a_place_that_was_given_back(limiter, wait_until_waiting):
    shared = limiter()
    start_once(shared)
    first, second, third = (shared.reserve() for _ in range(3))
    for turn in (first, second, third):
        assert turn.wait() > 0
    second.give_back()
    wait_until_waiting(shared, 2)
    newcomer = shared.reserve()
    assert newcomer.wait() > 0
    assert await in_order(first, newcomer, third) == [0, 1, 2]


async def test_a_cancelled_task_leaves_the_line(limiter, wait_until_waiting):
    shared = limiter(1)
    start_once(shared)
    task = asyncio.create_task(shared.aacquire())
    await asyncio.to_thread(wait_until_waiting, shared, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(wait_until_waiting, shared, 0)


def test_a_turn_that_is_forgotten_leaves_the_line(limiter, wait_until_waiting):
    shared = limiter(1)
    start_once(shared)
    assert shared.reserve().wait() > 0
    wait_until_waiting(shared, 0)


def test_a_turn_that_was_given_back_cannot_be_asked(limiter):
    turn = limiter().reserve()
    turn.give_back()
    with pytest.raises(RuntimeError, match="given back"):
        turn.wait()


async def test_half_of_the_waiters_leave_and_nothing_is_lost(limiter, wait_until_waiting):
    shared = limiter(20, period=4.0)
    begun = start_once(shared)
    leaving, staying = ([shared.reserve() for _ in range(10)] for _ in range(2))
    for turn in itertools.chain(*zip(leaving, staying, strict=True)):
        assert turn.wait() > 0
    for turn in leaving:
        turn.give_back()
    await asyncio.to_thread(wait_until_waiting, shared, 10)
    coming = [shared.reserve() for _ in range(10)]
    for turn in coming:
        turn.wait()
    await in_order(*staying, *coming)
    ended = max(turn.started_at for turn in (*staying, *coming))
    assert ended - begun < 30 * 0.2  # the twenty would have had to follow the ten


def test_places_of_a_process_that_was_killed_lapse(limiter, wait_until_waiting):
    shared = limiter(20)
    start_once(shared)
    code = "import sys, pickle; pickle.load(sys.stdin.buffer)()"
    stay = functools.partial(line_up_and_stay, shared, 3)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        try:
            child.stdin.write(pickle.dumps(stay))
            child.stdin.close()
            assert child.stdout.readline() == b"3\n"
        finally:
            child.kill()
    wait_until_waiting(shared, 3)
    starts = [start_once(shared) for _ in range(8)]
    wait_until_waiting(shared, 0)
    assert starts[-1] - starts[0] >= 0.1  # at the pace


# Asking


def test_not_blocking_takes_a_permit_only_if_it_can_be_had_now(limiter):
    shared = limiter(burst=2)
    answers = [shared.acquire(blocking=False) for _ in range(3)]
    assert answers == [True, True, False]


async def test_not_blocking_in_a_task(limiter):
    shared = limiter(1)
    assert await shared.aacquire(blocking=False)
    assert not await shared.async_acquire(blocking=False)


def test_a_wait_that_is_too_long_is_refused_at_once_and_leaves_no_trace(
    limiter, wait_until_waiting
):
    shared = limiter(2)
    start_once(shared)
    with pytest.raises(RateLimitedError, match=r"more than the 0\.5 s .* 2 requests a minute"):
        shared.reserve(max_wait=0.5).wait()
    wait_until_waiting(shared, 0)
    assert shared.reserve(max_wait=1.5).wait() > 0.5


def test_a_penalty_holds_for_all_and_ends_without_a_burst(limiter):
    shared, elsewhere = limiter(burst=10), limiter(burst=10)
    first = start_once(shared)
    elsewhere.penalize(0.4)
    assert not shared.acquire(blocking=False)
    second, third = start_once(shared), start_once(shared)
    assert second - first >= 0.4
    assert third - first >= 0.5 - 0.001


def test_of_two_limits_under_one_key_the_lower_holds(limiter, caplog):
    assert limiter(10, burst=10).acquire()
    higher = limiter(1000, burst=1000)
    with caplog.at_level(logging.WARNING):
        answers = [higher.acquire(blocking=False) for _ in range(20)]
    assert sum(answers) == 9
    assert "with 1000 and with 10 requests a minute" in caplog.text


# Where and in what form


def test_threads_and_loops_one_after_another_use_one_object(limiter):
    shared = limiter(2000, burst=100)

    async def take_five():
        return await asyncio.gather(*(astart_once(shared) for _ in range(5)))

    with ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(lambda _: start_once(shared), range(20)))
    loops = [asyncio.run(take_five()) for _ in range(3)]
    assert len({*threads, *itertools.chain(*loops)}) == 35


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_shares_the_limit_over_connections_of_its_own(limiter):
    shared = limiter(4, burst=4)
    assert shared.acquire()
    assert asyncio.run(shared.aacquire())
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = not (shared.acquire() and asyncio.run(shared.aacquire()))
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert not shared.acquire(blocking=False)


def test_copies_and_pickles_are_equal_and_connect_nowhere():
    made = RedisRequestsPerMinuteLimiter(url="redis://127.0.0.1:1", key="nowhere")
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(pickle.loads(pickle.dumps(made)))
    assert made != RedisRequestsPerMinuteLimiter(url="redis://127.0.0.1:1", key="elsewhere")


def test_the_password_is_not_shown_and_stays_out_of_pickles_with_url_env(monkeypatch):
    url = "redis://user:open-sesame@127.0.0.1:1/3?socket_keepalive=yes"
    monkeypatch.setenv("OUR_REDIS", url)
    plain = RedisRequestsPerMinuteLimiter(url=url, key="k", timeout=0.5)
    from_env = RedisRequestsPerMinuteLimiter(url_env="OUR_REDIS", key="k", timeout=0.5)
    assert repr(plain).endswith("key 'k' at redis://127.0.0.1:1/3>")
    assert repr(from_env).endswith("key 'k' at $OUR_REDIS>")
    assert b"sesame" not in pickle.dumps(from_env)
    for limiter in (plain, from_env):
        with pytest.raises(TransportError) as raised:
            limiter.acquire()
        error = raised.value
        chain = [error, error.__cause__, error.__cause__.__context__]
        assert not any("sesame" in f"{one!r} {one}" for one in chain)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": None}, r"\[url\] give either url or url_env"),
        ({"url_env": "X"}, r"\[url\] give either url or url_env"),
        ({"url": "http://host"}, r"\[url\] must be a URL of Redis"),
        ({"key": ""}, r"\[key\] must be a text"),
        ({"key": "a{b}"}, r"\[key\] must be a text"),
        ({"on_failure": "open"}, r"\[on_failure\] must be 'raise' or 'local', not 'open'"),
        ({"on_failure": "local"}, r"\[expected_workers\] is required"),
        (
            {"on_failure": "local", "requests_per_minute": 5, "expected_workers": 8},
            r"\[expected_workers\] must be at most requests_per_minute \(5\).*not 8",
        ),
        ({"document_share": 0.6}, r"\[document_share\] must be a number from 0 to 0.5"),
        ({"expected_workers": 0}, r"\[expected_workers\] must be an integer of at least 1"),
        ({"timeout": 0}, r"\[timeout\] must be a positive number"),
        ({"burst": 9999}, r"\[burst\] must be an integer from 1 to"),
    ],
)
def test_what_cannot_be_kept_is_refused(wrong, said):
    with pytest.raises(SettingsError, match=said):
        RedisRequestsPerMinuteLimiter(**{"url": "redis://127.0.0.1", "key": "k", **wrong})


def test_integers_of_numpy_are_taken(limiter):
    limit, workers = np.int64(600), np.uint8(2)
    shared = limiter(limit, burst=np.int64(7), expected_workers=workers, on_failure="local")
    assert type(shared.requests_per_minute) is type(shared.burst) is int
    assert shared == limiter(600, burst=7, expected_workers=2, on_failure="local", key=shared.key)
    assert shared.acquire()


def test_a_variable_that_is_not_set_and_a_lane_that_is_not_there_are_named(monkeypatch):
    monkeypatch.delenv("OUR_REDIS", raising=False)
    with pytest.raises(SettingsError, match="OUR_REDIS is not set"):
        RedisRequestsPerMinuteLimiter(url_env="OUR_REDIS", key="k").acquire()
    with pytest.raises(SettingsError, match="lane"):
        RedisRequestsPerMinuteLimiter(url="redis://127.0.0.1", key="k").acquire(lane="express")


# A Redis that forgets, freezes and dies


def test_a_redis_that_forgot_the_script_gets_it_again(own_redis, limiter):
    shared = limiter(1000, burst=1000, url=own_redis.url)
    with redis.Redis(port=own_redis.port) as client:
        for take_one in (shared.acquire, lambda: asyncio.run(shared.aacquire())):
            assert take_one()
            client.script_flush()
            assert take_one()


@pytest.mark.parametrize("is_frozen", [False, True])
def test_without_redis_an_error_says_so_in_time_and_when_it_is_back_all_is_well(
    own_redis, limiter, is_frozen
):
    shared = limiter(1000, burst=1000, url=own_redis.url, timeout=0.2 if is_frozen else 5.0)

    async def both():
        assert shared.acquire()
        assert await shared.aacquire()
        own_redis.freeze() if is_frozen else own_redis.kill()
        with pytest.raises(TransportError, match=r"does not answer.*on_failure=") as raised:
            shared.acquire()
        assert raised.value.host == own_redis.url
        with pytest.raises(TransportError):
            await shared.aacquire()
        assert own_redis.thaw() is None if is_frozen else own_redis.start()
        assert shared.acquire()
        assert await shared.aacquire()

    asyncio.run(asyncio.wait_for(both(), ENOUGH))


def test_on_failure_local_goes_on_with_a_share_and_comes_back(own_redis, limiter, caplog):
    settings = {"on_failure": "local", "expected_workers": 4, "url": own_redis.url, "timeout": 0.2}
    shared = limiter(40, burst=40, **settings)
    assert shared.acquire()
    own_redis.freeze()
    # A quarter of forty, with its own start of before, and no more.
    assert sum(shared.acquire(blocking=False) for _ in range(30)) == 9
    assert not asyncio.run(shared.aacquire(blocking=False))
    assert "goes on with 10 requests a minute" in caplog.text
    own_redis.thaw()
    deadline = time.monotonic() + ENOUGH
    while "is back" not in caplog.text:
        shared.acquire(blocking=False)
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert shared.acquire()  # when all who were without it have had time to come back
    assert sum(shared.acquire(blocking=False) for _ in range(60)) > 10


def test_a_waiter_whose_redis_dies_goes_on_in_the_local_line(own_redis, limiter):
    settings = {"on_failure": "local", "expected_workers": 1, "url": own_redis.url, "timeout": 0.2}
    shared = limiter(10, **settings)
    granted = now = time.monotonic()
    while not (turn := shared.reserve()).wait():  # who comes later than the pace has no wait
        granted, now = now, time.monotonic()
    own_redis.kill()
    while seconds := turn.wait():
        assert seconds <= 0.2  # the pace of before
        time.sleep(seconds)
    assert time.monotonic() >= granted + 0.2


@pytest.mark.parametrize("is_lost", [False, True], ids=["frozen", "restarted"])
def test_after_an_outage_the_limit_holds_for_what_was_granted_before_and_meanwhile(
    own_redis, limiter, is_lost
):
    """Four processes of their own connections; all starts are seen on one clock."""
    limit, workers, period = 40, 4, 20.0
    made = [
        limiter(
            limit,
            burst=limit,
            period=period,
            on_failure="local",
            expected_workers=workers,
            url=own_redis.url,
            timeout=0.2 + number / 1000,  # other connections for each
        )
        for number in range(workers)
    ]
    starts, ends = [], time.monotonic() + 9

    def work(shared):
        while time.monotonic() < ends:
            if shared.acquire(blocking=False):
                starts.append(time.monotonic())
            else:
                time.sleep(0.05)

    def waiting(shared):
        turn = shared.reserve()
        while (left := ends - time.monotonic()) > 0 and (seconds := turn.wait()):
            time.sleep(min(seconds, left))
        if turn.started_at is not None:
            starts.append(time.monotonic())
        turn.give_back()

    for shared in made:  # before the outage each has had half of its share
        for _ in range(5):
            assert shared.acquire()
            starts.append(time.monotonic())
    with ThreadPoolExecutor(2 * workers) as pool:
        own_redis.kill() if is_lost else own_redis.freeze()
        done = [pool.submit(work, shared) for shared in made]
        done += [pool.submit(waiting, shared) for shared in made]
        time.sleep(3)
        while_away = len(starts)
        assert own_redis.start() if is_lost else own_redis.thaw() is None
        for one in done:
            one.result(ENOUGH)
    assert 20 < while_away <= limit
    assert most_in(period, starts) <= limit + limit // workers
    assert len(starts) >= limit - workers


def test_a_redis_that_lost_everything_is_told_what_was_granted(own_redis, limiter):
    """With ``on_failure="raise"`` too, and without an outage that anybody noticed."""
    shared = limiter(20, burst=20, period=30.0, url=own_redis.url)
    assert sum(shared.acquire(blocking=False) for _ in range(12)) == 12
    with redis.Redis(port=own_redis.port) as client:
        client.flushall()
        assert shared.acquire()
        told = threading.Event()
        background.run_soon(told.set)
        assert told.wait(ENOUGH)
        assert client.zcard(f"hf-endpoint:{{{shared.key}}}:log") == 13
    assert sum(shared.acquire(blocking=False) for _ in range(30)) == 7


def none_left(*_):
    raise RuntimeError("can't start new thread")


def test_a_redis_that_was_away_is_asked_again_where_no_thread_can_look_for_it(
    own_redis, limiter, monkeypatch
):
    shared = limiter(20, url=own_redis.url, on_failure="local", expected_workers=1, burst=20)
    own_redis.kill()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        assert shared.acquire()
    assert own_redis.start()
    log = f"hf-endpoint:{{{shared.key}}}:log"
    with redis.Redis(port=own_redis.port) as client:
        for _ in range(15):
            assert shared.acquire()
            if client.zcard(log):
                return
            time.sleep(TRY_AGAIN)  # it met what the kill has left of a connection
    raise AssertionError("it is never asked again")


def test_a_task_that_gets_no_thread_is_done_when_there_is_one(monkeypatch):
    tasks, is_done = BackgroundTasks(), threading.Event()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        tasks.run_soon(is_done.set)
    tasks.run_soon(int)
    assert is_done.wait(ENOUGH)


def test_a_question_that_arrives_twice_is_one_start(limiter):
    shared = limiter(3, burst=3, period=30.0)
    reservations = shared._shared()
    question = reservations.limit.ask("the same", "document", None)
    assert [reservations.run(question).started for _ in range(5)] == [True] * 5
    assert sum(shared.acquire(blocking=False) for _ in range(5)) == 2


@pytest.mark.parametrize("share", [0.1, 0.2])
async def test_a_flood_of_queries_leaves_documents_their_share(limiter, share):
    shared = limiter(20, document_share=share)
    shared.penalize(1.0)  # so that all line up before the first is due
    queries = [shared.reserve("query") for _ in range(24)]
    documents = [shared.reserve("document") for _ in range(2)]
    for turn in [*queries, *documents]:
        assert await turn.await_() > 0
    order = await in_order(*queries, *documents)
    places = sorted([order.index(24), order.index(25)])
    every = round(1 / share)
    # Who wakes up late is next: a neighbour, or the other document.
    assert places == pytest.approx([every - 1, 2 * every - 1], abs=1)


def test_a_penalty_without_redis_holds_here(own_redis, limiter):
    settings = {"on_failure": "local", "expected_workers": 1, "url": own_redis.url, "timeout": 0.2}
    shared = limiter(10, **settings)
    own_redis.kill()
    shared.penalize(60)
    assert not shared.acquire(blocking=False)


@pytest.fixture
def shifted(monkeypatch):
    """A Redis whose clock steps: the script adds what stands under a key to its time."""
    script = redis_client._script().replace(
        "local time = redis.call('TIME')",
        "local time = redis.call('TIME')\ntime[1] = time[1] + (redis.call('GET', 'shift') or 0)",
    )
    assert "'shift'" in script
    monkeypatch.setattr(redis_client, "_script", lambda: script)


def ask_until_started(limiter):
    """Take a permit; its start by the clock of Redis, and between which moments that was."""
    turn = limiter.reserve()
    while True:
        before = time.time()
        seconds = turn.wait()
        if not seconds:
            return turn.started_at, before, time.time()
        time.sleep(seconds)


def true_start(start, before, after, step, stepped):
    """A start by a clock that does not step: Redis has that of this machine.

    Redis stepped between the two moments `stepped`. Of a start at about that time the moments tell.
    """
    is_of_before = after <= stepped[0] or (
        before < stepped[1] and before - 0.001 <= start <= after + 0.001
    )
    return start if is_of_before else start - step


@pytest.mark.parametrize("step", [-3600, -1, 0.05])
def test_a_clock_of_redis_that_steps_loses_neither_limit_nor_waiters(
    own_redis, limiter, shifted, step
):
    shared = limiter(20, url=own_redis.url)
    asked, ends = [], time.monotonic() + 5

    def work():
        while time.monotonic() < ends:
            asked.append(ask_until_started(shared))

    with ThreadPoolExecutor(4) as pool, redis.Redis(port=own_redis.port) as client:
        working = [pool.submit(work) for _ in range(4)]
        time.sleep(1.5)
        before = time.time()
        client.set("shift", step)
        stepped = (before, time.time())
        for one in working:
            one.result(ENOUGH)
    starts = [true_start(*one, step, stepped) for one in asked]
    # Two seconds are a minute here; a step forward hides as much of one, and as much again where
    # it is not known on which side of it a start was.
    assert most_in(2.0 - 2 * max(0, step), starts) <= 20
    assert len(starts) >= 0.6 * 20 * 5 / 2


@pytest.mark.parametrize("latency", [0.05, 0.5])
def test_a_distant_redis_costs_no_permits(own_redis, limiter, latency):
    starts = []

    async def work(shared):
        ends = time.monotonic() + 8
        while time.monotonic() < ends:
            starts.append(await astart_once(shared))

    async def many(shared):
        await asyncio.wait_for(asyncio.gather(*(work(shared) for _ in range(16))), ENOUGH)

    with forwarding_late(own_redis.port, latency) as port:
        asyncio.run(many(limiter(40, url=f"redis://127.0.0.1:{port}/0", period=8.0)))
    assert most_in(8.0, starts) <= 40
    late = [start for start in starts if start > min(starts) + 2 * latency]
    used = (len(late) - 1) / ((max(late) - min(late)) * 40 / 8)
    assert used >= 0.9


def test_a_redis_that_keeps_silent_is_not_told_that_nobody_waits_any_more():
    """Each such message would wait for its own time-out: in an outage they would pile up."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        limiter = RedisRequestsPerMinuteLimiter(url=url, key="k", timeout=0.05)
        for _ in range(3):
            with pytest.raises(TransportError):
                limiter.acquire()
        told = threading.Event()
        background.run_soon(told.set)
        assert told.wait(ENOUGH)
        silent.settimeout(0)
        accepted = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                accepted += 1
    assert accepted == 3
