"""``hf-endpoint``, the command line (extra ``[cli]``: typer, rich). Thin: each command is one call.

It knows options and where a key may come from: the environment, a file, a prompt; never an
argument, which every user of the machine can see. It must not know what a command does.
"""

from __future__ import annotations

import importlib
import sys

from langchain_hf_endpoint._package import missing_extra

__all__ = ["main"]


def main() -> None:
    """Run ``hf-endpoint``."""
    try:
        app = importlib.import_module(f"{__name__}.app").app
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("langchain_hf_endpoint"):
            raise
        sys.exit(str(missing_extra("hf-endpoint", "cli", error)))
    app(prog_name="hf-endpoint")
