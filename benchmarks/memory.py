"""What a long stream and a large call hold in memory, above what the process had before."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.children import Child, Cost
from benchmarks.clients import ours
from benchmarks.records import Topic, say
from benchmarks.serving import Server
from benchmarks.tei_server import Behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "memory"
_WIDTH = 384
_SAMPLES = 20


def _texts(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"This is the text of number {number}, which is no other's; it has few words."


def _resident_mb() -> float:
    """What the process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class _Highest:
    """The most that the process had in memory while the block ran, looked at each 20 ms."""

    def __enter__(self) -> Self:
        gc.collect()
        self.start_mb = self.peak_mb = _resident_mb()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.peak_mb = max(self.peak_mb, _resident_mb())


def run(what: str, url: str, count: int) -> Record:
    """In the child, a fresh one: one call; MB above the start."""
    embeddings = ours.embeddings(url)
    embeddings.embed_documents(["warm-up"] * 2)
    if what == "stream":
        return _stream(url, count)
    texts = list(_texts(count))
    call = embeddings.embed_array if what == "array" else embeddings.embed_documents
    with _Highest() as memory, Cost() as cost:
        result = call(texts)
    held = _bytes(result) / 1e6
    above = memory.peak_mb - memory.start_mb
    return {"above_mb": above, "result_mb": held, "of_result": above / held} | cost.record()


def _stream(url: str, count: int) -> Record:
    """Memory after each twentieth of the stream, so that a slope shows."""
    curve, step = [], max(1, count // _SAMPLES)
    with _Highest() as memory, Cost() as cost:
        for number, _ in enumerate(ours.embeddings(url).stream_chunks(_texts(count)), 1):
            if number % step == 0:
                curve.append(_resident_mb() - memory.start_mb)
    early, late = max(curve[: _SAMPLES // 4]), max(curve[-_SAMPLES // 4 :])
    figures = {f"after_{place:02}": mb for place, mb in enumerate(curve, 1)}
    return {
        "above_mb": memory.peak_mb - memory.start_mb,
        "growth_mb": late - early,
        "most_of_process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **figures,
        **cost.record(),
    }


def _bytes(result: Sequence[Sequence[float]] | NDArray[np.float32]) -> int:
    """What a result takes by itself."""
    if not isinstance(result, list):
        return int(result.nbytes)
    row = result[0]
    floats = len(row) * sys.getsizeof(row[0])
    return sys.getsizeof(result) + sum(sys.getsizeof(one) + floats for one in result)


def measure(scale: Scale) -> Topic:
    """Each in a process of its own. Memory does not vary as time does: each is run once."""
    topic = Topic(NAME, {"dimensions": _WIDTH})
    jobs = {
        "stream": ("stream", scale.of(1_000_000, 40_000), "/v1/embeddings"),
        "embed_documents": ("lists", scale.of(100_000, 5_000), "/v1/embeddings"),
        "embed_array": ("array", scale.of(100_000, 5_000), "/v1/embeddings"),
    }
    with Server() as server:
        for name, (what, count, path) in jobs.items():
            say(f"memory: {name} of {count:,} texts")
            server.behave(Behaviour(dimensions=_WIDTH))
            with Child("benchmarks.memory:run", name) as child:
                record = child.call(patience=400, what=what, url=server.url + path, count=count)
                topic.row(name, f"{count:,} texts").add(record)
    return topic
