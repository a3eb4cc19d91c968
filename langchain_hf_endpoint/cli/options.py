"""Options that several commands have, spelled and explained once.

It knows their names, and which settings they stand for. It must not know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from langchain_hf_endpoint.settings import ChunkingSettings, ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint import InferenceEndpoint

REGISTRY_VARIABLE = "HF_ENDPOINT_REGISTRY"
STRATEGIES = get_args(ChunkingSettings.model_fields["strategy"].annotation)
DIALECTS = get_args(ServiceSettings.model_fields["dialect"].annotation)
FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")

Database = Annotated[
    Path | None,
    typer.Option(
        "--database",
        envvar=REGISTRY_VARIABLE,
        show_envvar=False,
        metavar="FILE",
        help=f"Use this registry (default: ${REGISTRY_VARIABLE}).",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="SOURCE",
        help="Take the API key from env:NAME or file:PATH, or ask.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# How an endpoint is used.
Rate = Annotated[
    int | None,
    typer.Option("--rpm", metavar="N", help="Send at most N requests per minute (default: 3000)."),
]
Dialect = Annotated[
    Literal[DIALECTS] | None,  # type: ignore[valid-type]
    typer.Option(metavar="NAME", help=f"Use this protocol: {', '.join(DIALECTS)}."),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Use this model name, if the server reports none."),
]
QueryPrompt = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Prepend TEXT to each query.")
]
DocumentPrompt = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Prepend TEXT to each document.")
]
Batch = Annotated[
    int | None, typer.Option("--batch", metavar="N", help="Send at most N inputs per request.")
]
AtOnce = Annotated[
    int | None,
    typer.Option("--at-once", metavar="N", help="Keep at most N requests in flight."),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Stop one attempt after SECONDS (default: 60)."),
]
MaxWait = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Retry a batch for up to SECONDS (default: 600)."),
]

# How texts are cut.
Strategy = Annotated[
    Literal[STRATEGIES] | None,  # type: ignore[valid-type]
    typer.Option(metavar="NAME", help=f"Chunk in this way: {', '.join(STRATEGIES)}."),
]
Size = Annotated[
    int | None,
    typer.Option("--size", metavar="N", help="Make chunks of at most N words (default: 250)."),
]
Overlap = Annotated[
    int | None, typer.Option(metavar="N", help="Overlap chunks by N words, or 0 or 1 sentences.")
]
Language = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Split sentences as in this language (en, german)."),
]

# How files are read.
TextColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Read texts from this column (default: text).")
]
IdColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Read ids from this column (default: file:row).")
]
Format = Annotated[
    Literal[FORMATS] | None,  # type: ignore[valid-type]
    typer.Option("--format", metavar="NAME", help=f"Read files as {', '.join(FORMATS)}."),
]
Delimiter = Annotated[
    str | None,
    typer.Option(metavar="CHAR", help="Split CSV columns at this character, or tab."),
]


def used_as(  # noqa: PLR0913 - the options
    *,
    rpm: int | None = None,
    dialect: str | None = None,
    model: str | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    batch: int | None = None,
    at_once: int | None = None,
    timeout: float | None = None,
    max_wait: float | None = None,
) -> dict[str, dict[str, Any]]:
    """The sections of an endpoint that these options change, with nothing else in them."""
    service = {
        "rate_limit": None if rpm is None else {"requests_per_minute": rpm},
        "dialect": dialect,
        "model": model,
        "max_batch_size": batch,
        "max_concurrent_requests": at_once,
        "timeout": timeout,
        "max_wait": max_wait,
    }
    task = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    given = {
        section: {name: value for name, value in settings.items() if value is not None}
        for section, settings in (("service_settings", service), ("task_settings", task))
    }
    return {section: settings for section, settings in given.items() if settings}


def changed(
    endpoint: InferenceEndpoint, usage: Mapping[str, Mapping[str, Any]], chunking: ChunkingSettings
) -> InferenceEndpoint:
    """The endpoint as it is used in this run.

    Raises:
        SettingsError: A setting is wrong.
    """
    sections = {
        name: getattr(endpoint, name).model_copy(update=settings)
        for name, settings in usage.items()
    }
    return endpoint.model_copy(update={**sections, "chunking_settings": chunking})


def chunking_with(
    base: ChunkingSettings,
    strategy: str | None,
    size: int | None,
    overlap: int | None,
    language: str | None,
) -> ChunkingSettings:
    """Chunking settings with what the options change.

    A strategy of its own starts from that strategy's defaults; else what is not given stays.

    Raises:
        SettingsError: They do not go together.
    """
    chosen = strategy or base.strategy
    kept: Mapping[str, Any] = {}
    if chosen == base.strategy:
        kept = {name: value for name, value in base.model_dump().items() if value is not None}
    overlaps = "sentence_overlap" if chosen == "sentence" else "overlap"
    given = {
        "strategy": chosen,
        "max_chunking_size": size,
        overlaps: overlap,
        "language": language,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if size is not None and overlap is None:
        kept = {name: value for name, value in kept.items() if name != "overlap"}  # half the size
    return ChunkingSettings(**{**kept, **given})
