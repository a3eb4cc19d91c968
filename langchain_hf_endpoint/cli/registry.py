"""``hf-endpoint get``, ``list`` and ``delete``: what the registry holds.

It knows how endpoints are shown. It must not know how they are kept.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from langchain_hf_endpoint.cli.endpoints import names_beginning, open_registry, registry_path
from langchain_hf_endpoint.cli.exits import WRONG, say_error
from langchain_hf_endpoint.cli.options import AsJson, Database
from langchain_hf_endpoint.cli.output import console, print_config, print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_Name = Annotated[str, typer.Argument(hidden=True, autocompletion=names_beginning)]


def get(name: _Name, *, database: Database = None, as_json: AsJson = False) -> None:
    """Show the settings of an endpoint, but never its key.

    hf-endpoint get my-endpoint
    """
    with open_registry(database) as endpoints:
        print_config(endpoints.get(inference_id=name), as_json=as_json)


def list_(*, database: Database = None, as_json: AsJson = False) -> None:
    """List the endpoints of the registry.

    hf-endpoint list --json | jq '.[].inference_id'
    """
    with open_registry(database) as endpoints:
        configs = endpoints.get()
    if as_json:
        print_json(configs)
    elif configs:
        _print_table(configs)
    else:
        say_error(f"{registry_path(database)} holds no endpoints; see hf-endpoint put --help")


def delete(
    name: _Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete it without asking.")] = False,
    database: Database = None,
) -> None:
    """Delete an endpoint and its key from the registry.

    hf-endpoint delete my-endpoint --yes
    """
    with open_registry(database) as endpoints:
        endpoints.get(inference_id=name)
        if not yes and not sys.stdin.isatty():
            say_error("nobody can be asked here: pass --yes")
            raise typer.Exit(WRONG)
        if not yes:
            typer.confirm(f"Delete {name} and its key?", abort=True)
        endpoints.delete(inference_id=name)


def _print_table(configs: list[dict[str, Any]]) -> None:
    from rich.table import Table  # noqa: PLC0415 - slow to load

    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("NAME", "HOST", "MODEL"):
        table.add_column(title, overflow="fold")
    for title in ("DIMS", "RPM"):
        table.add_column(title, justify="right")
    table.add_column("CHUNKS")
    for config in configs:
        service = config["service_settings"]
        table.add_row(
            config["inference_id"],
            urlsplit(service["url"]).netloc,
            service.get("model_id") or "?",
            str(service.get("dimensions") or "?"),
            str(service["rate_limit"]["requests_per_minute"]),
            _chunking(config["chunking_settings"]),
        )
    console().print(table)


def _chunking(settings: Mapping[str, object]) -> str:
    size = settings.get("max_chunking_size")
    overlap = settings.get("overlap") or settings.get("sentence_overlap")
    return f"{settings['strategy']}{f' {size}' if size else ''}{f'+{overlap}' if overlap else ''}"
