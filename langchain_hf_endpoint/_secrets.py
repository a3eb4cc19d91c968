"""What a key looks like, wherever it was put by mistake, and what is not shown of it.

It knows the forms of keys. It must not know which of them is in use.
"""

from __future__ import annotations

import re

_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:hf|api_org)_(?:[A-Za-z0-9]{30,}|(?=[a-z]{0,99}[A-Z0-9])[A-Za-z0-9]{16,})"
    r"|sk[-_](?=[a-z_-]{0,99}[A-Z0-9])[\w-]{20,}"
    r"|(?:gsk_|ghp_|github_pat_|xai-|nvapi-|jina_|AIza|AKIA|eyJ)(?=[a-z_-]{0,99}[A-Z0-9])[\w.-]{16,}"
    r"|(?i:bearer)\s+[^\s'\"]{8,}"
    r")",
    re.ASCII,
)
# In a value that is refused, hiding too much costs nothing.
_PERHAPS_A_KEY = re.compile(
    rf"{_KEY.pattern}|(?<![A-Za-z0-9])(?:(?:hf|api_org)_|sk[-_])[\w-]{{4,}}"
    r"|(?i:bearer)\s+[^\s'\"]+|(?<!\w)(?=[A-Za-z]*\d)[A-Za-z0-9]{32,}(?!\w)",
    re.ASCII,
)
_KEY_FOR_A_NAME = re.compile(
    rf"\A(?:{_KEY.pattern}|(?:hf|api_org)_(?=[a-z_]*[A-Z0-9])\w{{8,}}|(?=[A-Za-z]*\d)[A-Za-z0-9]{{20,}})",
    re.ASCII,
)
_HIDDEN = "***"


def looks_like_a_key(value: str) -> bool:
    """Whether the whole value has the form of a key, and is no name or text of anything else."""
    return _KEY.fullmatch(value.strip()) is not None


def is_variable_name(value: str) -> bool:
    """Whether it can be the name of an environment variable, and is not rather a key."""
    return (
        re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value) is not None
        and _KEY_FOR_A_NAME.fullmatch(value) is None
    )


def without_keys(text: str) -> str:
    """The text with ``***`` for whatever in it has the form of a key."""
    return _KEY.sub(_HIDDEN, text)


def refused_value(value: object) -> str:
    """How a value that is refused is shown: ``***`` for what may be a key."""
    return without_perhaps_keys(repr(value))


def without_perhaps_keys(text: str) -> str:
    """The text of a refusal, with ``***`` for whatever in it may be a key."""
    return _PERHAPS_A_KEY.sub(_HIDDEN, text)
