"""What a server said, in words: found in whatever it sent, made fit for an error message.

It knows the shapes of error bodies. It must not know what they mean.
"""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._protocols.parsing import parsed

if TYPE_CHECKING:
    from langchain_hf_endpoint._messages import Reply
    from langchain_hf_endpoint._protocols.vectors import JSON

LONGEST = 300
"""Characters of a server's text in a message (contract, section 5)."""

_ENOUGH = 4096
"""Characters that are looked at. Some servers send back the whole request."""

_FIELDS = ("error", "message", "Message", "detail", "msg")
_TITLE = re.compile(rb"<title[^<>]*>([^<]*)</title", re.IGNORECASE)
_SECRET = re.compile(r"(?i)\b(bearer\s+|hf_|sk-)[\w.~+/=-]{6,}")

_ECHO = re.compile(r"\breceived:|\binput_value=|'input': ")
"""Where a message begins to repeat the request: the inference toolkit's "Body needs to provide a
inputs key, received: …" (https://github.com/huggingface/huggingface-inference-toolkit), and
pydantic's errors turned into text, as vLLM sends them."""


def words_of(reply: Reply) -> str:
    """Return what the reply says, at most a few thousand characters, or an empty string.

    From JSON the known fields alone (never FastAPI's ``body``, which repeats the inputs), from
    HTML the title alone (Python's ``http.server`` repeats the request in the text), from anything
    else the text.
    """
    body = reply.body
    try:
        text = said(parsed(body))
    except orjson.JSONDecodeError:
        start = body[:_ENOUGH].lstrip()
        text = html_title(body) if start[:1] == b"<" else start.decode(errors="replace")
        # Half a JSON document may be the half that repeats the request.
        text = "" if start[:1] in (b"{", b"[") else text
    return text


def said(answer: JSON) -> str:
    """Return the message in a parsed JSON body, or an empty string."""
    return _cleaned(_message(answer, 3))


def html_title(body: bytes) -> str:
    """Return the title of a web page, which is where servers and proxies name the error."""
    found = _TITLE.search(body[:_ENOUGH])
    return _cleaned(unescape(found[1].decode(errors="replace"))) if found else ""


def shortened(text: str, longest: int = LONGEST) -> str:
    """Make a server's text fit for a message: printable, without keys, and not too long."""
    text = _SECRET.sub("***", _cleaned(text))
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _message(answer: JSON, depth: int) -> str:
    """Look for words in the fields that have them, and in what these hold."""
    if isinstance(answer, str):
        return answer
    if depth == 0:
        return ""
    if isinstance(answer, list):
        return "; ".join(filter(None, (_message(part, depth - 1) for part in answer[:5])))
    if not isinstance(answer, dict):
        return ""
    if isinstance(answer.get("loc"), list):
        # One complaint of FastAPI's: https://fastapi.tiangolo.com/tutorial/handling-errors/
        where = ".".join(str(step) for step in answer["loc"][:4] if isinstance(step, (str, int)))
        return f"{where}: {_message(answer.get('msg'), depth - 1)}"
    parts = (_message(answer.get(field), depth - 1) for field in _FIELDS)
    return ": ".join(dict.fromkeys(part for part in parts if part))


def _cleaned(text: str) -> str:
    """Replace what does not print, and runs of blanks, by one blank."""
    text = text[:_ENOUGH]
    if echo := _ECHO.search(text):
        text = text[: echo.start()].rstrip().removesuffix(",")
    printable = (char if char.isprintable() else " " for char in text)
    return " ".join("".join(printable).split())
