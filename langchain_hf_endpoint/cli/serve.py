"""``hf-endpoint serve`` and ``hf-endpoint local``."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from langchain_hf_endpoint._urls import is_loopback_address
from langchain_hf_endpoint.cli.endpoints import find_key, open_registry
from langchain_hf_endpoint.cli.options import Database
from langchain_hf_endpoint.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY_VARIABLE = "HF_ENDPOINT_GATEWAY_KEY"
MANAGE_KEY_VARIABLE = "HF_ENDPOINT_GATEWAY_MANAGE_KEY"
REDIS_VARIABLE = "HF_ENDPOINT_REDIS_URL"


def _number(help_: str, least: float = 1, most: float | None = None) -> Any:
    return typer.Option(min=least, max=most, metavar="N", show_default=False, help=help_)


_Host = typer.Option(metavar="ADDRESS", help="Listen at this address.")
_Port = _number("Listen at this port (default: 9200; 0: a free one).", 0, 65535)
_AnyPort = _number("Listen at this port (default: a free one).", 0, 65535)
_KeyFile = typer.Option(
    metavar="FILE", help=f"Require the key in FILE of all callers (${KEY_VARIABLE})."
)
_ManageKeyFile = typer.Option(
    metavar="FILE", help=f"Require the key in FILE to change endpoints (${MANAGE_KEY_VARIABLE})."
)
_AskKey = typer.Option("--ask-key", help="Prompt for the callers' key.")
_MaxQueue = _number("Queue at most N requests per endpoint (default: 2000); others get 429.")
_MaxWaitingBytes = _number("Hold at most N bytes of requests (default: 200000000).", 20_000_000)
_MaxConnections = _number("Keep at most N connections (default: 4096, or what open files allow).")
_RequestSeconds = _number("Wait N seconds for a request's head, and N for its body (default: 60).")
_ShutdownSeconds = _number("Give running requests N seconds at shutdown (default: 30).")
_AllowUrl = typer.Option(
    metavar="URL",
    help="Also allow endpoints there, such as 10.0.0.5:8080 or https://*.example.com; repeatable.",
)
_EnvironmentKeys = typer.Option(
    "--environment-keys", help="Let callers use keys of the environment."
)
_AllowKeyRotation = typer.Option(
    "--allow-key-rotation", help="Let an update give an endpoint a new key."
)
_TeiAtRoot = typer.Option(metavar="ID", help="Serve TEI's API of endpoint ID at / too.")
_Replicas = _number(
    f"Share the limits in ${REDIS_VARIABLE} among N gateways; each keeps its part "
    "while Redis is down."
)
_AccessLog = typer.Option(
    "--access-log/--no-access-log",
    show_default=False,
    help="Log a line of JSON per request (default).",
)
_ModelDir = typer.Option(
    metavar="FOLDER", help="Serve the model.onnx and tokenizer.json in FOLDER."
)
_Threads = _number("Compute with N threads (default: one per CPU).")


def serve(  # noqa: PLR0913 - the options
    database: Database = None,
    host: Annotated[str, _Host] = "127.0.0.1",
    port: Annotated[int, _Port] = 9200,
    *,
    api_key_file: Annotated[Path | None, _KeyFile] = None,
    manage_key_file: Annotated[Path | None, _ManageKeyFile] = None,
    ask_key: Annotated[bool, _AskKey] = False,
    api_key: Annotated[str | None, typer.Option("--api-key", hidden=True)] = None,
    max_queue: Annotated[int, _MaxQueue] = 2000,
    max_waiting_bytes: Annotated[int, _MaxWaitingBytes] = 200_000_000,
    max_connections: Annotated[int, _MaxConnections] = 4096,
    request_seconds: Annotated[float, _RequestSeconds] = 60.0,
    shutdown_seconds: Annotated[int, _ShutdownSeconds] = 30,
    allow_url: Annotated[list[str] | None, _AllowUrl] = None,
    environment_keys: Annotated[bool, _EnvironmentKeys] = False,
    allow_key_rotation: Annotated[bool, _AllowKeyRotation] = False,
    tei_at_root: Annotated[str | None, _TeiAtRoot] = None,
    replicas: Annotated[int | None, _Replicas] = None,
    access_log: Annotated[bool, _AccessLog] = True,
) -> None:
    """Serve endpoints to clients of Elastic, OpenAI, TEI and Cohere.

    hf-endpoint serve --database endpoints.db --port 9200
    """
    if api_key is not None:
        raise typer.BadParameter(
            "--api-key is not taken: every user of this machine can read the command line. Use "
            f"--api-key-file FILE, --ask-key, or the variable {KEY_VARIABLE}; and replace the key "
            "that you gave, since it was shown."
        )
    # Imported here, so that other commands do without the gateway's extra.
    from langchain_hf_endpoint import gateway  # noqa: PLC0415

    key = find_key(KEY_VARIABLE, api_key_file, ask=ask_key)
    default_urls = gateway.default_allowed_urls(
        only_this_machine=host == "localhost" or is_loopback_address(host)
    )
    serve_registry = gateway.serve  # without its packages that is said first
    with (
        _log_on_stderr(with_access=access_log),
        open_registry(database, to_write=True) as endpoints,
    ):
        serve_registry(
            endpoints,
            host=host,
            port=port,
            ready=lambda url: say(f"Serving {len(endpoints)} endpoints at {url}"),
            api_key=key,
            manage_key=find_key(MANAGE_KEY_VARIABLE, manage_key_file),
            max_queue=max_queue,
            max_waiting_bytes=max_waiting_bytes,
            max_connections=max_connections,
            request_seconds=request_seconds,
            shutdown_seconds=shutdown_seconds,
            allow_urls=(*default_urls, *(allow_url or ())),
            environment_keys=environment_keys,
            allow_key_rotation=allow_key_rotation,
            tei_at_root=tei_at_root,
            redis_url=find_key(REDIS_VARIABLE),
            replicas=replicas,
        )


def local(
    port: Annotated[int, _AnyPort] = 0,
    model_dir: Annotated[Path | None, _ModelDir] = None,
    threads: Annotated[int | None, _Threads] = None,
) -> None:
    """Serve a small embedding model on this machine, in the protocol of TEI.

    hf-endpoint local --port 8080
    """
    from langchain_hf_endpoint.local.__main__ import serve as serve_model  # noqa: PLC0415

    serve_model(port=port, model_dir=model_dir, threads=threads)


@contextmanager
def _log_on_stderr(*, with_access: bool) -> Iterator[None]:
    """Print what is logged while the block runs."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("langchain_hf_endpoint")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    if not with_access:
        logging.getLogger("langchain_hf_endpoint.gateway.access").setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
