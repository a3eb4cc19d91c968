"""Calls through a gateway, and what each costs the gateway's process.

Callers keep one connection each and ask OpenAI's route again and again, for numbers in JSON. The
server behind takes 5 ms a batch. The pass-throughs are Starlette and uvicorn, as ours is, and send
each body on as it came; they merge nothing, learn nothing, check nothing.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.children import Child
from benchmarks.gateways import GATEWAYS, MODEL, gateway
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "gateway"
LOADS = {"64 callers, 1 text a call": (64, 1), "8 callers, 32 texts a call": (8, 32)}
SINGLE, BULK = LOADS
_MOST_RUNS = 3


def run(address: str, callers: int, texts: int, seconds: float) -> Record:
    """In the child: so many callers for so long."""
    taken: list[float] = []

    async def caller(number: int, until: float) -> None:
        reader, writer = await asyncio.open_connection(*address.split(":"), limit=2**22)
        given = [f"The text {place} of caller {number}, which is short." for place in range(texts)]
        body = json.dumps({"model": MODEL, "input": given[0] if texts == 1 else given}).encode()
        head = (
            f"POST /v1/embeddings HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer none\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        while (begin := perf_counter()) < until:
            writer.write(head + body)
            reply = await reader.readuntil(b"\r\n\r\n")
            length = int(reply.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            content = await reader.readexactly(length)
            assert reply.split(b" ", 2)[1] == b"200", content[:200]
            taken.append(perf_counter() - begin)
        writer.close()

    async def all_of_them() -> None:
        until = perf_counter() + seconds
        await asyncio.gather(*(caller(number, until) for number in range(callers)))

    begin = perf_counter()
    asyncio.run(all_of_them())
    calls = len(taken)
    rate = calls / (perf_counter() - begin)
    return {"calls": calls, "calls_per_s": rate, "p50_ms": 1e3 * median(taken)}


def measure(scale: Scale) -> Topic:
    """Each gateway under both loads, round by round; none has anything to do in others' turns."""
    topic = Topic(NAME, {"runs": (runs := min(scale.runs, _MOST_RUNS))})
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        load = stack.enter_context(Child("benchmarks.gateway:run", NAME))
        say("gateway: all of them start")
        started = {name: stack.enter_context(gateway(name, server.url)) for name in GATEWAYS}
        for number in range(1, runs + 1):
            for name, (address, pid) in started.items():
                say(f"gateway, round {number}: {name}")
                for setting, (callers, texts) in LOADS.items():
                    server.behave(Behaviour(dimensions=384, seconds_per_batch=0.005, slots=64))
                    given = {"address": address, "callers": callers, "texts": texts}
                    load.call(**given, seconds=1 if number == 1 else 0.5)  # warm-up
                    before, sent = _cpu_seconds(pid), len(server.log())
                    record = load.call(**given, seconds=scale.of(2, 1))
                    if calls := record.pop("calls", 0):
                        used = _cpu_seconds(pid) - before
                        record["cpu_us_per_call"] = 1e6 * used / calls
                        record["requests_per_call"] = (len(server.log()) - sent) / calls
                    topic.row(name, setting).add(record)
    return topic


def _cpu_seconds(pid: int) -> float:
    """What a process has used, its children with it."""
    import psutil

    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)
