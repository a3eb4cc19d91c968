"""``hf-endpoint embed``: files in, a file of vectors out.

It knows options and how an ingest is shown. It must not know how it is done.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from langchain_hf_endpoint.cli.endpoints import endpoint_of, names_beginning
from langchain_hf_endpoint.cli.exits import PARTLY, errors_in_words
from langchain_hf_endpoint.cli.options import (
    AsJson,
    AtOnce,
    Batch,
    Database,
    Delimiter,
    Dialect,
    DocumentPrompt,
    Format,
    IdColumn,
    Key,
    Language,
    MaxWait,
    Model,
    Overlap,
    Rate,
    Size,
    Strategy,
    TextColumn,
    Timeout,
    changed,
    chunking_with,
    used_as,
)
from langchain_hf_endpoint.cli.output import print_json
from langchain_hf_endpoint.cli.reading import counted, left_out

if TYPE_CHECKING:
    from langchain_hf_endpoint.cli.ingest import Sources, Tally
    from langchain_hf_endpoint.cli.ingest.pipeline import Summary

EPILOG = "Exit status: 0 ok, 1 wrong setting, 2 usage, 3 some failed, 4 endpoint."

_Paths = Annotated[list[str], typer.Argument(hidden=True)]
_Target = Annotated[
    str,
    typer.Option(
        "--endpoint",
        "-e",
        metavar="NAME|URL",
        help="Embed through this endpoint.",
        autocompletion=names_beginning,
    ),
]
_Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write this .parquet, .jsonl or .npy file."
    ),
]
_Per = Annotated[
    Literal["chunk", "text"],
    typer.Option(metavar="chunk|text", help="Write one row per chunk, or per text."),
]
_Text = Annotated[bool, typer.Option("--no-text", help="Leave the texts out of the output.")]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an earlier run, if there is one.")
]


def embed(  # noqa: PLR0913 - the options
    sources: _Paths,
    target: _Target,
    output: _Output,
    *,
    per: _Per = "chunk",
    text_column: TextColumn = None,
    id_column: IdColumn = None,
    form: Format = None,
    delimiter: Delimiter = None,
    strategy: Strategy = None,
    size: Size = None,
    overlap: Overlap = None,
    language: Language = None,
    no_text: _Text = False,
    resume: _Resume = False,
    document_prompt: DocumentPrompt = None,
    rpm: Rate = None,
    dialect: Dialect = None,
    model: Model = None,
    batch: Batch = None,
    at_once: AtOnce = None,
    timeout: Timeout = None,
    max_wait: MaxWait = None,
    key: Key = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Embed files, folders and standard input (-) into a file of vectors.

    hf-endpoint embed docs/ faq.csv -e my-endpoint -o vectors.parquet --resume
    """
    from langchain_hf_endpoint.cli.ingest import (  # noqa: PLC0415 - numpy and httpx load late
        Columns,
        Sources,
        Tally,
    )
    from langchain_hf_endpoint.cli.ingest.pipeline import Ingest, files_of, ingest  # noqa: PLC0415
    from langchain_hf_endpoint.cli.progress import shown  # noqa: PLC0415 - rich loads late

    kept = f"Interrupted. What was received is kept in {output}.journal: go on with --resume."
    with errors_in_words(kept):
        endpoint = endpoint_of(target, database, key)
        chunking = chunking_with(endpoint.chunking_settings, strategy, size, overlap, language)
        usage = used_as(
            rpm=rpm,
            dialect=dialect,
            model=model,
            document_prompt=document_prompt,
            batch=batch,
            at_once=at_once,
            timeout=timeout,
            max_wait=max_wait,
        )
        endpoint = changed(endpoint, usage, chunking)
        columns = Columns(text_column, id_column, delimiter)
        wanted = Ingest(endpoint, output, per, with_text=not no_text, resume=resume)
        found = Sources(sources, columns, form=form, but_not=files_of(output))
        tally = Tally()
        with shown(tally):
            summary = ingest(wanted, found, tally)
        if as_json:
            _print_json(summary, tally)
        else:
            _print(summary, found, tally)
        if summary.error is not None:
            raise summary.error
    if summary.failed:
        raise typer.Exit(PARTLY)


def _print_json(summary: Summary, tally: Tally) -> None:
    counts = tally.counts()
    more = {"seconds": round(tally.seconds, 3), "retries": counts.retries}
    files = {"output": summary.output, "failures": summary.failures}
    said = {**files, "error": summary.error}
    named = {name: value and str(value) for name, value in said.items()}
    print_json({**dataclasses.asdict(summary), **named, **more})


def _print(summary: Summary, sources: Sources, tally: Tally) -> None:
    if summary.was_complete:
        _say(f"{summary.output} is complete; there is nothing to go on with.")
        return
    _say(
        f"{counted(summary.texts, 'text')}, {counted(summary.chunks, 'chunk')}; "
        f"{summary.embedded:,} embedded in "
        f"{tally.seconds:.1f} s, {tally.rate():,.0f} a second"
    )
    if summary.output:
        _say(f"{summary.output}: {counted(summary.rows, 'row')}, {summary.dimensions} dimensions")
    for words in left_out(sources):
        _say(words)
    if summary.repeated_ids:
        stands = (
            "1 id stands" if summary.repeated_ids == 1 else f"{summary.repeated_ids:,} ids stand"
        )
        _say(f"{stands} for several texts")
    if summary.failed:
        failed = counted(summary.failed, "text")
        _say(f"{failed} failed, see {summary.failures}; --resume tries again")
    if summary.error is not None:
        unsent = counted(summary.unsent, "text")
        _say(f"{unsent} of those read so far, and all after them, wait for --resume")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
