"""One self-contained page of HTML that shows how texts were cut.

It knows HTML and colours. It must not know where the texts are from. The page loads nothing, runs
no script, and follows the reader's choice of light or dark.
"""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from langchain_hf_endpoint.cli.chunk_view.layout import bars

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint.cli.chunk_view.layout import Cuts, Span

COLOURS = 6

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


def page(texts: Sequence[Cuts], settings: Mapping[str, object]) -> str:
    """The page.

    Args:
        texts: Each gets a section.
        settings: How they were cut.
    """
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
        return f'<span class="c k{span.chunks[0] % COLOURS}" {title}>{badges}{text}</span>'
    first, last = span.chunks[0] % COLOURS, span.chunks[-1] % COLOURS
    colours = f"--a:var(--c{first});--b:var(--c{last})"
    return f'<span class="o" style="{colours}" {title}>{badges}{text}</span>'
