"""``hf-endpoint serve`` and ``hf-endpoint local``."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from langchain_hf_endpoint.cli.keys import find_key
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_VARIABLE = "HF_ENDPOINT_GATEWAY_KEY"
REDIS_VARIABLE = "HF_ENDPOINT_REDIS_URL"


Database = Annotated[
    Path | None, typer.Option(help="The registry's SQLite file. Default: in memory.")
]
KeyFile = Annotated[
    Path | None, typer.Option(help=f"Holds the callers' key. Else: ${KEY_VARIABLE}.")
]
AllowUrl = Annotated[
    list[str] | None,
    typer.Option(
        help="Where endpoints may be created, such as https://*.example.com or 10.0.0.5:8080; "
        "repeatable, beside the default: Hugging Face's hosts and this machine."
    ),
]
EnvironmentKeys = Annotated[
    bool,
    typer.Option(
        "--environment-keys", help="Let callers use HF_TOKEN and other keys of this process."
    ),
]

Replicas = Annotated[
    int | None,
    typer.Option(
        min=1,
        help=f"With ${REDIS_VARIABLE}, where replicas share their limits: how many there are, so "
        "that each goes on with its part while Redis is away. Else requests fail then.",
    ),
]


def serve(  # noqa: PLR0913 - the options
    database: Database = None,
    host: Annotated[str, typer.Option(help="An address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 9200,
    api_key: Annotated[
        str | None, typer.Option(help="The callers' key itself; a file or the variable is safer.")
    ] = None,
    api_key_file: KeyFile = None,
    *,
    ask_key: Annotated[bool, typer.Option("--ask-key", help="Type the callers' key in.")] = False,
    max_queue: Annotated[
        int, typer.Option(min=1, help="Requests that may wait, per endpoint; more get 429.")
    ] = 2000,
    allow_url: AllowUrl = None,
    environment_keys: EnvironmentKeys = False,
    replicas: Replicas = None,
    access_log: Annotated[bool, typer.Option(help="One line of JSON per request.")] = True,
) -> None:
    """Serve endpoints over HTTP: Elastic's inference API and OpenAI's embeddings API."""
    with _errors_in_words():
        # Imported here, so that other commands do without the gateway's extra.
        from langchain_hf_endpoint import InferenceEndpoints, gateway  # noqa: PLC0415

        _log_to_stderr(with_access=access_log)
        key = find_key(KEY_VARIABLE, api_key, api_key_file, ask=ask_key)
        with InferenceEndpoints(database) as endpoints:
            gateway.serve(
                endpoints,
                host=host,
                port=port,
                ready=lambda url: _say(f"Serving {len(endpoints)} endpoints at {url}"),
                api_key=key,
                max_queue=max_queue,
                allow_urls=(*gateway.DEFAULT_ALLOWED_URLS, *(allow_url or ())),
                environment_keys=environment_keys,
                redis_url=find_key(REDIS_VARIABLE, None, None, ask=False),
                replicas=replicas,
            )


def local(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one.")] = 0,
    model_dir: Annotated[
        Path | None, typer.Option(help="A folder with model.onnx and tokenizer.json.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: one per processor.")] = None,
) -> None:
    """Serve a small embedding model on this machine, in the protocol of TEI."""
    from langchain_hf_endpoint.local.__main__ import serve as serve_model  # noqa: PLC0415

    with _errors_in_words():
        serve_model(port=port, model_dir=model_dir, threads=threads)


def _log_to_stderr(*, with_access: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("langchain_hf_endpoint")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    if not with_access:
        logging.getLogger("langchain_hf_endpoint.gateway.access").setLevel(logging.WARNING)


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


@contextmanager
def _errors_in_words() -> Iterator[None]:
    """Say what is wrong without a traceback, and end with status 1."""
    try:
        yield
    except HFEndpointError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from None
