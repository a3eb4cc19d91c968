"""What a command prints: JSON, in colours where someone looks at it.

It knows the terminal. It must not know what is printed.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def print_json(content: object) -> None:
    """Print JSON for a machine: one line."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")


def print_config(config: Mapping[str, object], *, as_json: bool) -> None:
    """Print an endpoint: one line for a machine, else indented and in colours."""
    if as_json:
        print_json(config)
        return
    from rich.console import Console  # noqa: PLC0415 - slow to load

    Console().print_json(data=config)
