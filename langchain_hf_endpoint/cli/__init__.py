"""The command line ``hf-endpoint`` (extra ``[cli]``: typer, rich)."""

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
