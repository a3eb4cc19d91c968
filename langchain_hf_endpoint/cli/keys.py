"""Where a command gets a key from.

It knows the environment, files, prompts, and why the command line is the worst of them.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer
from pydantic import SecretStr

if TYPE_CHECKING:
    from pathlib import Path


def find_key(variable: str, given: str | None, file: Path | None, *, ask: bool) -> SecretStr | None:
    """A key: as given, else from the prompt if asked for, the file, the variable; else none.

    Raises:
        typer.BadParameter: The file cannot be read, or is empty.
    """
    if given is not None:
        sys.stderr.write(
            "--api-key: every user of this machine can read it in the list of processes. Prefer "
            f"--api-key-file, --ask-key or ${variable}.\n"
        )
        return SecretStr(given)
    if ask:
        return SecretStr(typer.prompt("Key", hide_input=True).strip())
    if file is not None:
        try:
            key = SecretStr(file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file} cannot be read: {type(error).__name__}") from None
        if not key.get_secret_value():
            raise typer.BadParameter(f"{file} is empty")
        return key
    found = os.environ.get(variable, "").strip()
    return SecretStr(found) if found else None
