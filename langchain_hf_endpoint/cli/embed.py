"""``hf-endpoint embed``: files in, a file of vectors out.

It knows options and how an ingest is shown. It must not know how it is done.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from langchain_hf_endpoint.cli.exits import PARTLY, errors_in_words
from langchain_hf_endpoint.cli.options import (
    AsJson,
    Database,
    IdColumn,
    Key,
    Language,
    Overlap,
    Size,
    Strategy,
    TextColumn,
    chunking_with,
)
from langchain_hf_endpoint.cli.printing import print_json
from langchain_hf_endpoint.cli.targets import endpoint_of, names_beginning

if TYPE_CHECKING:
    from langchain_hf_endpoint._ingest import Sources, Tally
    from langchain_hf_endpoint._ingest.ingesting import Summary

EPILOG = "Exit status: 0 all, 1 wrong setting, 2 usage, 3 some failed, 4 endpoint."

_Paths = Annotated[list[str], typer.Argument(hidden=True)]
_Target = Annotated[
    str,
    typer.Option(
        "--endpoint",
        "-e",
        metavar="NAME|URL",
        help="Which endpoint.",
        autocompletion=names_beginning,
    ),
]
_Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Ends with .parquet, .jsonl or .npy."),
]
_Per = Annotated[
    Literal["chunk", "text"],
    typer.Option(metavar="chunk|text", help="A vector for each chunk, or text."),
]
_Format = Annotated[
    Literal["text", "jsonl", "csv", "parquet"] | None,
    typer.Option("--format", metavar="NAME", help="text, jsonl, csv, parquet; else by ending."),
]
_Text = Annotated[bool, typer.Option("--no-text", help="Leave the texts out of the output.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on with an earlier run, if any.")]


def embed(  # noqa: PLR0913 - the options
    sources: _Paths,
    target: _Target,
    output: _Output,
    *,
    per: _Per = "chunk",
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    form: _Format = None,
    strategy: Strategy = None,
    size: Size = None,
    overlap: Overlap = None,
    language: Language = None,
    no_text: _Text = False,
    resume: _Resume = False,
    key: Key = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Embed files, folders and standard input (-) into a file of vectors.

    hf-endpoint embed docs/ faq.csv -e my-endpoint -o vectors.parquet --resume
    """
    from langchain_hf_endpoint._ingest import (  # noqa: PLC0415 - numpy and httpx load late
        Columns,
        Sources,
        Tally,
    )
    from langchain_hf_endpoint._ingest.ingesting import Ingest, files_of, ingest  # noqa: PLC0415
    from langchain_hf_endpoint.cli.progress import shown  # noqa: PLC0415 - rich loads late

    kept = f"Interrupted. What was received is kept in {output}.journal: go on with --resume."
    with errors_in_words(kept):
        endpoint = endpoint_of(target, database, key)
        chunking = chunking_with(endpoint.chunking_settings, strategy, size, overlap, language)
        endpoint = endpoint.model_copy(update={"chunking_settings": chunking})
        columns = Columns(text_column, id_column)
        found = Sources(sources, columns, form=form, but_not=files_of(output))
        wanted = Ingest(endpoint, output, per, with_text=not no_text, resume=resume)
        tally = Tally()
        with shown(tally):
            summary = ingest(wanted, found, tally)
        if as_json:
            _print_json(summary, tally)
        else:
            _print(summary, found, tally)
    if summary.failed:
        raise typer.Exit(PARTLY)


def _print_json(summary: Summary, tally: Tally) -> None:
    counts = tally.counts()
    more = {"seconds": round(tally.seconds, 3), "retries": counts.retries}
    files = {"output": summary.output, "failures": summary.failures}
    named = {name: path and str(path) for name, path in files.items()}
    print_json({**dataclasses.asdict(summary), **named, **more})


def _print(summary: Summary, sources: Sources, tally: Tally) -> None:
    say = sys.stdout.write
    if summary.was_complete:
        say(f"{summary.output} is complete; there is nothing to go on with.\n")
        return
    say(
        f"{_count(summary.texts, 'text')}, {_count(summary.chunks, 'chunk')}; "
        f"{summary.embedded:,} embedded in "
        f"{tally.seconds:.1f} s, {tally.rate():,.0f} a second\n"
    )
    if summary.output:
        say(f"{summary.output}: {_count(summary.rows, 'row')}, {summary.dimensions} dimensions\n")
    if sources.left_out:
        say(f"{_count(sources.left_out, 'file')} of other kinds left out\n")
    if summary.failed:
        failed = _count(summary.failed, "text")
        say(f"{failed} failed, see {summary.failures}; --resume tries again\n")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
