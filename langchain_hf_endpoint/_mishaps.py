"""What goes wrong on the way to a server and back, in words, whichever library it is met with.

It knows errors of sockets and of TLS. It must not know any HTTP library.
"""

from __future__ import annotations

import socket
import ssl

from langchain_hf_endpoint._wire import Cause, Failure

LARGEST_REPLY = 256 * 1024 * 1024
"""Bytes, after decompression."""


class ReplyTooLargeError(Exception):
    """A reply has more than `LARGEST_REPLY` bytes."""


class NoClientError(Exception):
    """The proxy or the certificates of the environment cannot be used. Says why."""


def too_much() -> Failure:
    """The reply is too large to be one of vectors."""
    return Failure(Cause.PROTOCOL, f"the reply has more than {LARGEST_REPLY} bytes")


def timed_out(timeout: float) -> Failure:
    """The request was sent, or was about to be, and its time is over."""
    return Failure(Cause.TRANSPORT, f"no complete reply within {timeout:g} s", timed_out=True)


def not_connected(timeout: float) -> Failure:
    """The time was over before there was a connection."""
    return Failure(Cause.TRANSPORT, f"no connection within {timeout:g} s", connected=False)


def broken_encoding() -> Failure:
    """The reply cannot be decompressed."""
    return Failure(Cause.PROTOCOL, "the reply's content encoding is broken")


def unusable_url() -> Failure:
    """Nothing can be sent there."""
    return Failure(Cause.UNREACHABLE, "the URL cannot be used", connected=False)


def mishap(error: Exception, *, connected: bool) -> Failure:
    """Say what went wrong, and whether another try may help.

    Args:
        error: As a library raised it, with what it was made of behind it.
        connected: Whether a connection stood.
    """
    roots = [*_chain(error)]
    for root in roots:
        if isinstance(root, ReplyTooLargeError):
            return too_much()
        if isinstance(root, NoClientError):
            return Failure(Cause.UNREACHABLE, str(root)[:300], connected=False)
        if isinstance(root, ssl.SSLError) and (refusal := _refusal(root)):
            return Failure(Cause.UNREACHABLE, refusal, connected=False)
        if isinstance(root, socket.gaierror) and root.errno == socket.EAI_NONAME:
            return Failure(Cause.UNREACHABLE, "the host is unknown", connected=False)
    text = f"{type(error).__name__}: {error}"[:300]
    return Failure(Cause.TRANSPORT, text, connected=connected)


_NO_CLIENT_CERTIFICATE = (
    "the server asks for a client certificate: set service_settings.tls.certificate_file"
)
_WRONG_CLIENT_CERTIFICATE = "the server does not accept the client certificate"
_REFUSALS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NO_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _WRONG_CLIENT_CERTIFICATE,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the server ended the TLS handshake",
    "TLSV1_ALERT_UNKNOWN_CA": _WRONG_CLIENT_CERTIFICATE,
}
"""OpenSSL's names for what a server may say in a handshake. Trying again is of no use."""


def _refusal(error: ssl.SSLError) -> str | None:
    """What a handshake failed for; aiohttp's own classes of these errors leave it to the cause."""
    if message := getattr(error, "verify_message", None):
        return f"the server's certificate is not accepted: {message}"
    return _REFUSALS.get(str(getattr(error, "reason", None)))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and all that is behind it; httpx wraps httpcore, which wraps the socket's."""
    chain = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) and deeper not in chain:
        chain.append(deeper)
    return chain
