"""Serve the local model: ``python -m langchain_hf_endpoint.local``.

By hand, it prints what it serves and where, and runs until Ctrl-C. As the child of a `LocalServer`
(``--owned``) it says the same as one line of JSON and ends when its stdin does.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from langchain_hf_endpoint.local.errors import LocalServerError, as_record, importing
from langchain_hf_endpoint.local.files import folder_files, packaged_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint.local.files import ModelInfo
    from langchain_hf_endpoint.local.model import Model

_HOST = "127.0.0.1"
_BACKLOG = 2048


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end. Returns the exit status."""
    options = _options(arguments)
    try:
        serve(**vars(options))
    except LocalServerError as error:
        if options.owned:
            _say(json.dumps({"error": as_record(error)}))
        else:
            sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def serve(
    *, port: int, model_dir: Path | None = None, threads: int | None = None, owned: bool = False
) -> None:
    """Load the model, say where it is served, and serve it on loopback until the process ends.

    Args:
        port: 0 takes a free one.
        model_dir: A model's folder; None: all-MiniLM-L6-v2 from the extra.
        threads: Inputs run at the same time; None: one for each processor.
        owned: Speak JSON, and end with stdin.

    Raises:
        LocalServerError: It cannot start.
    """
    if owned:
        # First of all, since the owner may end while the model is loaded.
        Thread(target=_end_with_stdin, daemon=True).start()
    listener = _bound(port)
    with ThreadPoolExecutor(1) as pool:
        # The model takes a third of a second, the web server a sixth: together, a third.
        loading = pool.submit(_loaded, model_dir)
        with importing():
            import uvicorn  # noqa: PLC0415 - of the extra

            from langchain_hf_endpoint.local.app import Service, create_app, own_names_only  # noqa: PLC0415 - the same
        model = loading.result()
    app = own_names_only(create_app(Service(model, threads or _processors())))
    config = uvicorn.Config(
        app, lifespan="off", ws="none", access_log=False, log_level="error", server_header=False
    )
    # Not before the model is there: until then a client is refused, not left waiting.
    listener.listen(_BACKLOG)
    _announce(f"http://{_HOST}:{listener.getsockname()[1]}", model.info, owned=owned)
    uvicorn.Server(config).run(sockets=[listener])


def _loaded(model_dir: Path | None) -> Model:
    with importing():
        from langchain_hf_endpoint.local.model import Model  # noqa: PLC0415 - numpy costs a tenth of a second
    return Model(packaged_files() if model_dir is None else folder_files(model_dir))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m langchain_hf_endpoint.local",
        description="Serve a small embedding model on 127.0.0.1, in TEI's protocol.",
    )
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument(
        "--model-dir", type=Path, help="a folder with model.onnx and tokenizer.json"
    )
    parser.add_argument("--threads", type=int, help="default: one for each processor")
    parser.add_argument("--owned", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _bound(port: int) -> socket.socket:
    # The protocol is named because asyncio turns Nagle's algorithm off only where it sees it: an
    # answer in two writes would take 40 ms longer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
    except OSError as error:
        listener.close()
        raise LocalServerError(
            f"Port {port} of {_HOST} cannot be used: {error.strerror}",
            advice="Pass another port, or 0 for a free one.",
        ) from error
    return listener


def _announce(url: str, info: ModelInfo, *, owned: bool) -> None:
    if owned:
        _say(json.dumps({"url": url, "model": asdict(info)}))
    else:
        _say(f"Serving {info}\nat {url} (Ctrl-C ends it)")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _end_with_stdin() -> None:
    """Nothing is written on that pipe: it ends when the owner lets go of it, or dies."""
    # Not sys.stdin: its lock, held by this thread, would break the exit of the interpreter.
    while os.read(0, 1):
        pass
    # At once: a thread cannot end the process otherwise, and there is nothing to save.
    os._exit(0)


def _processors() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main())
