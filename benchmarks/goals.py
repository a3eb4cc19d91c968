"""What was to be reached, and whether it was: computed from the topics' records each time.

Every goal is a ratio within one run, or a bound; a goal over several settings is held against the
worst of them, which is named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import (
    callers,
    capacity,
    chunking,
    gateway,
    imports,
    limiting,
    linearity,
    memory,
    queries,
    starting,
    throughput,
)
from benchmarks.clients import CLIENTS, DEFAULT, FAST, LIMITED
from benchmarks.gateways import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from benchmarks.records import Topic

_ROOT = "ours, async"
_BASETEN = "baseten-performance-client"
_LIMITED_PACE = 1_600  # texts/s: the default limit of 3,000 a minute, 32 texts a request
_FLAT_MB = 10.0
_LINEAR = 1.5  # caches and the allocator have their part; a square would be 50
_HEAVY_ON_IMPORT = ("nltk", "numpy", "httpx")


@dataclass(frozen=True)
class Goal:
    """One row of the table.

    Attributes:
        what: What was to be reached.
        bound: How much, in words.
        value: What came out, in words.
        met: Whether it was; None where it was not measured.
    """

    what: str
    bound: str
    value: str
    met: bool | None


@dataclass(frozen=True)
class _Worst:
    """The worst of several values, and where it was found."""

    value: float
    where: str
    count: int


def _worst(values: Iterable[tuple[str, float]], *, most: bool) -> _Worst | None:
    """The greatest of the values (the least, unless `most`), NaN left out."""
    known = [(value, where) for where, value in values if not math.isnan(value)]
    if not known:
        return None
    value, where = max(known) if most else min(known)
    return _Worst(value, where, len(known))


def _at_most(what: str, bound: float, worst: _Worst | None, unit: str = "") -> Goal:
    return _bounded(what, f"<= {bound:g}{unit}", worst, unit, lambda value: value <= bound)


def _at_least(what: str, bound: float, worst: _Worst | None, unit: str = "") -> Goal:
    return _bounded(what, f">= {bound:g}{unit}", worst, unit, lambda value: value >= bound)


def _bounded(
    what: str, bound: str, worst: _Worst | None, unit: str, holds: Callable[[float], bool]
) -> Goal:
    if worst is None:
        return Goal(what, bound, "not measured", None)
    of = f" (worst of {worst.count}: {worst.where})" if worst.count > 1 else ""
    return Goal(what, bound, f"{worst.value:.3g}{unit}{of}", holds(worst.value))


def all_goals(topics: Mapping[str, Topic]) -> list[Goal]:
    """The whole table, of whatever was measured."""
    makers: dict[str, Callable[[Topic], list[Goal]]] = {
        capacity.NAME: _of_capacity,
        throughput.NAME: _of_throughput,
        starting.NAME: _of_starting,
        gateway.NAME: _of_gateway,
        chunking.NAME: _of_chunking,
        linearity.NAME: _of_linearity,
        callers.NAME: _of_callers,
        limiting.NAME: _of_limiting,
        queries.NAME: _of_queries,
        memory.NAME: _of_memory,
        imports.NAME: _of_imports,
    }
    return [goal for name, make in makers.items() if name in topics for goal in make(topics[name])]


def _of_capacity(topic: Topic) -> list[Goal]:
    changing = {kind.name for kind in capacity.KINDS if kind.changes}
    steady = [(r.setting, r.median("middle")) for r in topic.rows if r.setting not in changing]
    varied = [(r.setting, r.median("middle")) for r in topic.rows if r.setting in changing]
    what = "share of the server's capacity"
    return [
        _at_least(f"{what}, each kind of server", 0.95, _worst(steady, most=False)),
        _at_least(f"{what}, where it changes in mid-run", 0.9, _worst(varied, most=False)),
    ]


def _of_throughput(topic: Topic) -> list[Goal]:
    rate, cost = "texts_per_s", "cpu_ms_per_1000"
    fast, fast_lists = _named("ours", "arrays", FAST), _named("ours", "lists", FAST)
    default = _named("ours", "arrays", DEFAULT)
    bare, bare_default = _named("bare", "arrays", FAST), _named("bare", "arrays", DEFAULT)
    rust, rust_lists = (
        [one.name for one in CLIENTS if one.name.startswith(_BASETEN) and one.form == form]
        for form in ("arrays", "lists")
    )

    def against(own: Sequence[str], others: Sequence[str], figure: str) -> _Worst | None:
        ratios = _against_best(topic, own, others, figure)
        return _worst(ratios, most=figure == cost)

    goals = [
        _at_least(
            f"`embed_array`, [fast]: texts/s over {_BASETEN}'s best",
            1.15,
            against(fast, rust, rate),
        ),
        _at_most(
            f"`embed_array`, [fast]: CPU over {_BASETEN}'s best", 0.6, against(fast, rust, cost)
        ),
        _at_most(
            f"`embed_array`, [fast]: CPU over a bare loop on {FAST}",
            1.4,
            against(fast, bare, cost),
        ),
        _at_least(
            f"`embed_documents`, [fast]: texts/s over {_BASETEN}'s best lists",
            1.15,
            against(fast_lists, rust_lists, rate),
        ),
        _at_most(
            f"`embed_array`, default transport: CPU over bare {DEFAULT} at its best",
            1.15,
            against(default, bare_default, cost),
        ),
    ]
    for kind, bound in (("peer, best settings", 0.7), ("peer, defaults", 0.25)):
        words = f"wall time of `{_ROOT}` against every Python {kind.replace(', ', ' with its ')}"
        goals.append(_at_most(words, bound, _worst(_walls(topic, _ROOT, kind), most=True)))
    for words, own in (("default transport", _ROOT), ("[fast]", f"{_ROOT}, fast")):
        ratios = _ratios(topic, f"{own}, arrays", own, cost)
        what = f"CPU of `embed_array` against `embed_documents`, {words}"
        goals.append(_at_most(what, 0.5, _worst(ratios, most=True)))
    pace = topic.row(LIMITED.name, throughput.PLAIN.name).median(rate) / _LIMITED_PACE
    what = f"as it comes: share of the {_LIMITED_PACE:,} texts/s that 3,000 requests a minute are"
    return [*goals, _at_least(what, 0.98, _worst([("", pace)], most=False))]


def _named(kind: str, form: str, library: str) -> list[str]:
    """The clients of a kind that send with a library and return such a form."""
    return [
        one.name
        for one in CLIENTS
        if (one.kind, one.form, one.library) == (kind, form, library) and one is not LIMITED
    ]


def _walls(topic: Topic, own: str, kind: str) -> list[tuple[str, float]]:
    """Our wall time through each such peer's, at each width."""
    peers = [one.name for one in CLIENTS if one.kind == kind and one.is_python]
    return [
        (f"{peer}, {where}", value)
        for peer in peers
        for where, value in _ratios(topic, peer, own, "texts_per_s")
    ]


def _against_best(
    topic: Topic, own: Sequence[str], others: Sequence[str], figure: str
) -> list[tuple[str, float]]:
    """Each of ours through the best of the others: the fastest, or the cheapest."""
    setting = throughput.PLAIN.name
    medians = {name: topic.row(name, setting).median(figure) for name in others}
    known = {name: value for name, value in medians.items() if not math.isnan(value)}
    if not known:
        return []
    choose = max if figure == "texts_per_s" else min
    best = choose(known, key=known.__getitem__)
    return [
        (f"{name} over {best}", value)
        for name in own
        for where, value in _ratios(topic, name, best, figure)
        if where == setting
    ]


def _ratios(topic: Topic, one: str, other: str, figure: str) -> list[tuple[str, float]]:
    """One contender's figure through another's, round by round: the median, in each setting."""
    ratios = []
    for setting in topic.settings():
        pairs = [topic.row(name, setting).figures.get(figure, []) for name in (one, other)]
        rounds = [upper / lower for upper, lower in zip(*pairs, strict=False)]
        if rounds:
            ratios.append((setting, median(rounds)))
    return ratios


def _of_starting(topic: Topic) -> list[Goal]:
    shares = [(row.subject, row.median("share")) for row in topic.rows]
    what = f"a first call of {starting.TEXTS:,} texts, texts/s over the next one's"
    return [_at_least(what, 0.6, _worst(shares, most=False))]


def _of_gateway(topic: Topic) -> list[Goal]:
    own, bare = (
        topic.row(name, gateway.SINGLE).median("cpu_us_per_call")
        for name in (OURS, f"pass-through, {FAST}")
    )
    what = f"gateway, CPU of a single-text call over the bare pass-through on {FAST}"
    return [_at_most(what, 1.4, _worst([("", own / bare)], most=True))]


def _of_chunking(topic: Topic) -> list[Goal]:
    def rate(name: str, setting: str) -> float:
        return topic.row(name, setting).median("mb_per_s")

    sentence, million, largest = "ours, sentence chunks", "1000000", str(chunking.SIZES[-1])
    own = ("ours, sentence boundaries", sentence)
    faster = [(name, rate(name, "usual") / rate("nltk sent_tokenize", "usual")) for name in own]
    same = [("", topic.row("ours, sentence boundaries", "identity").median("identical"))]
    growth = [(name, rate(name, million) / rate(name, largest)) for name in own]
    words = [(n, rate(n, "usual")) for n in ("ours, word chunks", "ours, word chunks, no overlap")]
    cpython = rate("str.split()", "usual")
    return [
        _at_least("sentences against NLTK's speed", 10, _worst(faster, most=False), " x"),
        _at_least("sentence boundaries identical to NLTK's (1 = yes)", 1, _worst(same, most=False)),
        _at_most(
            "sentences: time per MB at 50 MB against 1 MB", _LINEAR, _worst(growth, most=True), " x"
        ),
        _at_least(
            f"word chunks (`str.split()`, without offsets: {cpython:.0f} MB/s)",
            100,
            _worst(words, most=False),
            " MB/s",
        ),
    ]


def _of_linearity(topic: Topic) -> list[Goal]:
    grown = [(f"{row.subject}, {row.setting}", linearity.growth(row.figures)) for row in topic.rows]
    what = "hostile text: time per MB at 50 MB against 1 MB"
    return [_at_most(what, _LINEAR, _worst(grown, most=True), " x")]


def _of_callers(topic: Topic) -> list[Goal]:
    waited = [(row.subject, row.median("p99_ms")) for row in topic.rows if "p99_ms" in row.figures]
    what = "`/health` of the gateway while many ask, 99th percentile"
    return [_at_most(what, 100, _worst(waited, most=True), " ms")]


def _of_limiting(topic: Topic) -> list[Goal]:
    def own(figure: str) -> list[tuple[str, float]]:
        return [
            (f"{row.setting} {figure}".strip(), row.median(figure))
            for row in topic.rows
            if row.subject == "ours"
        ]

    microseconds = [
        (name, topic.row("ours", "cost").median(figure) / 1e3)
        for name, figure in (("sync", "sync_ns"), ("async", "async_ns"))
    ]
    used, fullest = _worst(own("used"), most=False), _worst(own("fullest"), most=True)
    return [
        _at_least("limiter: permits used in steady state", 0.99, used),
        _at_most("limiter: fullest window, of what is allowed", 1, fullest),
        _at_most("limiter: p99 lateness", 5, _worst(own("late_p99_ms"), most=True), " ms"),
        _at_most("limiter: uncontended acquire", 3, _worst(microseconds, most=True), " µs"),
    ]


def _of_queries(topic: Topic) -> list[Goal]:
    over = [
        (
            f"{row.subject}, {row.setting} a minute",
            (row.median("busy_p99_ms") - row.median("idle_p50_ms")) / row.median("interval_ms"),
        )
        for row in topic.rows
        if "interval_ms" in row.figures
    ]
    what = "query p99 during ingestion, above the idle p50"
    return [
        _at_most(what, 1.5, _worst(over, most=True), " intervals"),
        *_of_queries_at_a_server(topic),
    ]


def _of_queries_at_a_server(topic: Topic) -> list[Goal]:
    """Where the server is the bottleneck, in the time that one of its batches takes."""
    goals = []
    what = "query during ingestion, in batch times,"
    for slots, words, middle, most in (
        ((1,), "at one slot", 1.6, 2.2),
        ((4, 8), "at four slots and more", 1.5, 1.5),
    ):
        rows = [row for row in topic.rows if row.median("slots") in slots]
        for figure, of, bound in (
            ("batches_p50", "median", middle),
            ("batches_max", "worst", most),
        ):
            worst = _worst([(row.setting, row.median(figure)) for row in rows], most=True)
            goals.append(_at_most(f"{what} {words}: {of}", bound, worst))
    return goals


def _of_memory(topic: Topic) -> list[Goal]:
    def own(figure: str) -> _Worst | None:
        return _worst([(r.setting, r.median(figure)) for r in topic.rows], most=True)

    stream = [row for row in topic.rows if row.subject == "stream"]
    above = [(row.setting, row.median("above_mb")) for row in stream]
    array = [(r.setting, r.median("of_result")) for r in topic.rows if r.subject == "embed_array"]
    count = stream[0].setting if stream else "1,000,000 texts"
    return [
        _at_most(f"stream of {count}, above the start", 30, _worst(above, most=True), " MB"),
        _at_most(
            "the same, last quarter above the first (flat)", _FLAT_MB, own("growth_mb"), " MB"
        ),
        _at_most(
            "`embed_array`, the most in memory over its result", 1.3, _worst(array, most=True)
        ),
    ]


def _of_imports(topic: Topic) -> list[Goal]:
    row = topic.row(imports.PACKAGE)
    heavy = [name for name in _HEAVY_ON_IMPORT if name in row.note.split(", ")]
    taken = _worst([("", row.median("ms"))], most=True)
    return [
        _at_most("import of the package above `langchain_core.embeddings`", 50, taken, " ms"),
        Goal(
            "nltk, numpy, httpx only when used",
            "none loaded",
            ", ".join(heavy) or "none loaded",
            None if taken is None else not heavy,
        ),
    ]
