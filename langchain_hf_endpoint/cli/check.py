"""``hf-endpoint check``: what an endpoint is and what is likely to go wrong, on one screen."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_hf_endpoint._engine.actions import Progress
from langchain_hf_endpoint.cli.endpoints import (
    endpoint_of,
    names_beginning,
    open_registry,
    registered_as,
)
from langchain_hf_endpoint.cli.options import (
    AsJson,
    ChunkingOptions,
    Database,
    EndpointOptions,
    FileOptions,
    Key,
)
from langchain_hf_endpoint.cli.output import PARTLY, console, print_json, say_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hf_endpoint._engine.actions import WaitReason
    from langchain_hf_endpoint._messages import Cause
    from langchain_hf_endpoint.cli.checkup.report import Checkup, ContextUse, Limits, Prompts

_Target = typer.Argument(hidden=True, autocompletion=names_beginning)
_Most = typer.Option(
    "--chunks",
    metavar="N",
    min=1,
    help="Measure at most N chunks (default: 10000).",
    show_default=False,
)


def check(  # noqa: PLR0913 - the options
    endpoint: Annotated[str, _Target],
    files: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    *,
    chunking: ChunkingOptions,
    read_as: FileOptions,
    most_chunks: Annotated[int, _Most] = 10_000,
    use: EndpointOptions,
    key: Key = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Check an endpoint (a name or a URL), and whether files fit its model.

    hf-endpoint check my-endpoint book.txt --size 150
    """
    from langchain_hf_endpoint.cli.checkup import report, run  # noqa: PLC0415 - loads numpy

    # What the library would log is among the findings, but for why a request is tried again.
    logging.getLogger("langchain_hf_endpoint").setLevel(logging.ERROR)
    logging.getLogger("langchain_hf_endpoint._engine.attempts").setLevel(logging.WARNING)
    target = endpoint_of(endpoint, database, key)
    target = use.applied_to(target, chunking.applied_to(target.chunking_settings))
    read = read_as.read(files) if files else None
    found = run.check(
        target,
        (one.text for one in read) if read else None,
        report.Registered(*registered_as(endpoint, database)),
        most_chunks,
        _Waits(),
    )
    if "://" not in endpoint and (shown := found.description.fingerprint):
        with open_registry(database) as endpoints:
            endpoints.keep_fingerprint(inference_id=endpoint, fingerprint=shown)
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        _print(found)
    if found.findings or (read and read.failed):
        raise typer.Exit(PARTLY)


class _Waits(Progress):
    """Says on standard error what is waited for, but for the ordinary pace."""

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:  # noqa: ARG002 - the base's
        if seconds >= 1:
            say_error(f"{why.value}, {seconds:.0f} s")


def _print(found: Checkup) -> None:
    from rich.table import Table  # noqa: PLC0415 - slow to load
    from rich.text import Text  # noqa: PLC0415

    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in _rows(found):
        rows.add_row(name, Text(value))
    out = console()
    out.print(rows)
    for finding in found.findings:
        told = Table.grid(padding=(0, 1))
        told.add_column()
        told.add_column(overflow="fold")
        problem = finding.problem[0].upper() + finding.problem[1:]
        told.add_row(Text("!", "bold red"), Text(problem, "bold"))
        told.add_row("", Text(finding.advice))
        out.print()
        out.print(told)
    if not found.findings:
        out.print()
        out.print(Text("Nothing to warn of.", "green"))


def _rows(found: Checkup) -> Iterator[tuple[str, str]]:
    about = found.description
    server = " ".join(filter(None, [about.server or "does not say what it is", about.version]))
    yield "Server", f"{server}, at {about.host}, spoken to as {about.dialect}"
    yield "Sent over", about.transport or "not known"
    yield "Model", about.model_id or "not said"
    yield "Dimensions", f"{about.dimensions:,}"
    most = about.max_input_tokens
    yield "Context", f"{most:,} tokens" if most else "not said"
    waited = found.starting_seconds
    yield "State", "up" if waited is None else f"up, after {waited:.0f} s of starting"
    times = [found.latency.median, found.latency.shortest, found.latency.longest]
    middle, low, high = (f"{1000 * seconds:,.0f}" for seconds in times)
    yield "Latency", f"{middle} ms for a short text ({low} to {high} in {found.latency.probes})"
    yield "Limits", _limits(found.limits)
    yield "Prompts", _prompts(found.prompts)
    yield "Parity", str(about.parity) or "one vector for a text, alone, in batches and at once"
    if found.window:
        yield "Chunks", _context(found.window)
    else:
        yield "Chunks", f"not measured: {found.not_measured}"


def _limits(limits: Limits) -> str:
    rate, size = limits.requests_per_minute, limits.batch_size
    said = [
        f"{rate:,} requests a minute of {size:,} inputs, at most {rate / 60 * size:,.0f} a second"
    ]
    if limits.wanted_requests:
        said.append(f"{limits.wanted_requests:,} of them in flight")
    if limits.server_batch_size or limits.server_permits:
        takes = [
            f"{limits.server_batch_size:,} inputs in a request" if limits.server_batch_size else "",
            f"{limits.server_permits:,} in flight" if limits.server_permits else "",
        ]
        said.append("the server takes " + ", ".join(filter(None, takes)))
    return "; ".join(said)


def _prompts(prompts: Prompts) -> str:
    query = f"{prompts.query_name} (the server's)" if prompts.query_name else repr(prompts.query)
    document = repr(prompts.document)
    if prompts.document_name:
        document = f"{prompts.document_name} (the server's)"
    if query == document == "''":
        return "none"
    ours = "; E5's own, put there without being set" if prompts.are_ours else ""
    return f"{query} before queries, {document} before documents{ours}"


def _context(use: ContextUse) -> str:
    texts = "1 text" if use.texts == 1 else f"{use.texts:,} texts"
    more = "" if use.is_whole else ", and more that were not measured"
    return (
        f"{use.chunks:,} in {texts}{more}; median {use.median:,.0f} tokens, longest "
        f"{use.longest:,}; {use.over:,} too long, {use.lost_share:.1%} of the text in no "
        "vector"
    )
