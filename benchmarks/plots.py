"""The pictures of RESULTS.md. Ours, bare clients and peers have a colour each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from benchmarks import capacity, chunking, imports, limiting, memory, queries, throughput
from benchmarks.clients import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.records import Row, Topic

FOLDER = Path(__file__).parents[1] / "docs" / "figures" / "benchmarks"
"""Where the documentation's site finds them too."""
PICTURES: dict[str, tuple[str, ...]] = {
    throughput.NAME: ("throughput.png", "cost.png"),
    capacity.NAME: ("capacity.png",),
    chunking.NAME: ("chunking.png", "growth.png"),
    limiting.NAME: ("limiting.png",),
    queries.NAME: ("queries.png",),
    memory.NAME: ("memory.png",),
    imports.NAME: ("imports.png",),
}
"""The files of each topic."""

_OURS, _BARE, _PEER, _LINE = "#d1495b", "#8d99ae", "#30638e", "#444444"
_STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "figure.dpi": 110,
    "font.size": 9,
    "savefig.bbox": "tight",
}


def draw(topics: Mapping[str, Topic]) -> None:
    """Draw whatever was measured."""
    mpl.use("Agg")
    mpl.rcParams.update(_STYLE)
    FOLDER.mkdir(exist_ok=True)
    painters: dict[str, Callable[[Topic], None]] = {
        throughput.NAME: _throughput,
        capacity.NAME: _capacity,
        chunking.NAME: _chunking,
        limiting.NAME: _limiting,
        queries.NAME: _queries,
        memory.NAME: _memory,
        imports.NAME: _imports,
    }
    for name, paint in painters.items():
        if name in topics:
            paint(topics[name])


def _save(picture: Figure, file: str) -> None:
    # Without the programme's version, so that equal figures give equal files.
    picture.savefig(FOLDER / file, metadata={"Software": None})
    plt.close(picture)


def _colour(name: str) -> str:
    if name.startswith(("ours", "import langchain_hf", "from langchain_hf")):
        return _OURS
    return _BARE if name.startswith(("aiohttp", "httpx", "str.", "re.")) else _PEER


def _bars(axes: Axes, rows: Sequence[Row], figure: str, form: str = "{:,.0f}") -> None:
    """Horizontal bars of medians, the first row on top, with the spread as whiskers."""
    rows = [row for row in rows if figure in row.figures]
    places = np.arange(len(rows))[::-1]
    middles = np.array([row.median(figure) for row in rows])
    ends = np.array([row.spread(figure) for row in rows]).reshape(-1, 2)
    whiskers = [middles - ends[:, 0], ends[:, 1] - middles]
    colours = [_colour(row.subject) for row in rows]
    axes.barh(places, middles, color=colours, xerr=whiskers, error_kw={"lw": 0.8, "alpha": 0.6})
    for place, middle, end in zip(places, middles, ends[:, 1], strict=True):
        axes.annotate(
            form.format(middle), (end, place), (4, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(places, [row.subject for row in rows])
    axes.margins(x=0.15, y=0.01)


def _throughput(topic: Topic) -> None:
    for file, figure, title, form in (
        ("throughput.png", "texts_per_s", "texts a second (more is better)", "{:,.0f}"),
        ("cost.png", "cpu_ms_per_1000", "CPU ms per 1,000 texts (less is better)", "{:,.0f}"),
    ):
        widths = topic.settings()
        picture, all_axes = plt.subplots(1, len(widths), figsize=(15, 6.5), sharey=True)
        for axes, width in zip(np.atleast_1d(all_axes), widths, strict=True):
            rows = [topic.row(one.name, width) for one in CLIENTS]
            _bars_on_shared_names(axes, rows, figure, form)
            axes.set_title(f"{width} dimensions")
        picture.suptitle(title, x=0.02, ha="left")
        _save(picture, file)


def _bars_on_shared_names(axes: Axes, rows: Sequence[Row], figure: str, form: str) -> None:
    """As `_bars`, on a logarithmic scale, with a place for rows that have no figure."""
    places = np.arange(len(rows))[::-1]
    middles = np.array([row.median(figure) for row in rows])
    axes.barh(places, np.nan_to_num(middles), color=[_colour(row.subject) for row in rows])
    axes.set_xscale("log")
    low, high = np.nanmin(middles), np.nanmax(middles)
    axes.set_xlim(low / 2, high * 4)
    for place, middle, row in zip(places, middles, rows, strict=True):
        known = not np.isnan(middle)
        text = form.format(middle) if known else ("failed" if row.error else "not measured")
        at = middle if known else low / 2
        axes.annotate(text, (at, place), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [row.subject for row in rows])
    axes.margins(y=0.01)


def _capacity(topic: Topic) -> None:
    rows = [row for row in topic.rows if row.figures]
    picture, axes = plt.subplots(figsize=(9, 5))
    places = np.arange(len(rows))[::-1]
    for shift, figure, label, alpha in (
        (0.2, "middle", "middle of the job", 1.0),
        (-0.2, "whole", "whole job, from knowing nothing", 0.45),
    ):
        shares = [row.median(figure) for row in rows]
        axes.barh(places + shift, shares, 0.38, color=_OURS, alpha=alpha, label=label)
        for place, share in zip(places, shares, strict=True):
            at = (share, place + shift)
            axes.annotate(f"{share:.2f}", at, (3, 0), textcoords="offset points", va="center")
    axes.axvline(0.95, color=_LINE, lw=1, ls="--")
    axes.set_yticks(places, [row.setting for row in rows])
    axes.set_xlim(0, 1.12)
    axes.set_title("share of the server's capacity, untuned (dashed: the goal)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.07), ncols=2, frameon=False)
    _save(picture, "capacity.png")


def _chunking(topic: Topic) -> None:
    picture, axes = plt.subplots(figsize=(9, 5))
    _bars(axes, topic.of("usual"), "mb_per_s", "{:,.1f}")
    axes.set_title("MB of text cut in a second of CPU time")
    _save(picture, "chunking.png")
    picture, axes = plt.subplots(figsize=(9, 5.5))
    sizes = np.array(chunking.SIZES)
    styles = iter(["-", "--", "-.", ":"] * 5)
    for row in topic.of("usual"):
        rates = [topic.row(row.subject, str(size)).median("mb_per_s") for size in sizes]
        own = row.subject.startswith("ours")
        axes.plot(
            sizes,
            rates,
            next(styles) if own else "-",
            color=_OURS if own else None,
            lw=2 if own else 1,
            marker="o",
            ms=3,
            label=row.subject,
        )
    axes.set(xscale="log", yscale="log", xlabel="characters in the text", ylabel="MB/s")
    axes.set_title("rates as the text grows (level: linear; a line ends where it took too long)")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    _save(picture, "growth.png")


def _limiting(topic: Topic) -> None:
    picture, axes = plt.subplots(1, 4, figsize=(15, 3.2), sharey=True)
    limit = str(limiting.LIMITS[-1])
    panels: list[tuple[str, str, str, str, float]] = [
        (limit, "used", f"permits used, of {limit} a window", "{:.2f}", 1.0),
        (limit, "fullest", "fullest window, of what is allowed", "{:.2f}", 1.0),
        ("lateness", "late_p99_ms", "p99 lateness, ms", "{:.1f}", 5.0),
        ("cost", "async_ns", "aacquire that need not wait, µs", "{:.1f}", 3.0),
    ]
    names = [row.subject for row in topic.of("lateness")]
    places = np.arange(len(names))[::-1]
    for panel, (setting, figure, title, form, bound) in zip(axes, panels, strict=True):
        factor = 1e-3 if figure.endswith("_ns") else 1.0
        values = np.array([topic.row(name, setting).median(figure) for name in names]) * factor
        panel.barh(places, np.nan_to_num(values), color=[_colour(name) for name in names])
        for place, value in zip(places, values, strict=True):
            text = "-" if np.isnan(value) else form.format(value)
            at = (np.nan_to_num(value), place)
            panel.annotate(text, at, (3, 0), textcoords="offset points", va="center")
        panel.axvline(bound, color=_LINE, lw=1, ls="--")
        panel.set_title(title)
        panel.set_yticks(places, names)
        panel.margins(x=0.2)
    _save(picture, "limiting.png")


def _queries(topic: Topic) -> None:
    rows = [row for row in topic.rows if row.figures]
    picture, axes = plt.subplots(figsize=(8, 3.5))
    places = np.arange(len(rows))
    figures = ("idle_p50_ms", "idle_p99_ms", "busy_p50_ms", "busy_p99_ms")
    for number, (figure, colour) in enumerate(
        zip(figures, (_BARE, _LINE, "#e8a0aa", _OURS), strict=True)
    ):
        at = places + (number - 1.5) * 0.2
        label = figure.replace("busy", "during ingestion,").replace("idle", "alone,")
        heights = [row.median(figure) for row in rows]
        label = label.replace("_ms", "").replace("_", " ")
        axes.bar(at, heights, 0.19, color=colour, label=label)
    for place, row in zip(places, rows, strict=True):
        bound = row.median("idle_p50_ms") + 1.5 * row.median("interval_ms")
        axes.hlines(bound, place - 0.42, place + 0.42, color=_LINE, ls="--", lw=1)
    axes.set_xticks(places, [f"{row.subject}, {row.setting} a minute" for row in rows])
    axes.set_ylabel("ms")
    axes.set_title("a query's time (dashed: the goal for p99 during an ingestion)")
    axes.legend(frameon=False)
    _save(picture, "queries.png")


def _memory(topic: Topic) -> None:
    stream = next((row for row in topic.rows if row.subject == "stream"), None)
    if stream is None or not stream.figures:
        return
    curve = [v[0] for name, v in sorted(stream.figures.items()) if name.startswith("after_")]
    picture, axes = plt.subplots(figsize=(7, 3))
    axes.plot(np.linspace(100 / len(curve), 100, len(curve)), curve, color=_OURS, marker="o", ms=3)
    axes.axhline(150, color=_LINE, lw=1, ls="--")
    axes.set(xlabel="% of the stream", ylabel="MB above the start", ylim=(0, 165))
    axes.set_title(f"stream of {stream.setting} (dashed: the goal)")
    _save(picture, "memory.png")


def _imports(topic: Topic) -> None:
    picture, axes = plt.subplots(figsize=(8, 3.5))
    _bars(axes, topic.rows, "ms")
    axes.set_title("ms that an import takes above LangChain's Embeddings")
    _save(picture, "imports.png")
