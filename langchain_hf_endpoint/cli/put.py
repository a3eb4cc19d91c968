"""``hf-endpoint put`` and ``hf-endpoint update``: endpoints into the registry.

It knows how options become the JSON of an endpoint. It must not know what makes one right.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from langchain_hf_endpoint.cli.credentials import key_settings
from langchain_hf_endpoint.cli.endpoints import names_beginning, open_registry
from langchain_hf_endpoint.cli.options import (
    AsJson,
    AtOnce,
    Batch,
    Database,
    Dialect,
    DocumentPrompt,
    Key,
    Language,
    MaxWait,
    Model,
    Overlap,
    QueryPrompt,
    Rate,
    Size,
    Strategy,
    Timeout,
    chunking_with,
    used_as,
)
from langchain_hf_endpoint.cli.output import print_config
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

_Name = Annotated[str, typer.Argument(hidden=True)]
_OldName = Annotated[str, typer.Argument(hidden=True, autocompletion=names_beginning)]
_Config = Annotated[str | None, typer.Argument(hidden=True)]
_Url = Annotated[str | None, typer.Option(metavar="URL", help="Use the endpoint at this URL.")]
_Unchecked = Annotated[
    bool, typer.Option("--skip-validation", help="Store the endpoint without calling it first.")
]
_Change = Annotated[
    bool, typer.Option("--allow-model-change", help="Allow another model under a deleted name.")
]


def put(  # noqa: PLR0913 - the options
    name: _Name,
    config: _Config = None,
    *,
    url: _Url = None,
    key: Key = None,
    rpm: Rate = None,
    dialect: Dialect = None,
    model: Model = None,
    query_prompt: QueryPrompt = None,
    document_prompt: DocumentPrompt = None,
    batch: Batch = None,
    at_once: AtOnce = None,
    timeout: Timeout = None,
    max_wait: MaxWait = None,
    strategy: Strategy = None,
    size: Size = None,
    overlap: Overlap = None,
    language: Language = None,
    skip_validation: _Unchecked = False,
    allow_model_change: _Change = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Store an endpoint under a name: from options, a JSON file, or - (stdin).

    hf-endpoint put my-endpoint --url https://... --key env:HF_TOKEN
    """
    wanted: dict[str, Any] = {"service": "hugging_face"}
    if config:
        wanted = _read(config)
    usage = used_as(
        rpm=rpm,
        dialect=dialect,
        model=model,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        batch=batch,
        at_once=at_once,
        timeout=timeout,
        max_wait=max_wait,
    )
    place = {**({} if url is None else {"url": url}), **key_settings(key)}
    _merge(wanted, {"service_settings": place})
    _merge(wanted, usage)
    if any(value is not None for value in (strategy, size, overlap, language)):
        base = ChunkingSettings(**wanted.get("chunking_settings") or {})
        changed = chunking_with(base, strategy, size, overlap, language)
        wanted["chunking_settings"] = changed.public_config()
    with open_registry(database, to_write=True) as endpoints:
        stored = endpoints.put(
            inference_id=name,
            inference_config=wanted,
            skip_validation=skip_validation,
            allow_model_change=allow_model_change,
        )
    print_config(stored, as_json=as_json)


def update(  # noqa: PLR0913 - the options
    name: _OldName,
    config: _Config = None,
    *,
    rpm: Rate = None,
    dialect: Dialect = None,
    batch: Batch = None,
    at_once: AtOnce = None,
    timeout: Timeout = None,
    max_wait: MaxWait = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Change the settings of an endpoint, by options or JSON, but not its vectors.

    hf-endpoint update my-endpoint --rpm 600 --max-wait 60
    """
    wanted = _read(config) if config else {}
    usage = used_as(
        rpm=rpm,
        dialect=dialect,
        batch=batch,
        at_once=at_once,
        timeout=timeout,
        max_wait=max_wait,
    )
    _merge(wanted, usage)
    with open_registry(database) as endpoints:
        print_config(endpoints.update(inference_id=name, inference_config=wanted), as_json=as_json)


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
