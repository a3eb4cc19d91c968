"""``hf-endpoint put``, ``get``, ``list``, ``update`` and ``delete``: endpoints of the registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import orjson
import typer

from langchain_hf_endpoint.cli.endpoints import (
    key_settings,
    names_beginning,
    open_registry,
    registry_path,
)
from langchain_hf_endpoint.cli.options import (
    AsJson,
    ChunkingOptions,
    Database,
    EndpointOptions,
    Key,
    RequestOptions,
)
from langchain_hf_endpoint.cli.output import WRONG, console, print_config, print_json, say_error
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

_Name = Annotated[str, typer.Argument(hidden=True, autocompletion=names_beginning)]
_Config = Annotated[str | None, typer.Argument(hidden=True)]
_Url = typer.Option(metavar="URL", help="Use the endpoint at this URL.")
_Unchecked = typer.Option("--skip-validation", help="Store the endpoint without calling it first.")
_Change = typer.Option("--allow-model-change", help="Allow another model under a deleted name.")
_Yes = typer.Option("--yes", "-y", help="Delete it without asking.")


def put(  # noqa: PLR0913 - the options
    name: Annotated[str, typer.Argument(hidden=True)],
    config: _Config = None,
    *,
    url: Annotated[str | None, _Url] = None,
    key: Key = None,
    use: EndpointOptions,
    chunking: ChunkingOptions,
    skip_validation: Annotated[bool, _Unchecked] = False,
    allow_model_change: Annotated[bool, _Change] = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Store an endpoint under a name: from options, a JSON file, or - (stdin).

    hf-endpoint put my-endpoint --url https://... --key env:HF_TOKEN
    """
    wanted: dict[str, Any] = _read(config) if config else {"service": "hugging_face"}
    place = {**({} if url is None else {"url": url}), **key_settings(key)}
    _merge(wanted, {"service_settings": place})
    _merge(wanted, use.sections())
    if chunking != ChunkingOptions():
        base = ChunkingSettings(**wanted.get("chunking_settings") or {})
        wanted["chunking_settings"] = chunking.applied_to(base).public_config()
    with open_registry(database, to_write=True) as endpoints:
        stored = endpoints.put(
            inference_id=name,
            inference_config=wanted,
            skip_validation=skip_validation,
            allow_model_change=allow_model_change,
        )
    print_config(stored, as_json=as_json)


def update(
    name: _Name,
    config: _Config = None,
    *,
    use: RequestOptions,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Change the settings of an endpoint, by options or JSON, but not its vectors.

    hf-endpoint update my-endpoint --rpm 600 --max-wait 60
    """
    wanted = _read(config) if config else {}
    _merge(wanted, use.sections())
    with open_registry(database) as endpoints:
        print_config(endpoints.update(inference_id=name, inference_config=wanted), as_json=as_json)


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


def delete(name: _Name, *, yes: Annotated[bool, _Yes] = False, database: Database = None) -> None:
    """Delete an endpoint and its key from the registry.

    hf-endpoint delete my-endpoint --yes
    """
    with open_registry(database) as endpoints:
        # Nobody is to confirm what cannot be done.
        endpoints.get(inference_id=name)
        if not yes and not sys.stdin.isatty():
            say_error("nobody can be asked here: pass --yes")
            raise typer.Exit(WRONG)
        if not yes:
            typer.confirm(f"Delete {name} and its key?", abort=True)
        endpoints.delete(inference_id=name)


def _read(config: str) -> dict[str, Any]:
    """The JSON of a file, or of standard input."""
    try:
        told = sys.stdin.buffer.read() if config == "-" else Path(config).read_bytes()
        wanted = orjson.loads(told)
    except OSError as error:
        raise SettingsError((config, f"cannot be read: {error.strerror}")) from None
    except orjson.JSONDecodeError as error:  # its text may be a key: none of it is repeated
        where = f"line {error.lineno}, column {error.colno}"
        raise SettingsError((config, f"is not JSON, see {where}")) from None
    if not isinstance(wanted, dict):
        raise SettingsError((config, "must hold a JSON object, as PUT /_inference takes it"))
    return wanted


def _merge(config: dict[str, Any], given: Mapping[str, Mapping[str, Any]]) -> None:
    """Put sections of settings over those that are there."""
    for section, settings in given.items():
        before = config.get(section)
        if before is None or isinstance(before, dict):  # else it is told that it is none
            config[section] = {**(before or {}), **settings}


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
