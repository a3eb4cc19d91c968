"""Make every answer, good or bad, and turn a handler's errors into answers."""

from __future__ import annotations

import logging
import traceback
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from langchain_hf_endpoint.errors import HFEndpointError, RegistryError
from langchain_hf_endpoint.gateway.errors import (
    Refusal,
    elastic_body,
    illegal,
    openai_body,
    refusal_of,
    tei_error,
)
from langchain_hf_endpoint.gateway.requests import answer_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    Handler = Callable[[Request], Awaitable[Response]]
    Pattern: TypeAlias = tuple[str, ...]
    Patterns: TypeAlias = frozenset[Pattern]
    AfterName: TypeAlias = Callable[[str, Patterns], Patterns]

_logger = logging.getLogger("langchain_hf_endpoint.gateway")

OPENAI_PREFIXES, TEI_PREFIX = ("/v1/", "/v2/"), "/tei/"
NOT_ELASTIC = (*OPENAI_PREFIXES, TEI_PREFIX)
TEI_ROUTES = ("/embed", "/rerank", "/info", "/tokenize")
"""Below the prefix and an endpoint's id, and of one endpoint at the root."""
NOBODY_THERE = 499
_NO_SUCCESS = 400
_JSON = "application/json"
_ONLY_USES = (
    "this key may use endpoints; to create, update or delete one takes the managing key "
    "[manage_inference]"
)
_MOST_PATTERNS = 50
_MOST_PARTS = 20
_LONGEST = 2000
_NOTHING = object()


def json_answer(
    request: Request,
    content: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON in the media type that the client takes."""
    is_elastic = not request.scope["path"].startswith(NOT_ELASTIC)
    option = orjson.OPT_SERIALIZE_NUMPY
    if request.scope["query_string"]:  # most have none
        asked = request.query_params
        if is_elastic and status < _NO_SUCCESS and "filter_path" in asked:
            content = filtered(content, ",".join(asked.getlist("filter_path")))
        if asked.get("pretty") in ("", "true"):
            option |= orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    media_type = answer_type(request) if is_elastic else _JSON
    return Response(
        orjson.dumps(content, option=option), status, dict(headers or {}), media_type=media_type
    )


def refused(request: Request, refusal: Refusal) -> Response:
    """The answer in the shape of the API that was called. Its kind is noted for the log."""
    request.state.record["error"] = refusal.code or refusal.kind
    path: str = request.scope["path"]
    if path.startswith(TEI_PREFIX):
        error = tei_error(refusal)
        _, _, route = path.removeprefix(TEI_PREFIX).partition("/")
        return Response(
            error.body("/" + route), error.status, refusal.headers, media_type=error.content_type
        )
    if path.startswith(OPENAI_PREFIXES):
        headers = dict(refusal.headers)
        if "Retry-After" not in headers:
            # OpenAI's clients repeat a 5xx by themselves; the engine has done so already.
            headers["x-should-retry"] = "false"
        return json_answer(request, openai_body(refusal), refusal.openai_status, headers)
    return json_answer(request, elastic_body(refusal), refusal.status, refusal.headers)


def guarded(handler: Handler, route: str, *, manages: bool = False) -> Handler:
    """Turn whatever a handler raises into an answer; note the route for the log and the metrics.

    Args:
        handler: Of the route.
        route: Its name.
        manages: Whether only those may call it who may create, update and delete endpoints.
    """

    async def answer(request: Request) -> Response:
        request.state.record["route"] = route
        try:
            if manages and not request.state.may_manage:
                return refused(request, Refusal(403, "security_exception", _ONLY_USES))
            return await handler(request)
        except ClientDisconnect:
            return Response(status_code=NOBODY_THERE)
        except Refusal as refusal:
            return refused(request, refusal)
        except RegistryError as error:
            _logger.error("%s", error)  # noqa: TRY400 - its words are enough
            reason = "the gateway's registry cannot be used; its log says why"
            return refused(request, Refusal(500, "exception", reason))
        except HFEndpointError as error:
            return refused(request, refusal_of(error, manages=manages))
        except Exception as error:  # noqa: BLE001 - the gateway stays up
            # Without the error's own words, which may repeat a text or a key.
            places = "".join(traceback.format_tb(error.__traceback__))
            _logger.error("%s in %s at\n%s", type(error).__name__, route, places)  # noqa: TRY400
            reason = f"{type(error).__name__}: a defect of the gateway; its log says where"
            return refused(request, Refusal(500, "exception", reason))

    return answer


# Elastic's ``filter_path``: patterns such as ``endpoints.*.dimensions``, ``**.url``, ``-**.name``


def filtered(content: Any, wanted: str) -> Any:
    """What of the content the patterns name; an empty object where that is nothing.

    Arrays are passed through: a pattern names what is in each of their objects. Patterns that begin
    with ``-`` leave out.
    """
    if len(wanted) > _LONGEST:
        raise illegal(f"[filter_path] takes {_LONGEST} characters at most")
    given = [one.strip() for one in wanted.split(",") if one.strip()]
    if len(given) > _MOST_PATTERNS or any(one.count(".") >= _MOST_PARTS for one in given):
        raise illegal(
            f"[filter_path] takes {_MOST_PATTERNS} patterns of {_MOST_PARTS} parts at most"
        )
    # The objects of an answer have the same few names, thousands of times.
    after: AfterName = cache(_after)
    for keep in (True, False):
        chosen = (one.removeprefix("-") for one in given if one.startswith("-") is not keep)
        patterns = frozenset(tuple(one.split(".")) for one in chosen)
        if patterns and content is not _NOTHING:
            content = _filtered(content, patterns, after, keep=keep)
    return {} if content is _NOTHING else content


def _filtered(content: Any, patterns: Patterns, after_name: AfterName, *, keep: bool) -> Any:
    """The content with, or without, what the patterns name."""
    if isinstance(content, list):
        kept = [
            _filtered(one, patterns, after_name, keep=keep)
            if isinstance(one, (dict, list))
            else (_NOTHING if keep else one)
            for one in content
        ]
        return [one for one in kept if one is not _NOTHING] or _NOTHING
    found = {}
    for name, part in content.items():
        after = after_name(name, patterns)
        if () in after:
            inner = part if keep else _NOTHING
        elif after and isinstance(part, (dict, list)):
            inner = _filtered(part, after, after_name, keep=keep)
        else:
            inner = _NOTHING if keep else part
        if inner is not _NOTHING:
            found[name] = inner
    return found or _NOTHING


def _after(name: str, patterns: Patterns) -> Patterns:
    """What is left of the patterns behind this name; `()` of one that ends with it."""
    after: set[Pattern] = set()
    for first, *rest in patterns:
        if first == "**":
            after.add((first, *rest))
            after |= _after(name, frozenset({tuple(rest)})) if rest else {()}
        elif _matches(name, first):
            after.add(tuple(rest))
    return frozenset(after)


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is the pattern, in which ``*`` stands for anything.

    Without a regular expression, which Python would keep for each pattern that callers think of.
    """
    first, *inner = pattern.split("*")
    if not inner:
        return name == pattern
    last = inner.pop()
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in inner:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
