"""The pictures of RESULTS.md, narrow enough to be read on a phone.

Ours, bare clients and peers have a colour each. A label stands above its bars, so that the bars
have the whole width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from benchmarks import capacity, chunking, gateway, imports, limiting, memory, queries, throughput
from benchmarks.clients import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.records import Row, Topic

FOLDER = Path(__file__).parents[1] / "docs" / "figures" / "benchmarks"
"""Where the documentation's site finds them too."""
PICTURES: dict[str, tuple[str, ...]] = {
    throughput.NAME: ("throughput.png", "cost.png", "encrypted.png"),
    gateway.NAME: ("gateway.png",),
    capacity.NAME: ("capacity.png",),
    chunking.NAME: ("chunking.png", "growth.png"),
    limiting.NAME: ("limiting.png",),
    queries.NAME: ("queries.png",),
    memory.NAME: ("memory.png",),
    imports.NAME: ("imports.png",),
}
"""The files of each topic."""

_OURS, _BARE, _PEER, _LINE = "#d1495b", "#8d99ae", "#30638e", "#444444"
_WIDE = 4.8  # inches: of 10 points are 10 pixels left where a picture is 360 pixels wide
_LABEL, _BAR, _GAP = 0.2, 0.17, 0.08  # inches of a label, of each bar under it, and below them
_STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.dpi": 200,
    "font.size": 10,
    "savefig.bbox": "tight",
}


@dataclass(frozen=True)
class _Bars:
    """One bar for each label.

    Attributes:
        values: Their lengths; NaN where there is none.
        form: How a value is written at the end of its bar.
        label: What it stands for, where there are several.
        alpha: How strong the colours are.
        missing: What is written where there is no value.
    """

    values: Sequence[float]
    form: str = "{:,.0f}"
    label: str = ""
    alpha: float = 1.0
    missing: Sequence[str] = ()


def draw(topics: Mapping[str, Topic]) -> None:
    """Draw whatever was measured."""
    mpl.use("Agg")
    mpl.rcParams.update(_STYLE)
    FOLDER.mkdir(exist_ok=True)
    painters: dict[str, Callable[[Topic], None]] = {
        throughput.NAME: _throughput,
        gateway.NAME: _gateway,
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
    bare = ("aiohttp", "httpx", "pass-through", "pyqwest", "str.", "re.")
    return _BARE if name.startswith(bare) else _PEER


def _height(labels: int, bars: int) -> float:
    return labels * (_LABEL + bars * _BAR + _GAP) + 0.7


def _lay_out(axes: Axes, labels: Sequence[str], several: Sequence[_Bars], *, log: bool) -> None:
    """Draw labels from top to bottom, each with its bars below it."""
    row = _LABEL + len(several) * _BAR + _GAP
    if log:
        axes.set_xscale("log")
        known = np.concatenate([bars.values for bars in several])
        axes.set_xlim(np.nanmin(known) / 2, np.nanmax(known) * 3)
    start = axes.get_xlim()[0] if log else 0.0
    for number, label in enumerate(labels):
        top = -number * row
        axes.text(0, top - 0.7 * _LABEL, label, transform=axes.get_yaxis_transform())
        for place, bars in enumerate(several):
            middle = top - _LABEL - (place + 0.5) * _BAR
            value = bars.values[number]
            if np.isnan(value):
                text = bars.missing[number] if bars.missing else "-"
                value = start
            else:
                text = bars.form.format(value)
                axes.barh(middle, value, 0.85 * _BAR, color=_colour(label), alpha=bars.alpha)
            axes.annotate(
                text, (value, middle), (4, 0), textcoords="offset points", va="center", fontsize=8
            )
    axes.set_ylim(-len(labels) * row, 0.5 * _LABEL)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    if not log:
        axes.set_xlim(0, max(np.nanmax(bars.values) for bars in several) * 1.18)
    if len(several) > 1:
        handles = [
            mpl.patches.Patch(color=_LINE, alpha=bars.alpha, label=bars.label) for bars in several
        ]
        axes.legend(
            handles=handles,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.35 / axes.figure.get_figheight()),
            frameon=False,
        )


def _bars(
    title: str, labels: Sequence[str], several: Sequence[_Bars], *, log: bool = False
) -> tuple[Figure, Axes]:
    picture, axes = plt.subplots(figsize=(_WIDE, _height(len(labels), len(several))))
    _lay_out(axes, labels, several, log=log)
    axes.set_title(title)
    return picture, axes


def _medians(rows: Sequence[Row], figure: str) -> list[float]:
    return [row.median(figure) for row in rows]


def _throughput(topic: Topic) -> None:
    """Those that are measured at all widths; the others stand in the table."""
    plain, encrypted, widest = throughput.PLAIN, throughput.ENCRYPTED, throughput.WIDEST
    has_run = [one for one in CLIENTS if topic.row(one.name, plain.name).figures]
    for file, figure, title, other in (
        ("throughput.png", "texts_per_s", "texts per second (more is better)", widest),
        ("cost.png", "cpu_ms_per_1000", "CPU ms per 1,000 texts (less is better)", widest),
        ("encrypted.png", "cpu_ms_per_1000", "CPU ms per 1,000 texts, TLS or not", encrypted),
    ):
        names = [one.name for one in has_run if other.has(one)]
        several = []
        for setting, alpha in ((plain, 1.0), (other, 0.45)):
            rows = [topic.row(name, setting.name) for name in names]
            missing = ["failed" if row.error else "not measured" for row in rows]
            values = _medians(rows, figure)
            several.append(_Bars(values, "{:,.0f}", setting.name, alpha, missing))
        picture, _ = _bars(title, names, several, log=other is widest)
        _save(picture, file)


def _gateway(topic: Topic) -> None:
    names = list(dict.fromkeys(row.subject for row in topic.rows if row.figures))
    several = [
        _Bars(_medians([topic.row(name, load) for name in names], "cpu_us_per_call"), label=load)
        for load in topic.settings()
    ]
    several[-1] = replace(several[-1], alpha=0.45)
    picture, _ = _bars("CPU µs of the gateway per call (less is better)", names, several, log=True)
    _save(picture, "gateway.png")


def _capacity(topic: Topic) -> None:
    rows = [row for row in topic.rows if row.figures]
    several = [
        _Bars(_medians(rows, "middle"), "{:.2f}", "middle of the job"),
        _Bars(_medians(rows, "whole"), "{:.2f}", "whole job, with start and end", 0.45),
    ]
    labels = [row.setting for row in rows]
    title = "share of the server's capacity (dashed: the goal)"
    picture, axes = plt.subplots(figsize=(_WIDE, _height(len(labels), 2)))
    _lay_out(axes, labels, several, log=False)
    for bar in axes.patches:
        bar.set_color(_OURS)
    axes.axvline(0.95, color=_LINE, lw=1, ls="--")
    axes.set_title(title)
    _save(picture, "capacity.png")


def _chunking(topic: Topic) -> None:
    rows = [row for row in topic.of("usual") if row.figures]
    labels = [row.subject for row in rows]
    rates = [_Bars(_medians(rows, "mb_per_s"), "{:,.1f}")]
    picture, _ = _bars("MB of text cut per second of CPU time", labels, rates)
    _save(picture, "chunking.png")
    picture, axes = plt.subplots(figsize=(_WIDE, 3.2))
    sizes = np.array(chunking.SIZES)
    styles = iter(["-", "--", "-.", ":"] * 5)
    for row in topic.of("usual"):
        rates_of_row = [topic.row(row.subject, str(size)).median("mb_per_s") for size in sizes]
        own = row.subject.startswith("ours")
        axes.plot(
            sizes,
            rates_of_row,
            next(styles) if own else "-",
            color=_OURS if own else None,
            lw=2 if own else 1,
            marker="o",
            ms=3,
            label=row.subject,
        )
    axes.set(xscale="log", yscale="log", xlabel="characters in the text", ylabel="MB/s")
    axes.set_title("rates as the text grows (level: linear)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.18), frameon=False, fontsize=9)
    _save(picture, "growth.png")


def _limiting(topic: Topic) -> None:
    limit = str(limiting.LIMITS[-1])
    panels: list[tuple[str, str, str, str, float]] = [
        (limit, "used", "permits used, share of the limit", "{:.2f}", 1.0),
        (limit, "fullest", "fullest window, share of the limit", "{:.2f}", 1.0),
        ("lateness", "late_p99_ms", "lateness, 99th percentile, ms", "{:.1f}", 5.0),
        ("cost", "async_ns", "aacquire without waiting, µs", "{:.1f}", 3.0),
    ]
    names = [row.subject for row in topic.of("lateness")]
    height = len(panels) * _height(len(names), 1)
    picture, axes = plt.subplots(len(panels), figsize=(_WIDE, height))
    for panel, (setting, figure, title, form, bound) in zip(axes, panels, strict=True):
        factor = 1e-3 if figure.endswith("_ns") else 1.0
        values = [topic.row(name, setting).median(figure) * factor for name in names]
        _lay_out(panel, names, [_Bars(values, form)], log=False)
        panel.axvline(bound, color=_LINE, lw=1, ls="--")
        panel.set_title(f"{title} (dashed: the goal)")
    picture.tight_layout()
    _save(picture, "limiting.png")


def _queries(topic: Topic) -> None:
    rows = [row for row in topic.rows if "interval_ms" in row.figures]
    figures = {
        "idle_p50_ms": ("alone, median", 0.3),
        "idle_p99_ms": ("alone, 99th percentile", 0.5),
        "busy_p50_ms": ("during an ingestion, median", 0.75),
        "busy_p99_ms": ("during an ingestion, 99th percentile", 1.0),
    }
    several = [
        _Bars(_medians(rows, figure), "{:.0f}", label, alpha)
        for figure, (label, alpha) in figures.items()
    ]
    labels = [f"{row.subject}, {row.setting} requests a minute" for row in rows]
    picture, axes = plt.subplots(figsize=(_WIDE, _height(len(rows), len(several))))
    _lay_out(axes, labels, several, log=False)
    for bar in axes.patches:
        bar.set_color(_OURS)
    height = _LABEL + len(several) * _BAR + _GAP
    bounds = [row.median("idle_p50_ms") + 1.5 * row.median("interval_ms") for row in rows]
    for number, bound in enumerate(bounds):
        top = -number * height - _LABEL
        axes.vlines(bound, top - len(several) * _BAR, top, color=_LINE, ls="--", lw=1)
    axes.set_xlim(0, 1.1 * max(bounds))
    axes.set_title("a query's time, ms (dashed: the goal)")
    _save(picture, "queries.png")


def _memory(topic: Topic) -> None:
    stream = next((row for row in topic.rows if row.subject == "stream"), None)
    if stream is None or not stream.figures:
        return
    curve = [v[0] for name, v in sorted(stream.figures.items()) if name.startswith("after_")]
    if not curve:
        return
    picture, axes = plt.subplots(figsize=(_WIDE, 2.6))
    axes.plot(np.linspace(100 / len(curve), 100, len(curve)), curve, color=_OURS, marker="o", ms=3)
    axes.axhline(30, color=_LINE, lw=1, ls="--")
    top = 1.1 * max(30, *curve)
    axes.set(xlabel="% of the stream", ylabel="MB above the start", ylim=(0, top))
    axes.set_title(f"stream of {stream.setting} (dashed: the goal)")
    _save(picture, "memory.png")


def _imports(topic: Topic) -> None:
    rows = [row for row in topic.rows if row.figures]
    labels = [_without_path(row.subject) for row in rows]
    values = [_Bars(_medians(rows, "ms"), "{:,.1f}")]
    picture, _ = _bars("import time above LangChain's Embeddings, ms", labels, values)
    _save(picture, "imports.png")


def _without_path(statement: str) -> str:
    """A statement as a label: without the modules above a name of ours, or of another's."""
    words = statement.split()
    return statement if len(words) == 2 else f"from {words[1].split('.')[0]} import {words[3]}"
