"""How much of a server's capacity is used without any setting, for many kinds of server.

The capacity is computed from the server's settings: its slots times the inputs of a full batch,
divided by the time that a batch takes. Some servers cannot be used so far, because Python does not
send that many requests, or because the server lets no request wait. Their capacity is measured: the
best that a bare client reaches with several fixed numbers of requests in flight. The last column
says which of the two it is.

Two shares are given. That of the whole job includes its first requests, when nothing is known of
the server, and its last ones. That of the middle is measured from a third of the job's time to one
service time before its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.children import Child, Cost
from benchmarks.clients import bare, ours
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour
from benchmarks.texts import make_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.children import Record
    from benchmarks.records import Scale
    from benchmarks.serving import Served

NAME = "capacity"
SUBJECT = "ours, untuned"
_WORDS = 12  # a text's; the client's own work is measured elsewhere
_WIDTH = 64
_MOST_A_SECOND = 16_000  # texts that a client in Python may hope to send


@dataclass(frozen=True)
class Kind:
    """A kind of server.

    Attributes:
        name: As the table calls it.
        behaviour: What it does.
        seconds: How long an ideal client would take for the job.
        told: Numbers of requests in flight that the bare client is told, where its best counts.
        changes: Its capacity changes in mid-run.
    """

    name: str
    behaviour: Behaviour
    seconds: float = 4.0
    told: tuple[int, ...] = ()
    changes: bool = False

    @property
    def service(self) -> float:
        """Seconds that a full batch takes."""
        behaviour = self.behaviour
        return behaviour.seconds_per_batch + behaviour.seconds_per_input * behaviour.max_batch

    def lanes(self, age: float) -> int:
        """Batches that it can serve at once, so long after its first one."""
        behaviour = self.behaviour
        slots = behaviour.slots
        for since, later in behaviour.slots_at:
            slots = later if age >= since else slots
        return min(slots, behaviour.permits // behaviour.max_batch, behaviour.edge)

    def capacity(self, begin: float, end: float) -> float:
        """Inputs that it can serve between two ages."""
        moments = sorted(
            {begin, end, *(at for at, _ in self.behaviour.slots_at if begin < at < end)}
        )
        spans = pairwise(moments)
        lane_seconds = sum((late - early) * self.lanes(early) for early, late in spans)
        return lane_seconds * self.behaviour.max_batch / self.service


def _kind(name: str, slots: int, milliseconds: float, **more: object) -> Kind:
    about = {key: more.pop(key) for key in ("seconds", "told", "changes") if key in more}
    behaviour = Behaviour(
        dimensions=_WIDTH, slots=slots, seconds_per_batch=milliseconds / 1000, **more
    )
    return Kind(name, behaviour, **about)


KINDS = (
    _kind("1 batch at once, 5 ms", 1, 5, seconds=2.0),
    _kind("1 batch at once, 100 ms", 1, 100, seconds=2.0),
    _kind("4 at once, 20 ms", 4, 20, seconds=2.0),
    _kind("4 at once, 500 ms", 4, 500, seconds=5.0),
    _kind("16 at once, 50 ms", 16, 50, seconds=2.0),
    _kind("64 at once, 50 ms", 64, 50, seconds=2.0, told=(16, 64)),
    _kind("64 at once, 500 ms", 64, 500, seconds=8.0),
    _kind("permits for 64 inputs, 20 ms", 64, 20, permits=64, seconds=2.0, told=(2,)),
    _kind("permits for 512 inputs, 50 ms", 64, 50, permits=512, seconds=2.0, told=(16,)),
    _kind("slow CPU, 10 ms an input", 1, 5, seconds_per_input=0.01, seconds=3.0),
    _kind("429 above 8 requests, 20 ms", 8, 20, edge=8, seconds=2.5, told=(8,)),
    _kind(
        "16, then 4, then 16 at once, 50 ms",
        16,
        50,
        slots_at=((2.0, 4), (4.0, 16)),
        seconds=6.0,
        changes=True,
    ),
)


def run(url: str, count: int, at_once: int) -> Record:
    """In the child: embed so many texts; ours where `at_once` is 0, else the bare client."""
    texts = make_texts(count, _WORDS)
    with Cost() as cost:
        if at_once:
            decode = bare.list_rows
            parts = asyncio.run(bare.aiohttp_batches(url + "/embed", texts, decode, at_once))
            done = sum(map(len, parts))
        else:
            done = len(asyncio.run(ours.embeddings(url).aembed_documents(texts)))
    assert done == count
    return cost.record()


def measure(scale: Scale) -> Topic:
    """Each kind in turn, round by round; the bare client where the capacity is its."""
    topic = Topic(NAME, {"texts": f"about {_WORDS} words", "dimensions": _WIDTH})
    with (
        Server() as server,
        Child("benchmarks.capacity:run", "capacity ours") as own,
        Child("benchmarks.capacity:run", "capacity bare") as by_hand,
    ):
        server.behave(Behaviour(dimensions=_WIDTH))
        for child, at_once in ((own, 0), (by_hand, 8)):  # warm-up
            child.call(url=server.url, count=640, at_once=at_once)
        for number in range(scale.runs):
            say(f"capacity, round {number + 1}")
            for kind in KINDS:
                job = _shortened(kind) if scale.quick else kind
                bare_rates = [_bare(job, by_hand, server, n) for n in job.told]
                row = topic.row(SUBJECT, kind.name)
                row.add(_own(job, own, server, max(bare_rates, default=None)))
                row.note = "a bare client that was told" if job.told else "computed"
    return topic


def _shortened(kind: Kind) -> Kind:
    """A job of a third of the time, its changes too."""
    behaviour = kind.behaviour
    earlier = tuple((at / 3, slots) for at, slots in behaviour.slots_at)
    return replace(kind, seconds=kind.seconds / 3, behaviour=replace(behaviour, slots_at=earlier))


def _inputs(kind: Kind) -> int:
    """As many as an ideal client gets done in the kind's time, in full batches."""
    batch, wanted = kind.behaviour.max_batch, kind.capacity(0, kind.seconds)
    return max(batch, int(min(wanted, _MOST_A_SECOND * kind.seconds)) // batch * batch)


def _bare(kind: Kind, child: Child, server: Server, at_once: int) -> float:
    """Texts a second of the bare client with so many requests in flight."""
    server.behave(kind.behaviour)
    count = _inputs(kind) // 2
    record = child.call(url=server.url, count=count, at_once=at_once)
    return 0.0 if "error" in record else count / record["seconds"]


def _own(kind: Kind, child: Child, server: Server, bare_rate: float | None) -> Record:
    server.behave(kind.behaviour)
    record = child.call(url=server.url, count=_inputs(kind), at_once=0)
    if "error" in record:
        return record
    log = server.log()
    return record | shares(kind, log, bare_rate) | {"refused": sum(b.status == 429 for b in log)}


def shares(kind: Kind, log: Sequence[Served], bare_rate: float | None) -> Record:
    """Which share of the capacity was used, from the server's log."""
    served = [batch for batch in log if batch.status == 200]
    start = min(batch.arrived for batch in log)
    zero = served[0].begun  # the server's clock for changes
    end = max(batch.ended for batch in served)
    third, late = start + (end - start) / 3, max(end - kind.service, start + (end - start) / 2)

    def share(begin: float, finish: float) -> float:
        could = kind.capacity(begin - zero, finish - zero)
        if bare_rate is not None:
            could = min(could, bare_rate * (finish - begin))
        return sum(_within(batch, begin, finish) for batch in served) / could

    most = max(_in_house(log))
    return {"whole": share(start, end), "middle": share(third, late), "most_in_house": most}


def _within(batch: Served, begin: float, finish: float) -> float:
    """The inputs of a batch, or the part of them that was served between two moments."""
    overlap = min(batch.ended, finish) - max(batch.begun, begin)
    if overlap <= 0:
        return 0.0
    return batch.inputs * overlap / (batch.ended - batch.begun)


def _in_house(log: Sequence[Served]) -> list[int]:
    """How many requests were in the house after each arrival and each end."""
    steps = [(batch.arrived, 1) for batch in log] + [(batch.ended, -1) for batch in log]
    count, counts = 0, []
    for _, step in sorted(steps):
        count += step
        counts.append(count)
    return counts
