"""``hf-endpoint put`` and ``hf-endpoint update``: endpoints into the registry.

It knows how options become the JSON of an endpoint. It must not know what makes one right.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from langchain_hf_endpoint.cli.exits import errors_in_words
from langchain_hf_endpoint.cli.keys import key_settings
from langchain_hf_endpoint.cli.options import (
    AsJson,
    Database,
    Key,
    Language,
    Overlap,
    Size,
    Strategy,
    chunking_with,
)
from langchain_hf_endpoint.cli.printing import print_config
from langchain_hf_endpoint.cli.targets import names_beginning, open_registry
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

_Name = Annotated[str, typer.Argument(hidden=True)]
_OldName = Annotated[str, typer.Argument(hidden=True, autocompletion=names_beginning)]
_Config = Annotated[str | None, typer.Argument(hidden=True)]
_Url = Annotated[str | None, typer.Option(metavar="URL", help="Where it is.")]
_Rate = Annotated[
    int | None, typer.Option("--rpm", metavar="N", help="Requests per minute (3000).")
]
_Dialect = Annotated[
    Literal["auto", "tei", "hugging_face", "openai"] | None,
    typer.Option(metavar="NAME", help="auto, tei, hugging_face or openai."),
]
_Unchecked = Annotated[
    bool, typer.Option("--skip-validation", help="Store it without calling it first.")
]
_Change = Annotated[
    bool, typer.Option("--allow-model-change", help="The name had another model before.")
]
_QueryPrompt = Annotated[str | None, typer.Option(metavar="TEXT", help="Put before each query.")]
_DocumentPrompt = Annotated[str | None, typer.Option(metavar="TEXT", help="Before each document.")]
_Batch = Annotated[int | None, typer.Option("--batch", metavar="N", help="Inputs per request.")]
_AtOnce = Annotated[
    int | None, typer.Option("--at-once", metavar="N", help="Requests in flight at most.")
]
_Timeout = Annotated[float | None, typer.Option(metavar="SECONDS", help="For one attempt (60).")]
_MaxWait = Annotated[float | None, typer.Option(metavar="SECONDS", help="For retries (600).")]


def put(  # noqa: PLR0913 - the options
    name: _Name,
    config: _Config = None,
    *,
    url: _Url = None,
    key: Key = None,
    rpm: _Rate = None,
    dialect: _Dialect = None,
    query_prompt: _QueryPrompt = None,
    document_prompt: _DocumentPrompt = None,
    strategy: Strategy = None,
    size: Size = None,
    overlap: Overlap = None,
    language: Language = None,
    skip_validation: _Unchecked = False,
    allow_model_change: _Change = False,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Keep an endpoint under a name, from options, a file of JSON, or - (stdin).

    hf-endpoint put my-endpoint --url https://... --key env:HF_TOKEN
    """
    with errors_in_words():
        wanted: dict[str, Any] = {"service": "hugging_face"}
        if config:
            wanted = _read(config)
        _merge(wanted, "service_settings", url=url, dialect=dialect, **key_settings(key))
        if rpm is not None:
            _merge(wanted, "service_settings", rate_limit={"requests_per_minute": rpm})
        _merge(wanted, "task_settings", query_prompt=query_prompt, document_prompt=document_prompt)
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
    rpm: _Rate = None,
    dialect: _Dialect = None,
    timeout: _Timeout = None,
    max_wait: _MaxWait = None,
    batch: _Batch = None,
    at_once: _AtOnce = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Change how an endpoint is used, by options or JSON; its vectors stay what they are.

    hf-endpoint update my-endpoint --rpm 600 --max-wait 60
    """
    with errors_in_words():
        wanted = _read(config) if config else {}
        _merge(
            wanted,
            "service_settings",
            dialect=dialect,
            timeout=timeout,
            max_wait=max_wait,
            max_batch_size=batch,
            max_concurrent_requests=at_once,
            rate_limit=None if rpm is None else {"requests_per_minute": rpm},
        )
        with open_registry(database) as endpoints:
            print_config(
                endpoints.update(inference_id=name, inference_config=wanted), as_json=as_json
            )


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


def _merge(config: dict[str, Any], section: str, **given: object) -> None:
    """Put what was given into a section, over what is there."""
    settings = {name: value for name, value in given.items() if value is not None}
    if settings:
        config[section] = {**(config.get(section) or {}), **settings}
