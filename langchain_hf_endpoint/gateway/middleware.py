"""Let a request in by its key, count it, log it, and hold its bytes until it is answered."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request

from langchain_hf_endpoint._urls import is_own_name
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.gateway.errors import Refusal
from langchain_hf_endpoint.gateway.requests import Lease, WaitingBytes
from langchain_hf_endpoint.gateway.responses import (
    NOBODY_THERE,
    NOT_ELASTIC,
    TEI_PREFIX,
    TEI_ROUTES,
    refused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from langchain_hf_endpoint.gateway.service import Service

access_log = logging.getLogger("langchain_hf_endpoint.gateway.access")

_OPEN_PATHS = ("/health",)
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
_SCHEMES = ("apikey", "bearer")
_CHALLENGE = 'Bearer realm="security", ApiKey'
_SHORTEST_KEY = 8


class GatewayMiddleware:
    """Checks the key of every request; counts and logs its answer."""

    def __init__(self, app: ASGIApp, service: Service, keys: CallerKeys) -> None:
        self._app = app
        self._metrics = service.metrics
        self._waiting = WaitingBytes(service.options.max_waiting_bytes)
        self._tei_at_root = service.options.tei_at_root
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if self._tei_at_root and (path in TEI_ROUTES or (scope["method"], path) == ("POST", "/")):
            scope = {**scope, "path": f"{TEI_PREFIX}{self._tei_at_root}{path}"}
        record: dict[str, Any] = {"route": "none", "method": scope["method"], "status": 0}
        scope.setdefault("state", {})["record"] = record
        began = time.perf_counter()
        self._metrics.in_flight.inc()
        try:
            # Around the whole request: whatever a handler raises, the bytes are given back.
            with Lease(self._waiting) as lease:
                scope["state"]["lease"] = lease
                await self._admit(scope, receive, self._recording(scope, record, send))
        finally:
            self._metrics.in_flight.dec()
            self._log_and_count(scope, record, time.perf_counter() - began)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in _OPEN_PATHS:
                scope["state"]["may_manage"] = self._keys.check(Headers(scope=scope))
        except Refusal as refusal:
            await refused(Request(scope), refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _recording(self, scope: Scope, record: dict[str, Any], send: Send) -> Send:
        names = {name for name, _ in scope["headers"]}
        # A proxy in between may have read the other one (RFC 9112, 6.1): what follows is not ours.
        is_unclear = b"transfer-encoding" in names and b"content-length" in names
        is_elastic = not scope["path"].startswith(NOT_ELASTIC)

        async def recorded(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["status"] = message["status"]
                if is_unclear:
                    MutableHeaders(scope=message)["Connection"] = "close"
                if is_elastic:
                    # The official clients talk to nobody who does not say so.
                    MutableHeaders(scope=message)["X-Elastic-Product"] = "Elasticsearch"
            await send(message)

        return recorded

    def _log_and_count(self, scope: Scope, record: dict[str, Any], took: float) -> None:
        route, status = record["route"], record["status"]
        # As a label: a caller may send any word for one.
        method = record["method"] if record["method"] in _METHODS else "other"
        self._metrics.answered(route, method, status or NOBODY_THERE, took)
        if access_log.isEnabledFor(logging.INFO):
            client = (scope.get("client") or ("",))[0]
            line = {**record, "method": method, "seconds": round(took, 4), "client": client}
            access_log.info("%s", json.dumps(line))


class CallerKeys:
    """The gateway's keys, or that there are none.

    Args:
        api_key: What callers must send; None: anybody may call.
        manage_key: What callers must send who create, update and delete endpoints; the other key
            then only uses and reads them. None: one key has both rights.

    Raises:
        SettingsError: A key is too short, or no header can carry it; both are the same; or the
            second stands alone.
    """

    def __init__(
        self, api_key: SecretStr | str | None, manage_key: SecretStr | str | None = None
    ) -> None:
        self._digest = _checked("api_key", api_key)
        self._managing = _checked("manage_key", manage_key)
        if self._managing is not None and self._managing == self._digest:
            raise SettingsError(("manage_key", "must not be the key that only uses endpoints"))
        if self._managing is not None and self._digest is None:
            raise SettingsError(("api_key", "is required beside manage_key: else anybody may call"))

    @property
    def are_needed(self) -> bool:
        """Whether callers must send a key."""
        return self._digest is not None

    def check(self, headers: Mapping[str, str]) -> bool:
        """Let a request through.

        Without a key only requests to this machine's own names are taken: a web page that a browser
        on this machine shows could otherwise call the gateway by a name of its own that resolves
        to loopback.

        Args:
            headers: Names in lower case.

        Returns:
            Whether the caller may create, update and delete endpoints.
        """
        if self._digest is None:
            if not is_own_name(headers.get("host", "")):
                raise Refusal(
                    403,
                    "security_exception",
                    "a gateway without a key answers only to localhost and loopback addresses",
                )
            return True
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() not in _SCHEMES or not sent:
            raise _unauthorized("missing authentication credentials: send the gateway's key")
        found = [_digest(one) for one in _keys_of(sent)]
        uses = _is_among(self._digest, found)
        manages = uses if self._managing is None else _is_among(self._managing, found)
        if not (manages or uses):
            raise _unauthorized("unable to authenticate: this is not the gateway's key")
        return manages


def _is_among(digest: bytes, found: list[bytes]) -> bool:
    # All are compared, whichever fits: the time it takes tells nothing.
    matches = [hmac.compare_digest(one, digest) for one in found]
    return any(matches)


def _checked(field: str, given: SecretStr | str | None) -> bytes | None:
    key = given.get_secret_value() if isinstance(given, SecretStr) else given
    if key is not None and (
        len(key) < _SHORTEST_KEY or not all("!" <= letter <= "~" for letter in key)
    ):
        key = given = None  # a traceback may show it
        problem = (
            f"the gateway's key must have at least {_SHORTEST_KEY} characters, all printable ASCII "
            "and none a blank"
        )
        raise SettingsError((field, problem))
    return None if key is None else _digest(key)


def _digest(key: str) -> bytes:
    # Of one length whatever is sent, so that the comparison takes the same time.
    return hashlib.sha256(key.encode()).digest()


def _keys_of(sent: str) -> list[str]:
    """The key as it is, and as the second half of Elastic's ``base64(id:key)``."""
    sent = sent.strip()
    try:
        _, _, key = base64.b64decode(sent, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        key = ""
    return [sent, key]


def _unauthorized(reason: str) -> Refusal:
    headers = {"WWW-Authenticate": _CHALLENGE}
    return Refusal(401, "security_exception", reason, headers=headers, code="invalid_api_key")
