"""Each topic as a table of RESULTS.md. Medians stand there, the spread of the runs behind them."""

from __future__ import annotations

import math
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
from benchmarks.clients import CLIENTS
from benchmarks.gateways import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.records import Row, Topic


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown; figures to the right."""
    names = list(heads)
    lines = [names, ["---", *["---:"] * (len(names) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def figure(row: Row, name: str, form: str = ",.0f", factor: float = 1.0) -> str:
    """The median, with the least and the greatest run where there were several."""
    middle = row.median(name) * factor
    if math.isnan(middle):
        return "-"
    text = format(middle, form)
    if len(row.figures[name]) > 1:
        low, high = (format(value * factor, form) for value in row.spread(name))
        text += f" ({low} to {high})" if low != high else ""
    return text


def _against(row: Row, other: Row, name: str) -> str:
    ratio = row.median(name) / other.median(name)
    return "-" if math.isnan(ratio) else f"{ratio:.2f}"


def _errors(rows: Iterable[Row]) -> str:
    """What failed, and with what words."""
    failed = [f"- **{row.subject}** failed: `{row.error}`" for row in rows if row.error]
    return "\n" + "\n".join(failed) + "\n" if failed else ""


def of_throughput(topic: Topic) -> str:
    """A table for each setting."""
    text = (
        "Server: 20 ms a batch + 0.2 ms an input, 64 batches at once, batches of at most 32. Texts "
        f"of about {throughput.WORDS} words; medians of {topic.conditions['runs']} runs. Each call "
        "makes its client anew, connects and embeds. Slow peers get fewer texts. **As it comes** "
        "has the default limit of 3,000 requests a minute, which 32 texts a request make 1,600 "
        "texts/s: its rate is the limit's doing, taken of the second half of its job, since a "
        "second's worth of requests goes out at once. No other client has a limit.\n"
    )
    heads = ("client", "texts/s", "of ours", "CPU ms per 1,000 texts", "of bare aiohttp")
    heads += ("peak MB", "connections", "server's CPU")
    for setting, count in topic.conditions["texts"].items():
        ours = topic.row("ours, async, arrays", setting)
        bare = topic.row("aiohttp, 64 at once, arrays", setting)
        rows, failed = [], []
        for one in CLIENTS:
            row = topic.row(one.name, setting)
            if row.error:
                failed.append(row)
            if not row.figures:
                continue
            what = f"{one.name} *({one.kind})*" if one.kind.startswith("peer") else one.name
            rows.append(
                [
                    f"**{what}**" if one.kind == "ours" else what,
                    figure(row, "texts_per_s"),
                    _against(row, ours, "texts_per_s"),
                    figure(row, "cpu_ms_per_1000", ",.1f"),
                    _against(row, bare, "cpu_ms_per_1000"),
                    f"{row.median('peak_mb'):,.0f}",
                    f"{row.median('connections'):,.0f}",
                    f"{row.median('server_cpu_share'):.0%}",
                ]
            )
        text += f"\n### {setting}, {count:,} texts\n\n"
        text += table(heads, rows) + _errors(failed)
    return text


def of_starting(topic: Topic) -> str:
    """One row for each client."""
    rows = [
        [
            row.subject,
            figure(row, "first_per_s"),
            figure(row, "next_per_s"),
            figure(row, "share", ".2f"),
        ]
        for row in topic.rows
        if row.figures
    ]
    heads = ("client", "first call, texts/s", "next call, texts/s", "first of next")
    about = starting.__doc__.split("\n\n", 1)[1]
    return f"{about}\n" + table(heads, rows) + _errors(topic.rows)


def of_gateway(topic: Topic) -> str:
    """A table for each load."""
    text = gateway.__doc__.split("\n\n", 1)[1]
    heads = ("gateway", "calls/s", "CPU µs per call", "of ours", "ms a call, median")
    heads += ("requests to the server per call",)
    for setting in topic.settings():
        ours = topic.row(OURS, setting)
        rows = [
            [
                f"**{row.subject}**" if row is ours else row.subject,
                figure(row, "calls_per_s"),
                figure(row, "cpu_us_per_call"),
                _against(row, ours, "cpu_us_per_call"),
                figure(row, "p50_ms", ",.1f"),
                figure(row, "requests_per_call", ".2f"),
            ]
            for row in topic.of(setting)
            if row.figures
        ]
        text += f"\n### {setting}\n\n" + table(heads, rows) + _errors(topic.of(setting))
    return text


def of_capacity(topic: Topic) -> str:
    """One row for each kind of server."""
    heads = ("server", "middle of the job", "whole job", "job s", "most in house", "429s")
    heads += ("client's CPU", "capacity is")
    rows = [
        [
            row.setting,
            figure(row, "middle", ".3f"),
            figure(row, "whole", ".3f"),
            figure(row, "seconds", ".1f"),
            f"{row.median('most_in_house'):.0f}",
            f"{row.median('refused'):.0f}",
            f"{row.median('cpu_seconds') / row.median('seconds'):.0%}",
            row.note,
        ]
        for row in topic.rows
        if row.figures
    ]
    return (
        f"{capacity.__doc__.split(chr(10) * 2, 1)[1]}\n"
        f"Texts of {topic.conditions['texts']}, {topic.conditions['dimensions']} dimensions, no "
        "setting but a limit of requests per minute that is out of the way.\n\n"
        + table(heads, rows)
        + _errors(topic.rows)
    )


def of_chunking(topic: Topic) -> str:
    """Rates on the usual text, then on growing ones."""
    usual = topic.of("usual")
    nltk = topic.row("nltk sent_tokenize", "usual")
    rows = [
        [
            row.subject,
            figure(row, "mb_per_s", ",.1f"),
            _against(row, nltk, "mb_per_s"),
            f"{row.median('pieces'):,.0f}",
            row.note,
        ]
        for row in usual
        if row.figures
    ]
    heads = ("cutter", "MB/s", "of NLTK's", "pieces", "what it does")
    sizes = {str(size): _characters(size) for size in chunking.SIZES}
    growing = [
        [row.subject, *(figure(topic.row(row.subject, size), "mb_per_s", ",.1f") for size in sizes)]
        for row in usual
    ]
    identity = topic.row("ours, sentence boundaries", "identity")
    same = "the same" if identity.median("identical") == 1 else "**not the same**"
    return (
        f"A novel of {topic.conditions['usual characters']:,} characters, processor time; a MB is "
        f"a million characters.\n\n{table(heads, rows)}\nOn {identity.median('sentences'):,.0f} "
        f"sentences the boundaries are {same} as those of the installed NLTK.\n\n"
        "MB/s as the text grows (- where it would have taken too long):\n\n"
        + table(("cutter", *sizes.values()), growing)
        + _errors(row for row in topic.rows if row.error)
    )


def _characters(size: int) -> str:
    return f"{size // 1_000_000} MB" if size >= 1_000_000 else f"{size // 1_000} kB"


def of_linearity(topic: Topic) -> str:
    """One row for each kind of text and each strategy."""
    sizes = [f"{size} MB" for size in linearity.SIZES]
    rows = [
        [
            f"{row.subject}, {row.setting}",
            *(figure(row, size, ".4f") for size in sizes),
            f"{linearity.growth(row.figures):.2f}",
            f"{max(row.figures['chunks']):,.0f}",
        ]
        for row in topic.rows
        if row.figures
    ]
    heads = ("text, strategy", *(f"s/MB at {size}" for size in sizes), "last to first", "chunks")
    return f"{linearity.__doc__}\n{table(heads, rows)}" + _errors(topic.rows)


def of_callers(topic: Topic) -> str:
    """One row for each load."""
    heads = ("load", "answered 200", "seconds", "largest answer, kB", "p50, ms", "p99, ms", "max")
    rows = [
        [
            row.subject,
            figure(row, "answered", ",.0f"),
            figure(row, "seconds", ".1f"),
            figure(row, "largest_kb", ",.0f"),
            *(figure(row, name, ".1f") for name in ("p50_ms", "p99_ms", "max_ms")),
        ]
        for row in topic.rows
    ]
    return f"{callers.__doc__}\n{table(heads, rows)}" + _errors(topic.rows)


def of_limiting(topic: Topic) -> str:
    """One row for each limiter, for each limit."""
    text = limiting.__doc__.split("\n\n", 1)[1]
    heads = ("limiter", "used", "fullest window", "callers with none", "of a core")
    for limit in map(str, limiting.LIMITS):
        rows = [
            [
                row.subject,
                figure(row, "used", ".3f"),
                figure(row, "fullest", ".3f"),
                figure(row, "starved"),
                figure(row, "core_share", ".1%"),
            ]
            for row in topic.of(limit)
            if row.figures
        ]
        text += f"\n### {limit} permits a window, {limiting.CALLERS} callers\n\n"
        text += table(heads, rows) + _errors(topic.of(limit))
    rows = [
        [
            row.subject,
            figure(row, "late_p50_ms", ".2f"),
            figure(row, "late_p99_ms", ".2f"),
            figure(topic.row(row.subject, "cost"), "sync_ns"),
            figure(topic.row(row.subject, "cost"), "async_ns"),
        ]
        for row in topic.of("lateness")
    ]
    heads = ("limiter", "late p50 ms", "late p99 ms", "acquire ns", "aacquire ns")
    return text + "\n### Lateness and the cost of a call\n\n" + table(heads, rows)


def of_queries(topic: Topic) -> str:
    """One row for each way to ask and each limit; then one for each server that is busy."""
    names = ("idle_p50_ms", "idle_p99_ms", "busy_p50_ms", "busy_p99_ms")
    rows = [
        [
            f"{row.subject}, {row.setting} a minute",
            f"{row.median('interval_ms'):.0f}",
            *(figure(row, name, ".1f") for name in names),
            f"{row.median('permits_used'):.2f}",
        ]
        for row in topic.rows
        if "interval_ms" in row.figures
    ]
    heads = ("queries", "interval ms", "idle p50", "idle p99", "busy p50", "busy p99")
    text = queries.__doc__.split("\n\n", 1)[1] + "\n" + table((*heads, "permits used"), rows)
    rows = [
        [
            row.setting,
            *(figure(row, name, ".2f") for name in ("batches_p50", "batches_max")),
            *(figure(row, name) for name in ("house_p50", "house_max")),
        ]
        for row in topic.rows
        if "batches_p50" in row.figures
    ]
    if rows:
        heads = ("a query at a busy server waits", "median, in batch times", "worst")
        text += "\n" + table((*heads, "batches in house, median", "most"), rows)
    return text + _errors(topic.rows)


def of_memory(topic: Topic) -> str:
    """One row for each call."""
    heads = ("call", "MB above the start", "MB of the result", "times its size")
    heads += ("grew by MB", "texts/s")
    rows = [
        [
            f"{row.subject}, {row.setting}",
            figure(row, "above_mb"),
            figure(row, "result_mb"),
            figure(row, "of_result", ".2f"),
            figure(row, "growth_mb", ".1f"),
            f"{int(row.setting.split()[0].replace(',', '')) / row.median('seconds'):,.0f}",
        ]
        for row in topic.rows
        if row.figures
    ]
    about = memory.__doc__.strip() if memory.__doc__ else ""
    return f"{about}\n\n" + table(heads, rows) + _errors(topic.rows)


def of_imports(topic: Topic) -> str:
    """One row for each statement."""
    rows = [
        [f"`{row.subject}`", figure(row, "ms", ",.1f"), figure(row, "cpu_ms", ",.1f"), row.note]
        for row in topic.rows
        if row.figures
    ]
    return f"{imports.__doc__}\n" + table(("statement", "ms", "CPU ms", "loads"), rows)


TABLES: dict[str, tuple[str, Callable[[Topic], str]]] = {
    throughput.NAME: ("Throughput and the client's cost", of_throughput),
    starting.NAME: ("A first call", of_starting),
    gateway.NAME: ("The gateway's cost", of_gateway),
    capacity.NAME: ("Share of the server's capacity", of_capacity),
    chunking.NAME: ("Chunking", of_chunking),
    linearity.NAME: ("Chunking of hostile text", of_linearity),
    callers.NAME: ("The gateway under many callers", of_callers),
    limiting.NAME: ("Limiters", of_limiting),
    queries.NAME: ("Queries during an ingestion", of_queries),
    memory.NAME: ("Memory", of_memory),
    imports.NAME: ("Imports", of_imports),
}
"""For each topic its title and its table, in the order of the report."""
