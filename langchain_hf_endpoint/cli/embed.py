"""``hf-endpoint embed``: files in, a file of vectors out."""

from __future__ import annotations

import dataclasses
import math
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from langchain_hf_endpoint.cli.endpoints import endpoint_of, names_beginning
from langchain_hf_endpoint.cli.options import (
    AsJson,
    ChunkingOptions,
    Database,
    DocumentOptions,
    FileOptions,
    Key,
)
from langchain_hf_endpoint.cli.output import (
    PARTLY,
    REFUSED,
    counted,
    errors_in_words,
    left_out,
    print_json,
    say,
    say_error,
    worded,
)
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from langchain_hf_endpoint.cli.ingest.estimate import Estimate
    from langchain_hf_endpoint.cli.ingest.pipeline import Ingest, Summary
    from langchain_hf_endpoint.cli.ingest.sources import Sources
    from langchain_hf_endpoint.cli.progress import Stats

_Target = typer.Option(
    "--endpoint",
    "-e",
    metavar="NAME|URL",
    help="Embed through this endpoint.",
    autocompletion=names_beginning,
)
_Output = typer.Option(
    "--output", "-o", metavar="FILE", help="Write this .parquet, .jsonl, .npy file."
)
_Per = typer.Option(metavar="chunk|text", help="Write a row per chunk or text.")
_Text = typer.Option("--no-text", help="Leave the texts out of the output.")
_Resume = typer.Option("--resume", help="Continue an earlier run, if there is one.")
_Cache = typer.Option(metavar="FILE", help="Look up and keep vectors in this file.")
_IdColumn = typer.Option(metavar="NAME", help="Read ids from this column (default: file:row).")
_Price = typer.Option(metavar="N/h|N/M", help="Add the cost, per hour or million tokens.")
_DryRun = typer.Option("--dry-run", help="Only say what it takes; --probe times the server.")


def embed(  # noqa: PLR0913 - the options
    sources: Annotated[list[str], typer.Argument(hidden=True)],
    target: Annotated[str, _Target],
    output: Annotated[Path, _Output],
    *,
    per: Annotated[Literal["chunk", "text"], _Per] = "chunk",
    read_as: FileOptions,
    id_column: Annotated[str | None, _IdColumn] = None,
    chunking: ChunkingOptions,
    no_text: Annotated[bool, _Text] = False,
    resume: Annotated[bool, _Resume] = False,
    cache: Annotated[Path | None, _Cache] = None,
    dry_run: Annotated[bool, _DryRun] = False,
    # Its place in the help is that of a dry run.
    probe: Annotated[bool, typer.Option("--probe", hidden=True)] = False,
    price: Annotated[str | None, _Price] = None,
    use: DocumentOptions,
    key: Key = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Embed files, folders and standard input (-) into a file of vectors.

    hf-endpoint embed docs/ faq.csv -e my-endpoint -o vectors.parquet --resume
    """
    # Imported here: numpy, httpx and rich take a while to load.
    from langchain_hf_endpoint._engine.results import reported  # noqa: PLC0415
    from langchain_hf_endpoint.cli.ingest.pipeline import Ingest, files_of, ingest  # noqa: PLC0415
    from langchain_hf_endpoint.cli.ingest.sources import Sources  # noqa: PLC0415
    from langchain_hf_endpoint.cli.progress import Stats, shown  # noqa: PLC0415

    kept = f"Interrupted. What was received is kept in {output}.journal: go on with --resume."
    with errors_in_words(kept):
        endpoint = endpoint_of(target, database, key)
        endpoint = use.applied_to(endpoint, chunking.applied_to(endpoint.chunking_settings))
        columns = read_as.columns(id_column)
        wanted = Ingest(endpoint, output, per, with_text=not no_text, resume=resume, cache=cache)
        found = Sources(sources, columns, form=read_as.form, but_not=files_of(output, cache))
        stats = Stats(prices=_prices(price))
        if dry_run or probe:
            from langchain_hf_endpoint.cli.ingest.estimate import estimate  # noqa: PLC0415

            expected = estimate(wanted, found, probe=probe)
            cost = stats.cost_of(expected.tokens, expected.seconds)
            if as_json:
                print_json({**dataclasses.asdict(expected), "cost": cost})
            else:
                _print_estimate(expected, wanted, cost)
            return
        with shown(stats), reported(stats):
            summary = ingest(wanted, found, stats)
        if as_json:
            _print_json(summary, stats)
        else:
            _print(summary, found, stats)
        if summary.error is not None:
            say_error(worded(summary.error))
            raise typer.Exit(REFUSED)
    if summary.failed:
        raise typer.Exit(PARTLY)


def _prices(given: str | None) -> tuple[float | None, float | None]:
    """The prices of a million tokens, and of an hour."""
    from langchain_hf_endpoint._engine.usage import is_price  # noqa: PLC0415 - as in `embed`

    if given is None:
        return None, None
    number, _, unit = given.partition("/")
    with suppress(ValueError):
        if unit in ("M", "h") and is_price(price := float(number)):
            return (price, None) if unit == "M" else (None, price)
    problem = "must be like 0.80/h (an hour) or 0.02/M (a million tokens)"
    raise SettingsError(("--price", problem))


def _print_estimate(expected: Estimate, wanted: Ingest, cost: float | None) -> None:
    say(
        f"{counted(expected.texts, 'text')}, {counted(expected.chunks, 'chunk')}; "
        f"{expected.embedded:,} to be embedded, {expected.repeats:,} like others, "
        f"{expected.known:,} from an earlier run, {expected.cached:,} in the cache"
    )
    tokens = "the server does not count tokens"
    if expected.tokens is not None:
        about = "about " if expected.chunks_counted < expected.embedded else ""
        tokens = about + counted(expected.tokens, "token")
    say(f"{counted(expected.requests, 'request')}; {tokens}")
    limit, server = expected.limit_seconds / 60, expected.server_seconds
    if server is None:
        least = "no wait for the limit"
        if limit:
            least = f"{_tenths('at least', limit)} minutes, by the limit"
        say(f"{least}; --probe times the server")
    else:
        why = "the server" if server > expected.limit_seconds else "the limit"
        say(f"{_tenths('about', expected.seconds / 60)} minutes: {why} holds it back")
    size = "size not known before the first vector; --probe gets some"
    if expected.bytes is not None:
        size = f"{_tenths('about', expected.bytes / 1e6)} MB"
    say(f"{wanted.output}: {size}")
    if cost is not None:
        say(f"cost {'at least ' * (server is None)}{_money(cost)}")


def _tenths(how: str, number: float) -> str:
    return f"{how} {number:,.1f}" if number >= 0.05 else "less than 0.1"  # noqa: PLR2004 - not 0.0


def _money(cost: float) -> str:
    """With four decimals, or as many more as show three digits of it."""
    decimals = max(4, 2 - math.floor(math.log10(cost))) if cost else 4
    return f"{cost:,.{decimals}f}"


def _print_json(summary: Summary, stats: Stats) -> None:
    content = dataclasses.asdict(summary)
    for name in ("output", "failures", "error"):
        content[name] = content[name] and str(content[name])
    content |= {"seconds": round(stats.seconds, 3), "retries": stats.retries.total()}
    print_json({**content, "usage": stats.figures()})


def _print(summary: Summary, sources: Sources, stats: Stats) -> None:
    if summary.was_complete:
        say(f"{summary.output} is complete; there is nothing to go on with.")
        return
    say(
        f"{counted(summary.texts, 'text')}, {counted(summary.chunks, 'chunk')}; "
        f"{summary.embedded:,} embedded in "
        f"{stats.seconds:.1f} s, {stats.rate():,.0f} a second"
    )
    if summary.output:
        say(f"{summary.output}: {counted(summary.rows, 'row')}, {summary.dimensions} dimensions")
    for words in left_out(sources):
        say(words)
    if summary.repeated_ids:
        stands = (
            "1 id stands" if summary.repeated_ids == 1 else f"{summary.repeated_ids:,} ids stand"
        )
        say(f"{stands} for several texts")
    if summary.failed:
        failed = counted(summary.failed, "text")
        say(f"{failed} failed, see {summary.failures}; --resume tries again")
    if summary.error is not None:
        unsent = counted(summary.unsent, "text")
        say(f"{unsent} of those read so far, and all after them, wait for --resume")
    say(_bill(stats))


def _bill(usage: Stats) -> str:
    """What it cost, in one line; what is nothing is not said."""
    causes = ", ".join(f"{cause} {count}" for cause, count in sorted(usage.retries.items()))
    tokens, cost = usage.tokens, usage.cost
    waits = {
        "for the rate limit": usage.limiter_wait_seconds,
        "for the endpoint to start": usage.cold_start_wait_seconds,
        "to try again": usage.retry_wait_seconds,
    }
    parts = [
        counted(usage.requests, "request"),
        "tokens not counted by the server" if tokens is None else counted(tokens, "token"),
        f"{usage.cache_hits:,} from the cache" if usage.cache_hits else "",
        f"tried again: {causes}" if causes else "",
        *(f"waited {seconds:.1f} s {what}" for what, seconds in waits.items() if seconds >= 1),
        "" if cost is None else f"cost {_money(cost)}",
    ]
    return "; ".join(filter(None, parts))
