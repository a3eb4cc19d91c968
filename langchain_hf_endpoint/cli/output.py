"""What a command prints: JSON, in colours where someone looks at it.

It knows the terminal. It must not know what is printed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

_UNWRAPPED = 100_000  # columns


def print_json(content: object) -> None:
    """Print JSON for a machine: one line."""
    is_utf_8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(content, ensure_ascii=not is_utf_8) + "\n")


def print_config(config: Mapping[str, object], *, as_json: bool) -> None:
    """Print an endpoint: one line for a machine, else indented and in colours."""
    if as_json:
        print_json(config)
    else:
        console().print_json(data=config)


def console() -> Console:
    """Where tables and colours go. What is read by a program is not wrapped."""
    from rich.console import Console  # noqa: PLC0415 - slow to load

    is_wrapped = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if is_wrapped else _UNWRAPPED)


def take_any_letter() -> None:
    """Have letters that standard output and error cannot show spelled out, not refused."""
    sys.stdout = sys.stdout or _nowhere()  # None where it was closed
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def drop_what_is_unwritten(stream: TextIO) -> None:
    """After a failed write: have what is still to be written go nowhere, instead of failing too."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # no file of the system's, such as in tests
        pass
