"""A certificate for any host name, made on the spot, and the authority that vouches for it.

It knows trustme, of the extra ``[testing]``. It must not know who connects.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from langchain_hf_endpoint._package import missing_extra

if TYPE_CHECKING:
    import trustme


def issue(host: str) -> tuple[ssl.SSLContext, bytes]:
    """Make a server's TLS settings with a certificate for this host, and its authority's.

    Returns:
        The settings, and the authority's certificate as PEM.

    Raises:
        MissingExtraError: `trustme` is not installed.
    """
    authority = _authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context, authority.cert_pem.bytes()


def _authority() -> trustme.CA:
    try:
        import trustme  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_extra("An endpoint with a certificate", "testing", error) from error
    return trustme.CA()
