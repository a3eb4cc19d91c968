"""``hf-endpoint chunk``: how texts are cut, in colours, as a page, or for machines.

It knows options and the terminal's colours. It must not know how anything is cut.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.cli.exits import PARTLY, WRONG, say_error
from langchain_hf_endpoint.cli.options import (
    AsJson,
    Delimiter,
    Format,
    Language,
    Overlap,
    Size,
    Strategy,
    TextColumn,
    chunking_with,
)
from langchain_hf_endpoint.cli.output import console, print_json
from langchain_hf_endpoint.cli.reading import Reading, counted
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from langchain_hf_endpoint.cli.chunk_view import Bar, Cuts
    from langchain_hf_endpoint.cli.ingest import Record

EPILOG = "Exit status: 0 ok, 1 wrong setting or file, 2 usage, 3 some not read."

_COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")
_WIDEST_RULE = 80  # where nothing else bounds it

_Files = Annotated[list[str], typer.Argument(hidden=True)]
_Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page instead.")
]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite the page if it exists.")]
_Summary = Annotated[bool, typer.Option("--summary", help="Show the sizes without the texts.")]


def chunk(  # noqa: PLR0913 - the options
    files: _Files,
    *,
    strategy: Strategy = None,
    size: Size = None,
    overlap: Overlap = None,
    language: Language = None,
    text_column: TextColumn = None,
    form: Format = None,
    delimiter: Delimiter = None,
    summary: _Summary = False,
    html: _Page = None,
    overwrite: _Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Show how files, or standard input (-), are chunked; nothing is sent.

    hf-endpoint chunk book.txt --size 100 --overlap 0 --html book.html
    """
    from langchain_hf_endpoint.cli import chunk_view  # noqa: PLC0415 - numpy loads late
    from langchain_hf_endpoint.cli.ingest import Columns  # noqa: PLC0415

    settings = chunking_with(ChunkingSettings(), strategy, size, overlap, language)
    if html is not None and html.exists() and not overwrite:
        raise SettingsError(
            ("--html", f"{html} exists"), advice="Choose another name, or pass --overwrite."
        )
    read = Reading(files, Columns(text_column, delimiter=delimiter), form)
    texts = _cut(read, settings)
    if as_json:
        public = settings.public_config()
        print_json({"chunking_settings": public, "texts": [one.as_json() for one in texts]})
    elif html is not None:
        html.write_text(chunk_view.page(texts, settings.public_config()), encoding="utf-8")
        say_error(f"{html}: {sum(len(one.chunks) for one in texts):,} chunks")
    else:
        _print(texts, with_text=not summary)
    if read.failed:
        raise typer.Exit(PARTLY)


def _cut(records: Iterable[Record], settings: ChunkingSettings) -> list[Cuts]:
    from langchain_hf_endpoint.chunking import chunk as cut  # noqa: PLC0415
    from langchain_hf_endpoint.cli.chunk_view import Cuts  # noqa: PLC0415

    texts = [Cuts(one.id, one.text, cut(one.text, settings)) for one in records]
    if not texts:
        raise typer.Exit(WRONG)
    return texts


def _print(texts: Sequence[Cuts], *, with_text: bool) -> None:
    out = console()
    rule = min(out.width, _WIDEST_RULE)
    for cuts in texts:
        if with_text:
            for number in range(len(cuts.chunks)):
                out.print(_heading(cuts, number), width=rule)
                out.print(_text(cuts, number))
                out.print()
        out.print(_summary(cuts))
        out.print(_histogram(cuts))


def _heading(cuts: Cuts, number: int) -> RenderableType:
    from rich.rule import Rule  # noqa: PLC0415

    one, colour = cuts.chunks[number], _COLOURS[number % len(_COLOURS)]
    words = count_words(one.text)
    title = f"[bold]{number}[/]  {counted(words, 'word')}  [dim]{one.start}\N{EN DASH}{one.end}[/]"
    return Rule(title, style=colour, align="left")


def _text(cuts: Cuts, number: int) -> Text:
    """A chunk in its colour; what it shares with another is underlined, in that one's colour."""
    from rich.text import Text  # noqa: PLC0415

    text = Text()
    for span in cuts.spans_of(number):
        others = [other for other in span.chunks if other != number]
        colour = _COLOURS[(others[0] if others else number) % len(_COLOURS)]
        part = cuts.text[span.start : span.end]
        text.append(part, f"underline {colour}" if others else colour)
    return text


def _summary(cuts: Cuts) -> Text:
    from rich.text import Text  # noqa: PLC0415

    figures = cuts.figures()
    said = f"  1 chunk of {counted(int(figures['longest']), 'word')}"
    if len(cuts.chunks) > 1:
        said = (
            f"  {figures['chunks']:,} chunks of {figures['shortest']:,} to {figures['longest']:,} "
            f"words, median {figures['median']:,.0f}; {figures['shared']:.1%} of the text is in two"
        )
    return Text.assemble((cuts.name, "bold"), said)


def _histogram(cuts: Cuts) -> RenderableType:
    from rich.table import Table  # noqa: PLC0415

    from langchain_hf_endpoint.cli.chunk_view import bars  # noqa: PLC0415

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
