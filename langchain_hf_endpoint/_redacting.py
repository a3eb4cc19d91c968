"""The key taken out of what a server says, in whichever form the server repeats it.

It knows how a key may be written. It must not know where keys come from or where texts go.
"""

from __future__ import annotations

import logging
import re
import weakref
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr

    from langchain_hf_endpoint._messages import Reply

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
        pattern = self._pattern()
        return pattern.sub("***", text) if pattern else text

    def reply(self, reply: Reply) -> Reply:
        """A reply without the key, so that whatever is read from it, and cut, holds no part of it.

        Not for vectors: digits of theirs may be those of a key.
        """
        pattern = self._pattern()
        if pattern is None:
            return reply
        # Latin-1 keeps every byte, and the key is of ASCII alone.
        body = reply.body[:_LARGEST].decode("latin-1")
        location = reply.headers.get("location", "")
        return replace(
            reply,
            body=pattern.sub("***", body).encode("latin-1"),
            headers={**reply.headers, "location": pattern.sub("***", location)},
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
        record.msg, record.args = said, None
        return True


_logs = _LogFilter()
for _number in ("", "2"):
    logging.getLogger(f"httpx{_number}").addFilter(_logs)  # of clients of the user's own
    for _part in ("connection", "http11", "http2", "proxy", "socks"):
        logging.getLogger(f"httpcore{_number}.{_part}").addFilter(_logs)
