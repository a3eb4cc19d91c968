"""Map exceptions of sockets, TLS and HTTP libraries to `Failure`."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import Cause, Failure, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_RESPONSE = 256 * 1024 * 1024
"""Bytes."""


class NoClientError(Exception):
    """The proxy or the certificates of the environment cannot be used. Says why."""


class RefusedAddressError(Exception):
    """Nothing is to be sent to an address. Says why."""


def too_large() -> Failure:
    """The response is too large to be one of vectors."""
    return Failure(Cause.PROTOCOL, f"the reply has more than {LARGEST_RESPONSE} bytes")


def timed_out(timeout: float) -> Failure:
    """The request was sent, or was about to be, and its time is over."""
    return Failure(Cause.TRANSPORT, f"no complete reply within {timeout:g} s", timed_out=True)


def not_connected(timeout: float) -> Failure:
    """The time was over before there was a connection."""
    return Failure(Cause.TRANSPORT, f"no connection within {timeout:g} s", connected=False)


def unusable_url() -> Failure:
    """Nothing can be sent there."""
    return Failure(Cause.UNREACHABLE, "the URL cannot be used", connected=False)


def compressed(status: int, headers: Mapping[str, str]) -> Response | Failure | None:
    """What stands for a response whose body is compressed; None for any other.

    Nobody asked for that, and such a body is not read: what is small when it is compressed may
    fill the memory when it is not. Of an error the status is said by itself.

    Args:
        status: Of HTTP.
        headers: Their names in lower case.
    """
    codings = headers.get("content-encoding", "").strip()
    if codings.lower() in ("", "identity"):
        return None
    if status >= 400:  # noqa: PLR2004 - HTTP's errors
        return Response(status, headers, b"")
    said = f"the reply is compressed ({codings[:40]}), which was not asked for"
    return Failure(Cause.PROTOCOL, said)


def network_failure(error: Exception, *, connected: bool, text: str | None = None) -> Failure:
    """Say what went wrong, and whether another try may help.

    Args:
        error: As a library raised it, with what it was made of behind it.
        connected: Whether a connection stood.
        text: What the error says, where it is not what its `str` is.
    """
    for root in _chain(error):
        if isinstance(root, (NoClientError, RefusedAddressError)):
            return Failure(Cause.UNREACHABLE, str(root)[:300], connected=False)
        if isinstance(root, ssl.SSLError) and (refusal := _tls_refusal(root, connected=connected)):
            return Failure(Cause.UNREACHABLE, refusal, connected=False)
        if isinstance(root, socket.gaierror) and root.errno == socket.EAI_NONAME:
            return Failure(Cause.UNREACHABLE, "the host is unknown", connected=False)
        if not connected and _is_closed_port(root):
            said = "the connection is refused: nothing listens there"
            return Failure(Cause.TRANSPORT, said, connected=False, refused=True)
    said = f"{type(error).__name__}: {error if text is None else text}"[:300]
    return Failure(Cause.TRANSPORT, said, connected=connected)


_NO_CLIENT_CERTIFICATE = (
    "the server asks for a client certificate: set service_settings.tls.certificate_file"
)
_WRONG_CLIENT_CERTIFICATE = "the server does not accept the client certificate"
_NO_TLS = "the server does not speak TLS at this port: is its URL one of http://?"
_OLD_TLS = "the server and this machine have no version of TLS in common: it must speak TLS 1.2"
_REFUSALS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NO_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server ended the TLS handshake",
    "TLSV1_ALERT_ACCESS_DENIED": _WRONG_CLIENT_CERTIFICATE,
    "TLSV1_ALERT_DECRYPT_ERROR": _WRONG_CLIENT_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _WRONG_CLIENT_CERTIFICATE,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "NO_PROTOCOLS_AVAILABLE": _OLD_TLS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD_TLS,
    "VERSION_TOO_LOW": _OLD_TLS,
}
"""OpenSSL's names for what a server may say in a handshake. Trying again is of no use."""
_PASSING_ERRORS = (
    ssl.SSLEOFError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)
_PASSING_REASONS = (
    "BAD_RECORD_MAC",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
    "SSLV3_ALERT_BAD_RECORD_MAC",
    "TLSV1_ALERT_INTERNAL_ERROR",
    "TLSV1_ALERT_USER_CANCELLED",
    "UNEXPECTED_EOF_WHILE_READING",
)
_UNKNOWN_AUTHORITY = range(18, 22)  # OpenSSL's X509_V_ERR_…: no authority that is trusted signed it


def _tls_refusal(error: ssl.SSLError, *, connected: bool) -> str | None:
    # aiohttp's own classes of these errors have neither message nor reason: their causes do.
    if message := getattr(error, "verify_message", None):
        advice = ""
        if getattr(error, "verify_code", 0) in _UNKNOWN_AUTHORITY:
            advice = (
                ". If its authority is a private one, name the authority's file in "
                "service_settings.tls.ca_file or SSL_CERT_FILE"
            )
        return f"the server's certificate is not accepted: {message}{advice}"
    reason = str(getattr(error, "reason", None))
    if (known := _REFUSALS.get(reason)) or connected or reason == "None":
        return known
    if isinstance(error, _PASSING_ERRORS) or reason in _PASSING_REASONS:
        return None
    return f"the TLS handshake failed, as it will each time: {reason.lower().replace('_', ' ')}"


def _is_closed_port(error: BaseException) -> bool:
    # With several addresses asyncio leaves only the words.
    several = f"[Errno {errno.ECONNREFUSED}]"
    return isinstance(error, ConnectionRefusedError) or (
        isinstance(error, OSError) and several in str(error)
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and all that is behind it; httpx wraps httpcore, which wraps the socket's.

    For a host with several addresses anyio has a group of them.
    """
    chain = [error]
    for one in chain:
        behind = (*getattr(one, "exceptions", ()), one.__cause__ or one.__context__)
        chain.extend(deeper for deeper in behind if deeper is not None and deeper not in chain)
    return chain
