"""``hf-endpoint chunk``: how texts are cut, in colours, as a page, or for machines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from langchain_hf_endpoint.cli.options import AsJson, ChunkingOptions, FileOptions
from langchain_hf_endpoint.cli.output import PARTLY, WRONG, console, print_json, say_error
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

_Page = typer.Option("--html", metavar="FILE", help="Write an HTML page instead.")
_Overwrite = typer.Option("--overwrite", help="Overwrite the page if it exists.")
_Summary = typer.Option("--summary", help="Show the sizes without the texts.")
_Tokens = typer.Option(metavar="N", help="Limit chunks to N tokens, not 250 words.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChunkingOptions(ChunkingOptions):
    """How texts are cut where no server is asked for its limit."""

    max_tokens: Annotated[str | None, _Tokens] = None


def chunk(  # noqa: PLR0913 - the options
    files: Annotated[list[str], typer.Argument(hidden=True)],
    *,
    chunking: _ChunkingOptions,
    read_as: FileOptions,
    summary: Annotated[bool, _Summary] = False,
    html: Annotated[Path | None, _Page] = None,
    overwrite: Annotated[bool, _Overwrite] = False,
    as_json: AsJson = False,
) -> None:
    """Show how files, or standard input (-), are chunked; nothing is sent.

    hf-endpoint chunk book.txt --size 100 --overlap 0 --html book.html
    """
    from langchain_hf_endpoint.chunking import chunk as cut  # noqa: PLC0415 - numpy loads late
    from langchain_hf_endpoint.cli import chunk_view  # noqa: PLC0415 - and so does rich

    settings = chunking.applied_to(ChunkingSettings())
    public = settings.public_config()
    if html is not None and html.exists() and not overwrite:
        raise SettingsError(
            ("--html", f"{html} exists"), advice="Choose another name, or pass --overwrite."
        )
    read = read_as.read(files)
    texts = [chunk_view.Cuts(one.id, one.text, cut(one.text, settings)) for one in read]
    if not texts:
        raise typer.Exit(WRONG)
    if as_json:
        print_json({"chunking_settings": public, "texts": [one.as_json() for one in texts]})
    elif html is not None:
        html.write_text(chunk_view.page(texts, public), encoding="utf-8")
        say_error(f"{html}: {sum(len(one.chunks) for one in texts):,} chunks")
    else:
        chunk_view.print_to(console(), texts, with_text=not summary)
    if read.failed:
        raise typer.Exit(PARTLY)
