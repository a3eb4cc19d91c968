"""How a text was cut: spans and figures, shown in a terminal's colours or as a page of HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from importlib import resources
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from langchain_hf_endpoint.chunking.counting import count_words, counts_of_words
from langchain_hf_endpoint.cli.output import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from langchain_hf_endpoint.chunking import Chunk

_COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")  # page.css has as many
_WIDEST_RULE = 80  # where nothing else bounds it
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, ``[start:end]``, all of whose characters are in the same chunks."""

    start: int
    end: int
    chunks: tuple[int, ...]  # their numbers; none for the blanks between chunks


@dataclass(frozen=True, slots=True)
class Cuts:
    """A text and the chunks it was cut into, in order."""

    name: str
    text: str
    chunks: Sequence[Chunk]

    def spans(self) -> Iterator[Span]:
        """The whole text, part by part."""
        edges = {0, len(self.text)}
        edges.update(edge for one in self.chunks for edge in (one.start, one.end))
        first = 0  # the chunks before it have ended
        for start, end in pairwise(sorted(edges)):
            while first < len(self.chunks) and self.chunks[first].end <= start:
                first += 1
            inside = []
            for number in range(first, len(self.chunks)):
                if self.chunks[number].start > start:
                    break
                if self.chunks[number].end >= end:
                    inside.append(number)
            yield Span(start, end, tuple(inside))

    def spans_by_chunk(self) -> list[list[Span]]:
        """The parts of each chunk: what it shares with others, and what is its own."""
        parts: list[list[Span]] = [[] for _ in self.chunks]
        for span in self.spans():
            for number in span.chunks:
                parts[number].append(span)
        return parts

    def sizes(self) -> list[int]:
        """Words of each chunk."""
        return counts_of_words([one.text for one in self.chunks])

    def figures(self) -> dict[str, float]:
        """Counts of the text and its chunks: of words, and the share that is there twice."""
        sizes = self.sizes() or [0]
        twice = sum(span.end - span.start for span in self.spans() if len(span.chunks) > 1)
        return {
            "chunks": len(self.chunks),
            "words": count_words(self.text),
            "characters": len(self.text),
            "shortest": min(sizes),
            "median": median(sizes),
            "longest": max(sizes),
            "shared": round(twice / max(1, len(self.text)), 4),
        }

    def as_json(self) -> dict[str, object]:
        """All there is to say, for machines."""
        chunks = [
            {"chunk": number, "start": one.start, "end": one.end, "words": size, "text": one.text}
            for number, (one, size) in enumerate(zip(self.chunks, self.sizes(), strict=True))
        ]
        return {"id": self.name, **self.figures(), "cuts": chunks}


@dataclass(frozen=True, slots=True)
class Bar:
    """How many chunks have `low` to `high` words."""

    low: int
    high: int
    count: int


def bars(sizes: Sequence[int], most: int = 10) -> list[Bar]:
    """A histogram of chunks' words, from 1 to the largest, in at most `most` equal bars."""
    if not sizes:
        return []
    step = -(-max(sizes) // most)
    counts = [0] * -(-max(sizes) // step)
    for size in sizes:
        counts[(size - 1) // step] += 1
    return [Bar(n * step + 1, (n + 1) * step, count) for n, count in enumerate(counts)]


def print_to(out: Console, texts: Sequence[Cuts], *, with_text: bool) -> None:
    """Print chunks in their colours, and how long they are."""
    rule = min(out.width, _WIDEST_RULE)
    for cuts in texts:
        if with_text:
            for number, spans in enumerate(cuts.spans_by_chunk()):
                out.print(_heading(cuts, number), width=rule)
                out.print(_text(cuts, number, spans))
                out.print()
        out.print(_summary(cuts))
        out.print(_table(cuts))


def _heading(cuts: Cuts, number: int) -> Rule:
    one, colour = cuts.chunks[number], _COLOURS[number % len(_COLOURS)]
    words = count_words(one.text)
    title = f"[bold]{number}[/]  {counted(words, 'word')}  [dim]{one.start}\N{EN DASH}{one.end}[/]"
    return Rule(title, style=colour, align="left")


def _text(cuts: Cuts, number: int, spans: Sequence[Span]) -> Text:
    """A chunk in its colour; what it shares with another is underlined, in that one's colour."""
    text = Text()
    for span in spans:
        others = [other for other in span.chunks if other != number]
        colour = _COLOURS[(others[0] if others else number) % len(_COLOURS)]
        part = cuts.text[span.start : span.end]
        text.append(part, f"underline {colour}" if others else colour)
    return text


def _summary(cuts: Cuts) -> Text:
    figures = cuts.figures()
    said = f"  1 chunk of {counted(int(figures['longest']), 'word')}"
    if len(cuts.chunks) > 1:
        said = (
            f"  {figures['chunks']:,} chunks of {figures['shortest']:,} to {figures['longest']:,} "
            f"words, median {figures['median']:,.0f}; {figures['shared']:.1%} of the text is in two"
        )
    return Text.assemble((cuts.name, "bold"), said)


def _table(cuts: Cuts) -> Table:
    drawn = bars(cuts.sizes())
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", style="dim")
    table.add_column()
    table.add_column(justify="right")
    for bar in drawn:
        sizes = f"{bar.low}\N{EN DASH}{bar.high}" if bar.low < bar.high else f"{bar.low}"
        table.add_row(sizes, _bar(bar, drawn), f"{bar.count}")
    return table


def _bar(bar: Bar, drawn: Sequence[Bar]) -> str:
    """A bar of at most 40 characters, eighths of one included."""
    eighths = round(bar.count / max(one.count for one in drawn) * 320)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[rest]


def page(texts: Sequence[Cuts], settings: Mapping[str, object]) -> str:
    """One self-contained page of HTML: it loads nothing, runs no script, is light or dark."""
    style = (resources.files(__package__) / "page.css").read_text(encoding="utf-8")
    body = "".join(_section(cuts, settings) for cuts in texts)
    title = texts[0].name if len(texts) == 1 else f"{len(texts)} texts in chunks"
    return _PAGE.format(title=escape(title), style=style, body=body)


def _section(cuts: Cuts, settings: Mapping[str, object]) -> str:
    chips = "".join(
        f"<li><span>{escape(str(name))}</span> {escape(str(value))}</li>"
        for name, value in settings.items()
    )
    text = "".join(_span(cuts, span) for span in cuts.spans())
    return (
        f"<section>\n<header><h1>{escape(cuts.name)}</h1>\n"
        f'<ul class="settings">{chips}</ul></header>\n'
        f"{_figures(cuts)}{_histogram(cuts.sizes())}{_legend()}"
        f'<div class="text">{text}</div>\n</section>\n'
    )


def _figures(cuts: Cuts) -> str:
    figures = cuts.figures()
    shown = {
        "chunks": f"{figures['chunks']:,}",
        "words": f"{figures['words']:,}",
        "words in a chunk (median)": f"{figures['median']:,.0f}",
        "shortest to longest": f"{figures['shortest']:,}\N{EN DASH}{figures['longest']:,}",
        "in two chunks": f"{figures['shared']:.1%}",
    }
    tiles = "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for name, value in shown.items())
    return f'<dl class="figures">{tiles}</dl>\n'


def _histogram(sizes: Sequence[int]) -> str:
    columns = bars(sizes)
    highest = max((bar.count for bar in columns), default=1)
    drawn = "".join(
        f'<li title="{bar.count} chunks of {bar.low} to {bar.high} words">'
        f'<b>{bar.count or ""}</b><i style="height:{100 * bar.count / highest:.0f}%"></i>'
        f"<span>{bar.high}</span></li>"
        for bar in columns
    )
    said = "<figcaption>words per chunk, up to</figcaption>"
    return f'<figure><ol class="histogram">{drawn}</ol>{said}</figure>\n'


def _legend() -> str:
    return (
        '<p class="legend"><span class="c k0">a chunk</span><span class="o" '
        'style="--a:var(--c0);--b:var(--c1)">in both</span><span class="c k1">the next</span></p>\n'
    )


def _span(cuts: Cuts, span: Span) -> str:
    text = escape(cuts.text[span.start : span.end])
    if not span.chunks:
        return text
    badges = "".join(
        f"<sup>{number}</sup>" for number in span.chunks if cuts.chunks[number].start == span.start
    )
    said = ", ".join(f"chunk {number}" for number in span.chunks)
    title = f'title="{said}: characters {span.start} to {span.end}"'
    if len(span.chunks) == 1:
        return f'<span class="c k{span.chunks[0] % len(_COLOURS)}" {title}>{badges}{text}</span>'
    first, last = span.chunks[0] % len(_COLOURS), span.chunks[-1] % len(_COLOURS)
    colours = f"--a:var(--c{first});--b:var(--c{last})"
    return f'<span class="o" style="{colours}" {title}>{badges}{text}</span>'
