"""What a URL says about the machine behind it: ours, Hugging Face's, or another.

It knows host names and addresses. It must not resolve or contact them.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_HUGGING_FACE_HOSTS = (".endpoints.huggingface.cloud", ".huggingface.co", ".hf.space")
# RFC 3986's characters without those that parsers disagree about (a backslash, blanks).
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_LOOKS_LIKE_AN_ADDRESS = re.compile(r"[0-9.]+|.*:.*")


def url_problem(url: str) -> str | None:
    """Say what is wrong with the URL of an endpoint, or None. The URL itself is not repeated."""
    if not url.lower().startswith(("http://", "https://")):
        return "must start with http:// or https://"
    if "#" in url:
        return "must not have a fragment (#…), which is never sent"
    if not _URL_CHARACTERS.fullmatch(url):
        return "has a character that no URL has (a blank, a line break, <, >, \\ …)"
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "is not a URL: check the host and the port"
    if not host:
        return "names no host"
    if "@" in parts.netloc:
        return "must not hold a user or a password; pass api_key"
    return None if _is_host(parts.netloc, host) else "is not a URL: check the host and the port"


def _is_host(netloc: str, host: str) -> bool:
    """Whether all parsers agree on the host: Python's takes brackets anywhere, for one."""
    if not _LOOKS_LIKE_AN_ADDRESS.fullmatch(host):
        return _HOST_NAME.fullmatch(host) is not None and "[" not in netloc
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    written = f"[{host}]" if address.version == 6 else host  # noqa: PLR2004 - IPv6
    return re.fullmatch(re.escape(written) + r"(?::\d*)?", netloc, re.IGNORECASE) is not None


def host_of(url: str) -> str:
    """The host and, where one is given, the port: how an endpoint is named in messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_hugging_face(url: str) -> bool:
    """Whether the URL is one of Hugging Face's own hosts over https."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    return parts.scheme.lower() == "https" and host.endswith(_HUGGING_FACE_HOSTS)


def is_dedicated_endpoint(url: str) -> bool:
    """Whether Hugging Face's endpoint proxy stands in front, which can hold a cold start."""
    return is_hugging_face(url) and (urlsplit(url).hostname or "").lower().endswith(
        ".endpoints.huggingface.cloud"
    )
