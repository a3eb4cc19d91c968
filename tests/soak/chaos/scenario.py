"""A scenario: who calls what at once, over which server, with which faults. All of it by a seed.

Nothing here runs. The same seed gives the same scenario, on any machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_hf_endpoint.testing import Fault, faults

if TYPE_CHECKING:
    from collections.abc import Callable

POISON = "poison"
"""A text with this word is rejected by the server, its whole batch with it."""

DIMENSIONS = 64
PATIENT = 60.0  # seconds of `max_wait` that no scenario of passing faults uses up
UNHURRIED = 30.0  # seconds of time-out that only a stalled machine uses up
FIRST_DELAY, LONGEST_DELAY = 0.004, 0.03  # seconds, in the place of the product's 0.5 and 8

PASSING: dict[str, Callable[[random.Random], Fault]] = {
    "429": lambda _: faults.rate_limited(),
    "429 with seconds": lambda r: faults.rate_limited(r.choice([0, 0.02])),
    "429 with a date": lambda _: faults.rate_limited("Sun, 06 Nov 1994 08:49:37 GMT"),
    "429 absurd": lambda r: faults.rate_limited(r.choice(["-5", "soon", "NaN", "1e999", ""])),
    "cold start": lambda r: faults.cold_start(r.choice([0.0, 0.05])),
    "5xx": lambda r: faults.server_error(r.choice([500, 502, 504, 408, 425])),
    "reset": lambda r: faults.reset(r.choice(["before", "head", "body"])),
    "truncated": lambda _: faults.truncated(),
}
SLOW: dict[str, Callable[[random.Random], Fault]] = {
    "hang": lambda r: faults.hang(r.choice(["before", "head", "body"])),
    "dripping": lambda _: faults.slow(3.0, pieces=30),
}
HARMLESS: dict[str, Callable[[random.Random], Fault]] = {
    "permuted": lambda _: faults.permuted(),
    "content type": lambda _: faults.wrong_content_type("text/html"),
    "late": lambda _: faults.late(0.02),
    "slow": lambda _: faults.slow(0.02, pieces=4),
    "reset after": lambda _: faults.reset("after"),
    "closed after": lambda _: faults.closed(),
}
WRONG: dict[str, Callable[[random.Random], Fault]] = {
    "count": lambda r: faults.wrong_count(r.choice([-1, 1])),
    "none": lambda _: faults.no_vectors(),
    "ragged": lambda _: faults.ragged(),
    "narrower": lambda _: faults.narrower(),
    "null": lambda _: faults.null(),
    "NaN": lambda _: faults.not_a_number(),
    "infinite": lambda _: faults.infinite(),
    "duplicates": lambda _: faults.duplicates(),
    "repeated index": lambda _: faults.repeated_index(),
    "malformed": lambda _: faults.malformed(),
    "web page": lambda _: faults.web_page(),
    "gzip": lambda _: faults.compressed(),
    "gzip unsaid": lambda _: faults.compressed(declared=False),
    "huge": lambda _: faults.huge(300_000),
}
FINAL: dict[str, Callable[[random.Random], Fault]] = {
    "paused": lambda _: faults.paused(),
    "401": lambda _: faults.unauthorized(),
    "402": lambda _: faults.answer(402, {"error": "no credit"}),
    "424": lambda _: faults.backend_error(),
    "404": lambda _: faults.answer(404, {"detail": "Not Found"}),
    "redirect": lambda _: faults.redirect("http://127.0.0.1:9/elsewhere"),
    "429 for ever": lambda _: faults.rate_limited("99999999999"),
}
REFUSING: dict[str, Callable[[random.Random], Fault]] = {
    "batch": lambda r: faults.batch_too_large(r.choice([1, 3])),
    "bytes": lambda _: faults.body_too_large(),
    "too long": lambda _: faults.input_too_long(),
    "empty": lambda _: faults.empty_input(),
    "tokenizer": lambda _: faults.input_rejected(),
}
MOODS: dict[str, tuple[dict[str, Callable[[random.Random], Fault]], ...]] = {
    "calm": (),
    "passing": (PASSING, HARMLESS),
    "hanging": (PASSING, SLOW, HARMLESS),
    "impatient": (PASSING, HARMLESS),
    "wrong": (WRONG, HARMLESS),
    "refusing": (REFUSING, PASSING),
    "final": (FINAL, PASSING, HARMLESS),
    "mixed": (PASSING, HARMLESS, WRONG, REFUSING, FINAL, SLOW),
}
WEIGHTS = (3, 6, 1, 3, 3, 2, 3, 1)
MUST_SUCCEED = ("calm", "passing", "hanging")


@dataclass(frozen=True)
class Call:
    """One call of one method.

    Attributes:
        method: ``documents``, ``array``, ``chunks``, ``stream`` or ``query``.
        texts: What it is given; for a query one text.
        source: How a stream is given its texts: ``list``, ``generator``, ``async``.
        stop_after: A stream is left after so many chunks.
        breaks_at: A stream's source raises in the place of this text.
        cancel_after: A task is cancelled after so many seconds.
    """

    method: str
    texts: tuple[str, ...]
    source: str = "list"
    stop_after: int | None = None
    breaks_at: int | None = None
    cancel_after: float | None = None


@dataclass(frozen=True)
class Actor:
    """A thread that makes calls one after the other, or with a loop that makes them at once.

    Attributes:
        kind: ``thread``; ``loop``; ``inside``: synchronous calls on the thread of a running loop,
            between asynchronous ones.
        calls: What it calls.
    """

    kind: str
    calls: tuple[Call, ...]


FAST = 0.2
"""How many of all scenarios go over aiohttp."""


@dataclass(frozen=True)
class Scenario:
    """Everything that is decided before it runs."""

    seed: int
    mood: str
    actors: tuple[Actor, ...]
    server: dict[str, object]
    path: str
    service: dict[str, object]
    chunking: dict[str, object]
    dimensions: int | None
    rate: int
    period: float
    most_in_a_row: int | None
    on_info: bool
    chances: dict[str, float]
    faults: dict[str, Fault] = field(repr=False)

    @property
    def may_time_out(self) -> bool:
        """Whether a request may be ended by its time-out."""
        return self.service["timeout"] != UNHURRIED


def scenario_of(seed: int) -> Scenario:
    """The scenario of this seed."""
    chance = random.Random(f"chaos {seed}")
    mood = chance.choices(list(MOODS), WEIGHTS)[0]
    shape = "embeddings" if chance.random() < 0.2 else "tei"
    path, dialect = _route(chance, shape)
    chosen = _faults(chance, mood)
    share = chance.choice([0.1, 0.3, 0.5]) if chosen else 0.0
    rate, period = (100_000, 1.0) if chance.random() < 0.6 else (chance.choice([60, 200]), 1.0)
    is_slow = any(name in SLOW for name in chosen)
    service: dict[str, object] = {
        "dialect": dialect,
        "timeout": 0.3 if is_slow else UNHURRIED,
        "max_wait": chance.choice([0.0, 0.03, 0.1]) if mood == "impatient" else PATIENT,
    }
    if mood in ("mixed", "final") and chance.random() < 0.5:
        service["max_wait"] = 0.2
    server = _server(chance, shape)
    if "max_concurrent_requests" in server:  # a batch with more inputs would never get in
        service["max_batch_size"] = chance.choice([1, 2, 4])
    elif chance.random() < 0.7:
        service["max_batch_size"] = chance.choice([1, 2, 3, 5, 8])
    if chance.random() < 0.2:
        service["max_concurrent_requests"] = chance.choice([1, 2, 5])
    if random.Random(f"transport {seed}").random() < FAST:
        # One input a batch, so that sync calls are long enough for a loop of their own.
        service |= {"transport": "aiohttp", "max_batch_size": 1}
    return Scenario(
        seed=seed,
        mood=mood,
        actors=_actors(chance, seed, poisoned=mood in ("refusing", "mixed")),
        server=server,
        path=path,
        service=service,
        chunking=_chunking(chance),
        dimensions=DIMENSIONS if "narrower" in chosen or chance.random() < 0.2 else None,
        rate=rate,
        period=period,
        most_in_a_row=2 if mood in MUST_SUCCEED else chance.choice([1, 3, None]),
        on_info=chance.random() < 0.3,
        chances={name: share / len(chosen) for name in chosen},
        faults=chosen,
    )


def _route(chance: random.Random, shape: str) -> tuple[str, str]:
    routes = [("", "auto"), ("", "hugging_face"), ("/v1/embeddings", "openai"), ("/v1", "auto")]
    if shape == "tei":
        routes += [("/embed", "tei"), ("/embed", "auto")]
    return chance.choice(routes)


def _faults(chance: random.Random, mood: str) -> dict[str, Fault]:
    chosen: dict[str, Fault] = {}
    for place, group in enumerate(MOODS[mood]):
        count = chance.randint(1 if place == 0 else 0, 3)
        for name in chance.sample(list(group), min(count, len(group))):
            chosen[name] = group[name](chance)
    return chosen


def _server(chance: random.Random, shape: str) -> dict[str, object]:
    server: dict[str, object] = {
        "shape": shape,
        "dimensions": DIMENSIONS,
        "rejects": POISON,
        "version": chance.choice(["1.2.3", "1.8.2", "1.8.3", "1.9.3"]),
        "seconds_per_request": chance.choice([0.0, 0.0, 0.0, 0.003]),
    }
    if chance.random() < 0.3:
        server["max_client_batch_size"] = chance.choice([1, 2, 4])
    if chance.random() < 0.2:  # overload: some of what is sent at once finds no permits
        server["max_concurrent_requests"] = chance.choice([4, 8])
        server["seconds_per_request"] = 0.003
    return server


def _chunking(chance: random.Random) -> dict[str, object]:
    if chance.random() < 0.2:
        return {"strategy": "none"}
    return {"strategy": "word", "max_chunking_size": 10, "overlap": chance.choice([0, 3])}


_CREWS = (
    ("thread",),
    ("loop",),
    ("thread", "thread", "thread"),
    ("loop", "loop"),
    ("thread", "loop"),
    ("thread", "thread", "loop", "loop"),
    ("inside",),
    ("inside", "thread"),
)


def _actors(chance: random.Random, seed: int, *, poisoned: bool) -> tuple[Actor, ...]:
    actors = []
    crew = chance.choice(_CREWS)
    for number, kind in enumerate(crew):
        most = 1 if len(crew) > 2 else 2
        calls = [
            _call(chance, kind, f"{seed}.{number}.{place}", poisoned=poisoned)
            for place in range(chance.randint(1, most))
        ]
        actors.append(Actor(kind, tuple(calls)))
    return tuple(actors)


def _call(chance: random.Random, kind: str, name: str, *, poisoned: bool) -> Call:
    method = chance.choices(["documents", "array", "chunks", "stream", "query"], [4, 1, 2, 3, 2])[0]
    if method == "query":
        words = f"query {name}{f' {POISON}' if poisoned and chance.random() < 0.1 else ''}"
        return Call("query", (words,), cancel_after=_cancellation(chance, kind))
    texts = _texts(chance, name, poisoned=poisoned)
    if method != "stream":
        return Call(method, texts, cancel_after=_cancellation(chance, kind))
    return Call(
        "stream",
        texts,
        source=chance.choice(["list", "generator", *(["async"] if kind != "thread" else [])]),
        stop_after=chance.randint(0, len(texts)) if chance.random() < 0.3 else None,
        breaks_at=chance.randint(0, len(texts)) if chance.random() < 0.15 else None,
        cancel_after=_cancellation(chance, kind),
    )


def _cancellation(chance: random.Random, kind: str) -> float | None:
    """Tasks can be cancelled, threads cannot."""
    if kind == "thread" or chance.random() > 0.15:
        return None
    return chance.choice([0.0, 0.002, 0.01, 0.05])


def _texts(chance: random.Random, name: str, *, poisoned: bool) -> tuple[str, ...]:
    texts: list[str] = []
    for number in range(chance.choice([1, 2, 4, 9, 16])):
        if texts and chance.random() < 0.1:
            texts.append(chance.choice(texts))
            continue
        words = [f"text {name}.{number}"]
        if chance.random() < 0.15:
            words += [f"w{name}.{number}.{place}" for place in range(chance.randint(9, 30))]
        if poisoned and chance.random() < 0.06:
            words.insert(chance.randint(1, len(words)), POISON)
        texts.append(" ".join(words))
    return tuple(texts)
