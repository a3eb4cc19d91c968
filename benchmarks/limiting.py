"""Limiters side by side: permits used, the fullest window, lateness, the cost of a call.

A "minute" is one second long, so that many pass. 64 callers, half threads and half tasks, ask one
limiter without end. "Used" compares the permits after the first two windows with those that the
limit allows in that time. A window is any second, wherever it begins. "Lateness" is how long after
its due moment a single caller gets a permit. A call that need not wait is timed separately.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.children import children, cpu_seconds
from benchmarks.limiters import LIMITERS, WAITS_BETWEEN_CALLS, Limiter
from benchmarks.records import Topic, say

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "limiting"
CALLERS = 64
LIMITS = (50, 1000)
_CALLS = 10_000
_PLENTY = 10_000_000
Grant = tuple[float, int]


def crowd(name: str, limit: int, seconds: float) -> Record:
    """In the child: 64 callers at one limiter for so many seconds."""
    limiter = LIMITERS[name](limit)
    spent = cpu_seconds()
    grants = _ask(limiter, time.monotonic() + seconds)
    spent = cpu_seconds() - spent
    moments = [moment for moment, _ in grants]
    # Bursts are over at the end of the second window, and what they took is paid back.
    since, until = moments[0] + 2, moments[0] + seconds
    used = sum(since < moment <= until for moment in moments) / (limit * (until - since))
    return {
        "used": used,
        "fullest": _fullest_window(moments) / limit,
        "starved": CALLERS - len(Counter(number for _, number in grants)),
        "core_share": spent / seconds,
    }


def _ask(limiter: Limiter, end: float) -> list[Grant]:
    """All grants up to the end, each with the number of the caller."""
    grants: list[Grant] = []

    def work(number: int) -> None:
        while limiter.acquire and time.monotonic() < end:
            limiter.acquire()
            grants.append((time.monotonic(), number))

    async def awork(number: int) -> None:
        while time.monotonic() < end:
            await limiter.aacquire()
            grants.append((time.monotonic(), number))

    async def all_tasks(numbers: range) -> None:
        tasks = [asyncio.create_task(awork(number)) for number in numbers]
        await asyncio.wait(tasks, timeout=end - time.monotonic() + 1)
        for task in tasks:
            task.cancel()

    half = CALLERS // 2 if limiter.acquire else 0
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(half)]
    for thread in threads:
        thread.start()
    asyncio.run(all_tasks(range(half, CALLERS)))
    for thread in threads:
        thread.join(max(0.0, end + 1 - time.monotonic()))
    return sorted(grant for grant in grants if grant[0] <= end)


def _fullest_window(moments: list[float]) -> int:
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def lateness(name: str, limit: int, count: int) -> Record:
    """In the child: how late a lone caller has its permits, in milliseconds."""
    limiter = LIMITERS[name](limit)
    late = _told(limiter, limit, count) if name == "ours" else _observed(limiter, limit, count)
    cuts = quantiles(late, n=100)
    return {"late_p50_ms": 1e3 * cuts[49], "late_p99_ms": 1e3 * cuts[98]}


def _told(limiter: Limiter, limit: int, count: int) -> list[float]:
    """Ours says beforehand when a permit is due."""
    late = []
    for _ in range(count + limit):
        turn = limiter.asked.reserve()
        due = time.monotonic()
        while seconds := turn.wait():
            due = time.monotonic() + seconds
            time.sleep(seconds)
        late.append(max(0.0, time.monotonic() - due))
    return late[limit:]


def _observed(limiter: Limiter, limit: int, count: int) -> list[float]:
    moments: list[float] = []

    async def alone() -> None:
        for _ in range(count + limit):
            await limiter.aacquire()
            moments.append(time.monotonic())

    if limiter.acquire:
        for _ in range(count + limit):
            limiter.acquire()
            moments.append(time.monotonic())
    else:
        asyncio.run(alone())
    back, distance = (limit, 1.0) if limiter.window else (1, 1 / limit)
    pairs = zip(moments[limit:], moments[limit - back :], strict=False)
    return [max(0.0, moment - before - distance) for moment, before in pairs]


def call_cost(name: str) -> Record:
    """In the child: nanoseconds of a call that need not wait, from a thread and from a task."""
    limiter = _roomy() if name == "ours" else LIMITERS[name](_PLENTY)
    costs = {}
    if acquire := limiter.acquire:
        begin = time.process_time()
        for _ in range(_CALLS):
            acquire()
        costs["sync_ns"] = (time.process_time() - begin) / _CALLS * 1e9

    async def ask() -> float:
        begin = time.process_time()
        for _ in range(_CALLS):
            await limiter.aacquire()
        return (time.process_time() - begin) / _CALLS * 1e9

    return costs | {"async_ns": asyncio.run(ask())}


def _roomy() -> Limiter:
    """Ours with a log that is full, as it is in the long run: the dearest case without a wait."""
    from langchain_hf_endpoint import RequestsPerMinuteLimiter

    own = RequestsPerMinuteLimiter(1000, burst=1000, period=1e-3)
    for _ in range(2000):
        own.acquire()
    return Limiter(own.acquire, own.aacquire)


def call(what: str, **arguments: object) -> Record:
    """In the child: one of the three."""
    chosen = {"crowd": crowd, "lateness": lateness, "cost": call_cost}[what]
    return chosen(**arguments)


def measure(scale: Scale) -> Topic:
    """All limiters in turn: costs and lateness in rounds, then the crowds."""
    topic = Topic(NAME, {"callers": CALLERS, "period": "1 s for a minute"})
    with children(dict.fromkeys(LIMITERS, "benchmarks.limiting:call")) as crew:
        for number in range(scale.runs):
            say(f"limiters, costs and lateness, round {number + 1}")
            for name, child in crew.items():
                if name not in WAITS_BETWEEN_CALLS:
                    topic.row(name, "cost").add(child.call(what="cost", name=name))
                if number and name == "langchain, as it comes":
                    continue  # a tenth of a second for each permit: one round has to do
                row = topic.row(name, "lateness")
                record = child.call(what="lateness", name=name, limit=100, count=scale.of(30, 20))
                row.add(record)
        for limit in LIMITS:
            for name, child in crew.items():
                say(f"limiters, {CALLERS} callers, {limit} permits: {name}")
                seconds = 5
                record = child.call(what="crowd", name=name, limit=limit, seconds=seconds)
                topic.row(name, str(limit)).add(record)
    return topic
