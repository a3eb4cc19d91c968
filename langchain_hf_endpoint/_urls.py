"""Tell what a URL says about the machine behind it: ours, Hugging Face's, or another."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from langchain_hf_endpoint._secrets import without_keys

if TYPE_CHECKING:
    from urllib.parse import SplitResult

# With the dot in front: the user's own token is sent there, but not to evil-huggingface.co.
_HUGGING_FACE_HOSTS = (".endpoints.huggingface.cloud", ".huggingface.co", ".hf.space")
# RFC 3986's characters without those that parsers disagree about (a backslash, blanks).
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+")
_HOST_NAME = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_HOST_HEADER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@]*))(?::[0-9]*)?")
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+")

# No scheme, or http with a letter or a slash too few or too many.
_WITHOUT_SCHEME = re.compile(
    r"(?:(h?t{1,3}ps?)(?::/{0,3}|//)|//)?"
    r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])((?::\d{1,5})?)((?:/[\w./-]*)?)",
    re.ASCII | re.IGNORECASE,
)
_LOCAL_NAMES = (".local", ".localhost", ".internal", ".lan")
_WHERE = "the endpoint's own URL stands on its page (https://….endpoints.huggingface.cloud)"
_ROUTER = "https://router.huggingface.co"
_NO_MODEL = ("", "/v1", "/v1/embeddings", "/hf-inference", "/hf-inference/models")


def url_problem(url: str) -> str | None:
    """Say what is wrong with the URL of an endpoint, or None. The URL itself is not repeated."""
    if not url.lower().startswith(("http://", "https://")):
        meant = url_meant(url)
        if meant and (problem := url_problem(meant)):
            return problem
        return f"must start with http:// or https://{f': did you mean {meant}?' if meant else ''}"
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
    if not _is_host(parts.netloc, host):
        return "is not a URL: check the host and the port"
    return _other_page(parts)


def url_meant(text: str) -> str | None:
    """The URL that somebody means who leaves its beginning out, or spells it wrong."""
    found = _WITHOUT_SCHEME.fullmatch(text.strip())
    if found is None or without_keys(text) != text:
        return None
    scheme, host, port, path = found.groups()
    is_named = re.fullmatch(r".*\.[A-Za-z]{2,}", host) is not None
    if not (is_named or port or host.lower() == "localhost" or _address(host.strip("[]"))):
        return None  # no host for certain: it may be a name, or a key
    if not scheme or scheme.lower() not in ("http", "https"):
        is_plain = not is_named or host.lower().endswith(_LOCAL_NAMES) or port not in ("", ":443")
        scheme = "http" if is_plain else "https"
    return f"{scheme.lower()}://{host}{port}{path}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _other_page(parts: SplitResult) -> str | None:
    """Say where the right URL is, for pages of Hugging Face that serve no embeddings."""
    host, path = (parts.hostname or "").lower().removeprefix("www."), parts.path.rstrip("/")
    if host in ("huggingface.co", "hf.co"):
        space = re.fullmatch(r"/spaces/([\w.-]+)/([\w.-]+)(?:/.*)?", path)
        if space:
            name = re.sub(r"[^a-z0-9]+", "-", "-".join(space.groups()).lower())
            return f"is the page of a Space, not its server: use https://{name}.hf.space"
        return f"is a page of the Hub, not an endpoint: {_WHERE}, or {_routed(path)}"
    if host.endswith("endpoints.huggingface.co") or host == "api.endpoints.huggingface.cloud":
        return f"is the console of the endpoints, not one of them: {_WHERE}"
    if host == "api-inference.huggingface.co":
        return f"is a host that was retired: use {_routed(path)}"
    is_router = host == "router.huggingface.co" and parts.port in (None, 443)
    if is_router and parts.scheme.lower() == "https" and path in _NO_MODEL:
        return f"names no model: use {_routed('')}"
    return None


def _routed(path: str) -> str:
    """The model of this path at Hugging Face's router."""
    found = re.match(r"(?:/pipeline/[\w-]+|/models)?/([\w.-]+/[\w.-]+)", path)
    model = found[1] if found and without_keys(path) == path else "<organization>/<model>"
    return f"{_ROUTER}/hf-inference/models/{model}/pipeline/feature-extraction"


def _is_host(netloc: str, host: str) -> bool:
    """Whether all parsers agree on the host: Python's takes brackets anywhere, for one."""
    if ":" not in host and not _DIGITS_AND_DOTS.fullmatch(host):
        return _HOST_NAME.fullmatch(host) is not None and "[" not in netloc
    address = _address(host)
    if address is None:
        return False
    # Written back and compared, since urlsplit drops what else stands around an address.
    written = f"[{host}]" if address.version == 6 else host  # noqa: PLR2004 - IPv6
    return re.fullmatch(re.escape(written) + r"(?::\d*)?", netloc, re.IGNORECASE) is not None


def host_of(url: str) -> str:
    """The host and, where one is given, the port: how an endpoint is named in messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine."""
    host = (urlsplit(url).hostname or "").lower().removesuffix(".")
    # All names under localhost are loopback (RFC 6761, 6.3).
    return host == "localhost" or host.endswith(".localhost") or is_loopback_address(host)


@lru_cache(16)  # callers send the same few
def is_own_name(host: str) -> bool:
    """Whether a Host header names this machine. An absent one (HTTP/1.0) comes from no browser."""
    found = _HOST_HEADER.fullmatch(host)
    name = (found[1] or found[2]) if found else host
    return name.lower() in ("", "localhost") or is_loopback_address(name)


def is_loopback_address(host: str) -> bool:
    """Whether this is a loopback address."""
    address = _address(host)
    return address is not None and address.is_loopback


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
