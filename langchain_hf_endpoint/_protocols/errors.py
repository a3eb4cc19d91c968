"""Map any response that is no success to a `Failure`.

The statuses alone do not say. An inference endpoint that is paused answers 400, TEI calls a batch
that is too large 413 or 422 depending on its version, and both statuses also stand for an input
that is too long and for a prompt that does not exist. So the words decide where they are known,
then the status: https://github.com/huggingface/text-embeddings-inference (router/src/http),
https://huggingface.co/docs/inference-endpoints, and per rule below.
"""

from __future__ import annotations

import re
import time
from html import unescape
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols.base import parsed, split_url
from langchain_hf_endpoint._protocols.error_patterns import (
    BATCH_LIMIT,
    BATCH_LIMIT_IN_PASSING,
    BODY_LIMIT,
    DAMAGED,
    ENCODING,
    INPUT,
    INPUT_IN_5XX,
    MARK_OF_TEI,
    OF_ONE_INPUT,
    OVER_CONTEXT_LENGTH,
    PAUSED,
    SETTING,
    TOKENS_IN_ALL,
    WRONG_FIELDS,
    WRONG_ROUTE,
)
from langchain_hf_endpoint._protocols.retry_after import estimated_wait, wait_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_hf_endpoint._messages import Response
    from langchain_hf_endpoint._protocols.base import JSON

_BY_STATUS: Mapping[int, Cause] = {
    401: Cause.AUTHENTICATION,
    402: Cause.PAYMENT_REQUIRED,
    403: Cause.AUTHENTICATION,
    404: Cause.NOT_FOUND,
    405: Cause.NOT_FOUND,
    407: Cause.AUTHENTICATION,
    408: Cause.SERVER,
    410: Cause.NOT_FOUND,
    424: Cause.BACKEND,  # TEI: inference failed, or the model makes no embeddings
    425: Cause.SERVER,
    429: Cause.RATE_LIMITED,
    501: Cause.BACKEND,
    503: Cause.NOT_READY,
    505: Cause.BACKEND,
    506: Cause.BACKEND,
    510: Cause.BACKEND,
    511: Cause.BACKEND,  # a network that wants a log-in first
}
"""Any other 5xx, 529 and Cloudflare's 520 to 530 among them, is as a 500:
https://www.rfc-editor.org/rfc/rfc9110#section-15"""
_ABOUT_THE_REQUEST = (400, 413, 422)
REDIRECTS = range(300, 400)
NO_WORDS = "no explanation"
_ERRORS = range(400, 600)
_SERVER_ERRORS = range(500, 600)
_TOO_LARGE = 413
_FORBIDDEN = 403
_NUMBER = re.compile(r"(?<![\w-])\d{1,9}(?!\w)", re.ASCII)


def explain(response: Response, clock: Callable[[], float] = time.time) -> Failure:
    """Say what a response without success means. Never raises.

    Args:
        response: Any. A success is a ``PROTOCOL`` failure here: its vectors are missing.
        clock: The time of day, for a ``Retry-After`` with a date where there is no ``Date``.
    """
    words = words_of(response)
    limit = _batch_limit(response, words)
    asked = wait_asked(response, clock)
    estimate = estimated_wait(response) if asked is None else None
    return Failure(
        cause=Cause.BATCH_TOO_LARGE if limit else _cause(response, words),
        text=_text(response, words),
        status=response.status,
        retry_after=estimate if asked is None else asked,
        is_estimate=estimate is not None,
        batch_limit=limit,
        share=_share(words),
        over_context_length=OVER_CONTEXT_LENGTH.search(words) is not None,
    )


def _batch_limit(response: Response, words: str) -> int | None:
    """Return how many inputs the server takes, if that is what it says."""
    if response.status not in _ABOUT_THE_REQUEST:
        return None
    found = BATCH_LIMIT.search(words)
    if not found and not OF_ONE_INPUT.search(words):
        found = BATCH_LIMIT_IN_PASSING.search(words)
    digits = next(filter(None, found.groups()), "") if found else ""
    return (int(digits) or None) if 0 < len(digits) < 10 else None  # noqa: PLR2004 - sensible


def refuses_base64(failure: Failure) -> bool:
    """Tell whether a server says that it has no base64, or no field that asks for it."""
    return failure.status in _ERRORS and bool(ENCODING.search(failure.text))


def _share(words: str) -> float | None:
    """Which part of a request's tokens the server takes, where it names both numbers."""
    if not TOKENS_IN_ALL.search(words) or OVER_CONTEXT_LENGTH.search(words):
        return None
    numbers = {int(digits) for digits in _NUMBER.findall(words)} - {0}
    return min(numbers) / max(numbers) if len(numbers) == 2 else None  # noqa: PLR2004 - both


def _cause(response: Response, words: str) -> Cause:
    """Find what it means: by the words where the status leaves it open, then by the status."""
    status = response.status
    if status in _ERRORS:
        if PAUSED.search(words):
            return Cause.PAUSED
        if INPUT_IN_5XX.search(words):
            return Cause.INPUT_REJECTED
    if status in _ABOUT_THE_REQUEST:
        return _refused(response, words)
    if status in REDIRECTS:
        return Cause.NOT_FOUND
    if status in _SERVER_ERRORS:
        return _BY_STATUS.get(status, Cause.SERVER)
    if status == _FORBIDDEN and _is_page(response):
        return Cause.BLOCKED
    # Other client errors (406, 409, 411, 415, 431, 451, …) are about neither key, URL nor inputs,
    # as we send them: they come from something between us and the server.
    return _BY_STATUS.get(status, Cause.PROTOCOL)


def _refused(response: Response, words: str) -> Cause:
    """Tell what of a request the server refuses with 400, 413 or 422.

    - The inputs are the last resort: the caller then looks for the one that is to blame by asking
      again with fewer, which is also right for the inference toolkit, whose every error is a 400,
      lack of memory included.
    - Fields of another dialect are a setting that is wrong (``dialect`` or ``url``): no input
      would pass, and the server said why.
    - JSON that arrived damaged, and a web page, come from something on the way, not from a server
      of embeddings: ``PROTOCOL``.
    """
    for pattern, cause in (
        (BODY_LIMIT, Cause.BODY_TOO_LARGE),
        (SETTING, Cause.SETTING_REJECTED),
        (INPUT, Cause.INPUT_REJECTED),
        (WRONG_ROUTE, Cause.NOT_FOUND),
        (WRONG_FIELDS, Cause.SETTING_REJECTED),
        (DAMAGED, Cause.PROTOCOL),
    ):
        if pattern.search(words):
            return cause
    if response.status == _TOO_LARGE and not MARK_OF_TEI.search(response.body):
        # nginx, load balancers and API gateways, with a web page or with no body at all.
        return Cause.BODY_TOO_LARGE
    return Cause.PROTOCOL if _is_page(response) else Cause.INPUT_REJECTED


def _is_page(response: Response) -> bool:
    return response.body.lstrip()[:1] == b"<"


def _text(response: Response, words: str) -> str:
    if response.status in REDIRECTS:
        target = redirect_target(response)
        return shortened(f"it redirects to {target}" if target else "it redirects to nowhere")
    return shortened(words) or NO_WORDS


def redirect_target(response: Response) -> str:
    """Return where a response redirects to, without the query, which may hold a secret."""
    parts = split_url(response.headers.get("location", "").strip())
    if parts is None:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


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


def words_of(response: Response) -> str:
    """Return what the response says, at most a few thousand characters, or an empty string.

    From JSON the known fields alone (never FastAPI's ``body``, which repeats the inputs), from
    HTML the title alone (Python's ``http.server`` repeats the request in the text), from anything
    else the text.
    """
    body = response.body
    try:
        text = said(parsed(body))
    except orjson.JSONDecodeError:
        start = body[:_ENOUGH].lstrip()
        if start[:1] == b"<":
            return html_title(body)
        # Half a JSON document may be the half that repeats the request.
        return "" if start[:1] in (b"{", b"[") else start.decode(errors="replace")
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
