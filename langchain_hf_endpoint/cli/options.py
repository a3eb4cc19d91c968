"""Options that several commands have, spelled and explained once.

It knows their names. It must not know what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from langchain_hf_endpoint.settings import ChunkingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

REGISTRY_VARIABLE = "HF_ENDPOINT_REGISTRY"
STRATEGIES = get_args(ChunkingSettings.model_fields["strategy"].annotation)

Database = Annotated[
    Path | None,
    typer.Option(
        "--database",
        envvar=REGISTRY_VARIABLE,
        show_envvar=False,
        metavar="FILE",
        help=f"The registry (${REGISTRY_VARIABLE}, else your own).",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="SOURCE",
        help="Where the key is: env:NAME, file:PATH or ask.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Strategy = Annotated[
    Literal[STRATEGIES] | None,  # type: ignore[valid-type]
    typer.Option(metavar="NAME", help=f"How to cut: {', '.join(STRATEGIES)}."),
]
Size = Annotated[
    int | None,
    typer.Option("--size", metavar="N", help="Words per chunk (max_chunking_size)."),
]
Overlap = Annotated[
    int | None, typer.Option(metavar="N", help="Words shared (word), or sentences: 0, 1.")
]
Language = Annotated[str | None, typer.Option(metavar="NAME", help="Of the sentences.")]
TextColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the texts (text).")]
IdColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of their names (file:row).")
]


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
