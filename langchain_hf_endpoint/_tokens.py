"""The user's own token for Hugging Face: where its tools look for it, in their order.

It knows variables and the token's file. It must not know to whom a token may be sent.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable, no token
TOKEN_VARIABLES = (TOKEN_VARIABLE, "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
_LONGEST_FILE = 10_000  # bytes
_HEADER = re.compile(r"(?:authorization:\s*)?bearer\s+", re.IGNORECASE)
_QUOTES = ("'", '"', "`")


def without_wrapping(pasted: str) -> str:
    """A key as it was pasted, without what is no part of it: blanks, quotes, ``Bearer``."""
    while True:
        key = pasted.strip()
        if len(key) > 1 and key[0] == key[-1] and key[0] in _QUOTES:
            key = key[1:-1]
        key = _HEADER.sub("", key, count=1) if _HEADER.match(key) else key
        if key == pasted:
            return key
        pasted = key


def key_problem(key: str) -> str | None:
    """Say why a key cannot be sent, or None."""
    if not key:
        return "must not be empty; leave it out for a server without a key"
    if without_wrapping(key) != key and key.strip() == key:
        return "begins with 'Bearer' or stands in quotes; give the key alone"
    if not all("!" <= letter <= "~" for letter in key):
        return "holds a blank, a control or a non-ASCII character; check for a stray line break"
    return None


def key_of_variable(name: str) -> SecretStr:
    """The key that an environment variable holds; empty where it holds none."""
    return SecretStr(without_wrapping(os.environ.get(name, "")))


def tokens() -> Iterator[tuple[str, SecretStr]]:
    """Each place that holds a token, and the token, the one to be preferred first."""
    for name in TOKEN_VARIABLES:
        if (key := key_of_variable(name)).get_secret_value():
            yield name, key
    path = token_file()
    of_file = _key_of_file(path)
    if of_file is not None:
        yield str(path), of_file


def token_file() -> Path:
    """Where ``hf auth login`` writes its token."""
    home = os.environ.get("HF_HOME")
    if not home:
        home = f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    path = os.environ.get("HF_TOKEN_PATH") or f"{home}/token"
    return Path(os.path.expandvars(os.path.expanduser(path)))  # noqa: PTH111 - no error without a home


def _key_of_file(path: Path) -> SecretStr | None:
    try:
        if not path.is_file():  # to open a named pipe would wait
            return None
        with path.open("rb") as file:
            key = SecretStr(without_wrapping(file.read(_LONGEST_FILE).decode("utf-8-sig")))
    except (OSError, ValueError):
        return None
    return key if key.get_secret_value() else None
