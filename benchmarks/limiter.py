"""Limiters side by side: permits used, the fullest window, lateness, cost of a call.

    python benchmarks/limiter.py [--seconds 6]

A "minute" is one second long here, so that many windows pass. Peers that are not installed are
skipped with a note: ``pip install aiolimiter pyrate-limiter limits``. The figures:

used      permits granted of those that the limit allows, after the first two windows
window    most permits in any window, as a multiple of the limit: above 1 breaks the promise
none      callers of the 64 that got nothing at all
cpu       of one core
late      seconds between the moment a permit is due and the moment a lone caller has it
ns        one call that need not wait; x is the ratio to ours
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import ModuleType

CALLERS = 64
LIMITS = (50, 1000)
CALLS = 50_000


@dataclass(frozen=True)
class Contender:
    """One limiter of so many permits a second, in its two forms; None where it has not got one.

    ``window`` tells when a lone caller's permit is due: with the whole limit of the window before
    it, or evenly, so many after the permit before.
    """

    name: str
    acquire: Callable[[], object] | None
    aacquire: Callable[[], Awaitable[object]] | None
    window: bool = False


def ours(limit: int) -> Iterator[Contender]:
    burst = max(1, limit // 60)
    own = RequestsPerMinuteLimiter(limit, period=1.0, burst=burst)
    yield Contender("ours", own.acquire, own.aacquire)


def langchain(limit: int) -> Iterator[Contender]:
    polling = InMemoryRateLimiter(requests_per_second=limit)
    yield Contender("langchain, as it comes", polling.acquire, polling.aacquire)
    eager = InMemoryRateLimiter(requests_per_second=limit, check_every_n_seconds=0.005)
    yield Contender("langchain, poll 5 ms", eager.acquire, eager.aacquire)
    full = InMemoryRateLimiter(
        requests_per_second=limit, check_every_n_seconds=0.005, max_bucket_size=limit
    )
    yield Contender("langchain, bucket N", full.acquire, full.aacquire)


def aiolimiter(limit: int) -> Iterator[Contender]:
    if module := installed("aiolimiter"):
        yield Contender("aiolimiter(N, 1)", None, module.AsyncLimiter(limit, 1).acquire)
        yield Contender("aiolimiter(1, 1/N)", None, module.AsyncLimiter(1, 1 / limit).acquire)


def pyrate(limit: int) -> Iterator[Contender]:
    if module := installed("pyrate_limiter"):
        limiter = module.Limiter(module.Rate(limit, module.Duration.SECOND))
        yield Contender(
            "pyrate-limiter", limiter.try_acquire, limiter.try_acquire_async, window=True
        )


def limits(limit: int) -> Iterator[Contender]:
    module, strategies = installed("limits"), installed("limits.strategies")
    if module is None or strategies is None:
        return
    strategy = strategies.MovingWindowRateLimiter(module.storage.MemoryStorage())
    item = module.RateLimitItemPerSecond(limit)

    def pause() -> float:
        """It leaves the waiting to its users; this is the loop that its documentation suggests."""
        return max(0.001, float(strategy.get_window_stats(item, "all").reset_time) - time.time())

    def acquire() -> None:
        while not strategy.hit(item, "all"):
            time.sleep(pause())

    async def aacquire() -> None:
        while not strategy.hit(item, "all"):  # noqa: ASYNC110 - that is what it offers
            await asyncio.sleep(pause())

    yield Contender("limits, moving window", acquire, aacquire, window=True)


MAKERS = (ours, langchain, aiolimiter, pyrate, limits)


def installed(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def crowd(contender: Contender, seconds: float) -> tuple[list[tuple[float, int]], float]:
    """Let 64 callers ask without end, half of them threads, half tasks; return grants and CPU."""
    grants: list[tuple[float, int]] = []
    end = time.monotonic() + seconds
    acquire, aacquire = contender.acquire, contender.aacquire

    def work(number: int) -> None:
        while time.monotonic() < end and acquire:
            acquire()
            grants.append((time.monotonic(), number))

    async def awork(number: int) -> None:
        while time.monotonic() < end and aacquire:
            await aacquire()
            grants.append((time.monotonic(), number))

    async def all_tasks(count: int) -> None:
        tasks = [asyncio.create_task(awork(1000 + number)) for number in range(count)]
        await asyncio.wait(tasks, timeout=seconds + 1)
        for task in tasks:
            task.cancel()

    half = CALLERS // 2
    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(half)]
    cpu = time.process_time()
    if acquire:
        for thread in threads:
            thread.start()
    asyncio.run(all_tasks(half if acquire else CALLERS))
    for thread in threads if acquire else ():
        thread.join(max(0.0, end + 1 - time.monotonic()))
    spent = time.process_time() - cpu
    return sorted(grant for grant in grants if grant[0] <= end), spent / seconds


def fullest_window(moments: list[float]) -> int:
    first = most = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def lateness(contender: Contender, limit: int, count: int = 100) -> list[float]:
    """How long after its due moment a lone caller has each permit; async where there is no sync."""
    moments: list[float] = []

    async def alone() -> None:
        for _ in range(count + limit):
            if contender.aacquire:
                await contender.aacquire()
            moments.append(time.monotonic())

    if contender.acquire:
        for _ in range(count + limit):
            contender.acquire()
            moments.append(time.monotonic())
    else:
        asyncio.run(alone())
    back, distance = (limit, 1.0) if contender.window else (1, 1 / limit)
    pairs = zip(moments[limit:], moments[limit - back :], strict=False)
    return sorted(max(0.0, moment - before - distance) for moment, before in pairs)


def own_lateness(limit: int, count: int = 100) -> list[float]:
    """Ours says beforehand when a permit is due."""
    limiter = RequestsPerMinuteLimiter(limit, period=1.0)
    late = []
    for _ in range(count + limit):
        turn = limiter.reserve()
        due = time.monotonic()
        while seconds := turn.wait():
            due = time.monotonic() + seconds
            time.sleep(seconds)
        late.append(max(0.0, time.monotonic() - due))
    return sorted(late[limit:])


def nanoseconds(contender: Contender) -> tuple[float | None, float | None]:
    """The cost of a call, without a need to wait, as a thread and as a task: best of five."""
    sync_cost = async_cost = None
    if acquire := contender.acquire:
        sync_cost = min(timed(acquire) for _ in range(5))
    if aacquire := contender.aacquire:

        async def once() -> float:
            begin = time.perf_counter()
            for _ in range(CALLS // 5):
                await aacquire()
            return (time.perf_counter() - begin) / (CALLS // 5) * 1e9

        async def best() -> float:
            return min([await once() for _ in range(5)])

        async_cost = asyncio.run(best())
    return sync_cost, async_cost


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(CALLS // 5):
        call()
    return (time.perf_counter() - begin) / (CALLS // 5) * 1e9


def print_crowds(seconds: float) -> None:
    for limit in LIMITS:
        print(f"\n{CALLERS} callers, {limit} permits a window, {seconds:g} windows")
        print(f"{'':24}{'used':>7}{'x':>6}{'window':>8}{'none':>6}{'cpu':>7}")
        own_used = None
        for contender in (each for make in MAKERS for each in make(limit)):
            grants, cpu = crowd(contender, seconds)
            moments = [moment for moment, _ in grants]
            # A grant counts from the end of the second window, so that bursts are over.
            since = moments[0] + 2
            used = sum(m > since for m in moments) / (limit * (moments[0] + seconds - since))
            own_used = own_used or used
            none = CALLERS - len(Counter(number for _, number in grants))
            window = fullest_window(moments) / limit
            print(
                f"{contender.name:24}{used:7.3f}{used / own_used:6.2f}{window:8.2f}"
                f"{none:6}{cpu:7.1%}"
            )


def print_lateness() -> None:
    print("\na lone caller, 50 permits a window: late by")
    print(f"{'':24}{'p50 ms':>9}{'p99 ms':>9}{'x p50':>8}")
    reference = None
    for contender in (each for make in MAKERS for each in make(50)):
        late = own_lateness(50) if contender.name == "ours" else lateness(contender, 50)
        p50, p99 = late[len(late) // 2] * 1e3, late[int(len(late) * 0.99)] * 1e3
        reference = reference or p50
        print(f"{contender.name:24}{p50:9.2f}{p99:9.2f}{p50 / reference:8.1f}")


def print_costs() -> None:
    plenty = 10_000_000
    print("\na call that need not wait, ns")
    print(f"{'':24}{'sync':>9}{'x':>6}{'async':>9}{'x':>6}")
    own: tuple[float | None, float | None] = (None, None)
    makers = [make for make in MAKERS if make is not ours]
    roomy = RequestsPerMinuteLimiter(plenty, burst=plenty)
    full = RequestsPerMinuteLimiter(1000, burst=1000, period=1e-3)
    contenders = [
        Contender("ours", roomy.acquire, roomy.aacquire),
        Contender("ours, log full", full.acquire, full.aacquire),
        *(each for make in makers for each in make(plenty) if "comes" not in each.name),
    ]
    for contender in contenders:
        if "poll" in contender.name or "1/N" in contender.name:
            continue  # they wait between calls
        costs = nanoseconds(contender)
        own = costs if own == (None, None) else own
        columns = "".join(
            f"{cost:9.0f}{cost / reference:6.1f}" if cost and reference else f"{'-':>9}{'-':>6}"
            for cost, reference in zip(costs, own, strict=True)
        )
        print(f"{contender.name:24}{columns}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each run")
    seconds = parser.parse_args().seconds
    for name in ("aiolimiter", "pyrate_limiter", "limits"):
        if installed(name) is None:
            print(f"{name} is not installed: skipped")
    print_crowds(seconds)
    print_lateness()
    print_costs()


if __name__ == "__main__":
    main()
