"""Who may use the gateway.

It knows how a key is sent and compared. It must not keep the key in a form that could be shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING

from pydantic import SecretStr

from langchain_hf_endpoint.errors import SettingsError

from .problems import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES = ("apikey", "bearer")
_CHALLENGE = 'Bearer realm="security", ApiKey'
_SHORTEST_KEY = 8


class Access:
    """The gateway's key, or that there is none.

    Args:
        api_key: What callers must send; None: anybody may call.

    Raises:
        SettingsError: The key is too short, or no header can carry it.
    """

    def __init__(self, api_key: SecretStr | str | None) -> None:
        key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
        if key is not None and (
            len(key) < _SHORTEST_KEY or not all("!" <= letter <= "~" for letter in key)
        ):
            key = None  # a traceback may show it
            raise SettingsError(
                (
                    "api_key",
                    (
                        f"the gateway's key must have at least {_SHORTEST_KEY} characters, all "
                        "printable ASCII and none a blank"
                    ),
                )
            )
        self._digest = None if key is None else _digest(key)

    def __repr__(self) -> str:
        return f"<Access {'with' if self.has_key else 'without'} a key>"

    @property
    def has_key(self) -> bool:
        """Whether callers must send a key."""
        return self._digest is not None

    def check(self, headers: Mapping[str, str]) -> None:
        """Let a request through.

        Without a key only requests to this machine's own names are taken: a web page that a browser
        on this machine shows could otherwise call the gateway by a name of its own that resolves
        to loopback.

        Args:
            headers: Names in lower case.

        Raises:
            Refusal: 401 or 403.
        """
        if self._digest is None:
            if not _is_own_name(headers.get("host", "")):
                raise Refusal(
                    403,
                    "security_exception",
                    "a gateway without a key answers only to localhost and loopback addresses",
                )
            return
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() not in _SCHEMES or not sent:
            raise _unauthorized("missing authentication credentials: send the gateway's key")
        matches = [hmac.compare_digest(_digest(one), self._digest) for one in _keys_of(sent)]
        if not any(matches):
            raise _unauthorized("unable to authenticate: this is not the gateway's key")


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


def _is_own_name(host: str) -> bool:
    """Whether a Host header names this machine. An absent one (HTTP/1.0) comes from no browser."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name in ("", "localhost") or is_loopback_address(name)


def is_loopback_address(host: str) -> bool:
    """Whether this is a loopback address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
