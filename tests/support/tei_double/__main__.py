"""`python -m tei_double '{"version": "1.8.3"}'`: prints its URL, serves until stdin ends."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import threading

import orjson
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import Double
from .settings import Settings


class _Protocol(H11Protocol):
    """Uvicorn's, but requests know their transport, so that a script can reset it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def _end_with_stdin() -> None:
    while os.read(0, 1):  # sys.stdin's lock would break the interpreter's exit
        pass
    os._exit(0)


def main() -> None:
    """Serve on a free loopback port."""
    settings = Settings(**orjson.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))
    # The protocol must be named: asyncio turns Nagle's algorithm off only where it sees it, and
    # a reply in two writes then costs 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    config = uvicorn.Config(
        Double(settings),
        http=_Protocol,
        lifespan="off",
        ws="none",
        access_log=False,
        server_header=False,
        log_level="critical",
        timeout_keep_alive=600,
        h11_max_incomplete_event_size=1 << 20,
    )
    if not sys.stdin.isatty():
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201
    gc.freeze()
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
