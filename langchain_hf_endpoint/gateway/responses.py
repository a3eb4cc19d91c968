"""How every answer is made, good or bad, and how a handler's errors become answers.

It knows responses and the record of a request. It must not know any route.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import orjson
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from langchain_hf_endpoint.errors import HFEndpointError, RegistryError
from langchain_hf_endpoint.gateway.auth import check_manages
from langchain_hf_endpoint.gateway.errors import Refusal, elastic_body, openai_body, refusal_of
from langchain_hf_endpoint.gateway.filtering import filtered
from langchain_hf_endpoint.gateway.requests import answer_type

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    Handler = Callable[[Request], Awaitable[Response]]

_logger = logging.getLogger("langchain_hf_endpoint.gateway")

OPENAI_PREFIX = "/v1/"
NOBODY_THERE = 499
_NO_SUCCESS = 400
_JSON = "application/json"


def json_answer(
    request: Request,
    content: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON in the media type that the client takes."""
    is_openai = request.url.path.startswith(OPENAI_PREFIX)
    if not is_openai and status < _NO_SUCCESS and "filter_path" in request.query_params:
        content = filtered(content, ",".join(request.query_params.getlist("filter_path")))
    option = orjson.OPT_SERIALIZE_NUMPY
    if request.query_params.get("pretty") in ("", "true"):
        option |= orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    media_type = _JSON if is_openai else answer_type(request)
    return Response(
        orjson.dumps(content, option=option), status, dict(headers or {}), media_type=media_type
    )


def refused(request: Request, refusal: Refusal) -> Response:
    """The answer in the shape of the API that was called. Its kind is noted for the log."""
    request.state.record["error"] = refusal.code or refusal.kind
    if request.url.path.startswith(OPENAI_PREFIX):
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
            if manages:
                check_manages(may_manage=request.state.may_manage)
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
            return refused(request, refusal_of(error))
        except Exception as error:  # noqa: BLE001 - the gateway stays up
            _log_defect(error, route)
            reason = f"{type(error).__name__}: a defect of the gateway; its log says where"
            return refused(request, Refusal(500, "exception", reason))

    return answer


def _log_defect(error: BaseException, route: str) -> None:
    # Without the error's own words, which may repeat a text or a key.
    places = "".join(traceback.format_tb(error.__traceback__))
    _logger.error("%s in %s at\n%s", type(error).__name__, route, places)


__all__ = ["NOBODY_THERE", "OPENAI_PREFIX", "guarded", "json_answer", "refused"]
