"""Who may use the gateway.

It knows how a key is sent and compared. It must not keep the key in a form that could be shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from pydantic import SecretStr

from langchain_hf_endpoint._urls import is_own_name
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.gateway.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

_SCHEMES = ("apikey", "bearer")
_CHALLENGE = 'Bearer realm="security", ApiKey'
_SHORTEST_KEY = 8


class Access:
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

    def __repr__(self) -> str:
        return f"<Access {'with' if self.has_key else 'without'} a key>"

    @property
    def has_key(self) -> bool:
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

        Raises:
            Refusal: 401 or 403.
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


def check_manages(*, may_manage: bool) -> None:
    """Refuse who may use endpoints only.

    Raises:
        Refusal: 403.
    """
    if not may_manage:
        raise Refusal(
            403,
            "security_exception",
            "this key may use endpoints; to create, update or delete one takes the managing key "
            "[manage_inference]",
        )


def _is_among(digest: bytes, found: list[bytes]) -> bool:
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
