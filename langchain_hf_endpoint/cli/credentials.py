"""Where a command gets a key from.

It knows the environment, files, prompts, and why the command line is the worst of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import SecretStr


def find_key(variable: str, file: Path | None, *, ask: bool) -> SecretStr | None:
    """A key: from the prompt if asked for, else the file, the variable; else none.

    Raises:
        typer.BadParameter: The file cannot be read, or is empty.
    """
    if ask:
        return _asked_for()
    if file is not None:
        return _in_file(file)
    found = os.environ.get(variable, "").strip()
    return SecretStr(found) if found else None


def refuse_key(option: str, instead: str) -> NoReturn:
    """Refuse a key that was given on the command line; it is not repeated.

    Args:
        option: Where it was given.
        instead: Where a key may come from.

    Raises:
        typer.BadParameter: Always.
    """
    raise typer.BadParameter(
        f"{option} is not taken: every user of this machine can read the command line. Use "
        f"{instead}; and replace the key that you gave, since it was shown."
    )


def key_settings(source: str | None) -> dict[str, Any]:
    """The service settings of a key that is to be found at ``env:NAME``, ``file:PATH``, ``ask``.

    A variable is read where a request is sent, so that nothing holds its value before.

    Raises:
        typer.BadParameter: There is none, or it is no such source; what was given is not repeated,
            since it may be a key.
    """
    if source is None:
        return {}
    kind, _, where = source.partition(":")
    if source == "ask":
        return {"api_key": _asked_for()}
    if kind == "file" and where:
        return {"api_key": _in_file(Path(where))}
    if kind == "env" and where:
        return {"api_key_env": where}
    raise typer.BadParameter(
        "--key says where the key is: env:NAME, file:PATH or ask. A key itself does not belong on "
        "the command line, where every user of this machine can read it; if you gave one, replace "
        "it."
    )


def _asked_for() -> SecretStr:
    return SecretStr(typer.prompt("Key", hide_input=True, err=True).strip())


def _in_file(file: Path) -> SecretStr:
    try:
        key = SecretStr(file.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} holds no key: it is not UTF-8") from None
    if not key.get_secret_value():
        raise typer.BadParameter(f"{file} is empty")
    return key
