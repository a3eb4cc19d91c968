"""Keys: what they look like, where the user's own is found, how one is taken out of a text."""

from __future__ import annotations

import logging
import os
import re
import weakref
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

    from langchain_hf_endpoint._messages import Response

# A key has a capital or a digit in it; names that begin alike (hf_embeddings_of_mine) have none.
# Look-aheads are bounded, since texts of strangers are searched: each pattern must take time in
# proportion to their length.
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
# In doubt a key here: a name that is refused is repeated in the error.
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


def without_perhaps_keys(text: str) -> str:
    """The text of a refusal, with ``***`` for whatever in it may be a key."""
    return _PERHAPS_A_KEY.sub(_HIDDEN, text)


# The user's own token

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


def _hidden(key: str) -> SecretStr:
    from pydantic import SecretStr  # noqa: PLC0415 - errors load without pydantic

    return SecretStr(key)


def key_of_variable(name: str) -> SecretStr:
    """The key that an environment variable holds; empty where it holds none."""
    return _hidden(without_wrapping(os.environ.get(name, "")))


def variable_problem(name: str, key: str) -> str | None:
    """Say why what an environment variable holds cannot be sent, or None."""
    if not key:
        return f"the environment variable {name} is not set"
    problem = key_problem(key)
    return f"{name}: {problem}" if problem else None


def _tokens() -> Iterator[tuple[str, SecretStr]]:
    """Each place that holds a token of the user, and the token, the one to be preferred first."""
    for name in TOKEN_VARIABLES:
        if (key := key_of_variable(name)).get_secret_value():
            yield name, key
    path = token_file()
    if (key_of_file := _key_of_file(path)) is not None:
        yield str(path), key_of_file


def usable_tokens() -> Iterator[tuple[str, SecretStr]]:
    """Those of the places whose token can be sent."""
    for place, key in _tokens():
        if not key_problem(key.get_secret_value()):
            yield place, key


def advice_on_tokens(*, are_read: bool) -> str:
    """What to do when a server does not take the user's token, or its lack.

    Args:
        are_read: Whether tokens are looked for, as they are for Hugging Face's own hosts alone.
    """
    places = f"{', '.join(TOKEN_VARIABLES)} and the file of hf auth login ({token_file()})"
    if not are_read:
        return (
            f"No key was sent. Pass api_key; {places} are read only for Hugging Face's own "
            "hosts over https."
        )
    for place, _ in usable_tokens():
        return f"Check the token in {place}, which was sent, and what it may do."
    damaged = [place for place, _ in _tokens()]  # there are no others
    but = f"; what {' and '.join(damaged)} holds cannot be a token" if damaged else ""
    return f"No key was sent{but}. Pass api_key; else {places} are looked through, in order."


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
        # The environment names the path: what is there may have any size. Editors on Windows put a
        # byte order mark before the token.
        with path.open("rb") as file:
            key = _hidden(without_wrapping(file.read(_LONGEST_FILE).decode("utf-8-sig")))
    except (OSError, ValueError):
        return None
    return key if key.get_secret_value() else None


# One key, in whichever form a server or a log repeats it

_SHORTEST = 8
"""Shorter keys can be guessed, and stand by chance in other words."""
_SHORTEST_WITH_DIGITS = 4
_LONGEST_WORD = 16
"""Letters of what may be a word, so that it is taken out only where it stands alone."""

_LARGEST = 4_000_000
"""Bytes of a body that are searched. Our own requests, which servers repeat, are smaller."""

_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


class Redactor:
    """Puts ``***`` in the place of one key: plain, escaped, percent-encoded or in base64.

    A key that is a common word, such as the ``none`` or ``EMPTY`` that servers without keys are
    given, stays: what is left of other words without it would be no server's words.

    Args:
        key: None where requests carry no key.
    """

    def __init__(self, key: SecretStr | None) -> None:
        self._key = key

    def redact_logs(self) -> None:
        """Take the key out of what HTTP libraries log at DEBUG, as long as this object lives.

        They log the headers of replies, in which a server may repeat it.
        """
        _logs.redactors.add(self)

    def __repr__(self) -> str:
        return f"<Redactor of {'a key' if self._key else 'no key'}>"

    def text(self, text: str) -> str:
        """The text without the key."""
        # Made for each text: an object that kept it would show the key to any debugger that prints
        # attributes.
        pattern = self._pattern()
        return pattern.sub("***", text) if pattern else text

    def response(self, response: Response) -> Response:
        """A response without the key, so that nothing that is read from it holds a part of it.

        Not for vectors: digits of theirs may be those of a key.
        """
        pattern = self._pattern()
        if pattern is None:
            return response
        # Latin-1 keeps every byte, and the key is of ASCII alone.
        body = response.body[:_LARGEST].decode("latin-1")
        location = response.headers.get("location", "")
        return replace(
            response,
            body=pattern.sub("***", body).encode("latin-1"),
            headers={**response.headers, "location": pattern.sub("***", location)},
        )

    def _pattern(self) -> re.Pattern[str] | None:
        key = self._key.get_secret_value() if self._key else ""
        if len(key) < (_SHORTEST if key.isalpha() else _SHORTEST_WITH_DIGITS):
            return None
        plain = "".join(map(_spellings, key))
        if len(key) < (_LONGEST_WORD if key.isalpha() else _SHORTEST):
            plain = rf"(?<!\w){plain}(?!\w)"
        forms = [plain] if len(key) < _SHORTEST else [plain, *_in_base64(key)]
        return re.compile("|".join(forms), re.ASCII)


def _spellings(letter: str) -> str:
    """A pattern of one letter as it is, or as URLs, JSON, Python and HTML may have it."""
    code = ord(letter)
    forms = [
        # Up to three times encoded, as in a URL within the query of a URL, or in JSON within JSON.
        rf"%(?:25){{0,2}}(?i:{code:02x})",
        rf"\\{{1,4}}(?i:(?:u00|x){code:02x})",
        rf"&#0{{0,4}}(?:{code}|(?i:x0{{0,4}}{code:x}));",
    ]
    if letter in _ENTITIES:
        forms.append(f"&{_ENTITIES[letter]};")
    # A backslash may stand before any mark; one that is the letter itself comes doubled.
    forms.append(re.escape(letter) if letter.isalnum() else rf"\\{{0,4}}{re.escape(letter)}")
    return f"(?:{'|'.join(forms)})"


def _in_base64(key: str) -> list[str]:
    """Patterns of the key inside of anything in base64, such as ``Bearer key`` or ``user:key``.

    What stands before it moves it by 0, 1 or 2 bytes. Letters that it shares with its neighbours
    are left out.
    """
    patterns = []
    for moved in range(3):
        # Three bytes make four letters of six bits: letters that are only partly of the key are
        # left out.
        letters = b64encode(b"\0" * moved + key.encode()).decode()
        own = letters[-(-moved * 8 // 6) : (moved + len(key)) * 8 // 6]
        patterns.append("".join(map(_of_base64, own)))
    return patterns


def _of_base64(letter: str) -> str:
    """A letter of base64 in the alphabet of mail or in that of URLs, which may encode it again."""
    other = {"+": "-", "/": "_"}.get(letter)
    return letter if other is None else f"(?:{_spellings(letter)}|{other})"


class _LogFilter(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.redactors: weakref.WeakSet[Redactor] = weakref.WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        for redactor in list(self.redactors):
            said = redactor.text(said)
        # Changed in place, so that every handler of the program gets it without the key.
        record.msg, record.args = said, None
        return True


_logs = _LogFilter()
# A filter sees what is logged by its very logger, nothing from those below: each is named.
for _number in ("", "2"):
    logging.getLogger(f"httpx{_number}").addFilter(_logs)  # of clients of the user's own
    for _part in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"httpcore{_number}.{_part}").addFilter(_logs)
