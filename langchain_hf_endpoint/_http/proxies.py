"""Find the proxy of the environment for a URL."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from langchain_hf_endpoint._http.errors import NoClientError
from langchain_hf_endpoint._urls import is_loopback

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from langchain_hf_endpoint._messages import Failure

_KINDS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_PORTS = {"http": 80, "https": 443}
_LARGEST_PORT = 65535
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_BRACKETS = re.compile(r"^\[([^\]]*)\](?=/|$)")


@dataclass(frozen=True)
class Proxy:
    """Where a proxy is, and what it is told of who we are."""

    variable: str  # the environment variable that names it
    scheme: str  # ``http``, ``https``, ``socks5`` or ``socks5h``
    host: str  # a name, or an address without brackets
    port: int  # of the host
    user: str | None  # None where none is given
    password: str = field(repr=False)  # never shown

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, which of our transports httpx alone does."""
        return self.scheme.startswith("socks")

    @property
    def origin(self) -> str:
        """The URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def auth(self) -> tuple[str, str] | None:
        """User and password."""
        return None if self.user is None else (self.user, self.password)


def proxy_to(url: str) -> Proxy | None:
    """The proxy for this URL; None for this machine, and for hosts that NO_PROXY names.

    Raises:
        NoClientError: The variable's value is no proxy's URL. Says which variable, and never what
            it holds.
    """
    parts = urlsplit(url)
    proxies = getproxies()
    value = proxies.get(parts.scheme.lower()) or proxies.get("all") or ""
    if not value.strip() or is_loopback(url) or _is_exempt(proxies.get("no", ""), parts):
        return None
    return _parsed(_variable(parts.scheme.lower(), value), value.strip())


def with_proxy(failure: Failure, url: str | None) -> Failure:
    """A failure to connect, said of the proxy to this URL; None for the user's own client."""
    try:
        proxy = None if failure.connected or url is None else proxy_to(url)
    except NoClientError:  # which is the failure
        proxy = None
    if proxy is None:
        return failure
    # Its address may be no business of a gateway's callers.
    named = f"the proxy of {proxy.variable}"
    return replace(failure, text=f"through {named}: {failure.text}", proxy=named)


def _variable(scheme: str, value: str) -> str:
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    return next((name for name in names if os.environ.get(name) == value), "the system's proxy")


def _parsed(variable: str, value: str) -> Proxy:
    """A password may hold any character: it ends at the last ``@``."""
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    userinfo, at, place = rest.rpartition("@")
    user, _, password = userinfo.partition(":")
    found = _HOST_AND_PORT.fullmatch(re.split(r"[/?#]", place, maxsplit=1)[0])
    scheme = scheme.lower()
    if scheme not in _KINDS:
        raise _unusable(variable, f"its proxy must be one of {', '.join(_KINDS)}")
    if scheme.startswith("socks") and find_spec("socksio") is None:
        raise _unusable(variable, 'a SOCKS proxy needs socksio: pip install "httpx[socks]"')
    host, port = found.groups() if found else ("", None)
    number = int(port) if port else _KINDS[scheme]
    if not host or not 0 < number <= _LARGEST_PORT or not host.isascii() or " " in host:
        raise _unusable(variable, "it must be like http://user:password@host:3128")
    return Proxy(
        variable,
        scheme,
        host.strip("[]"),
        number,
        unquote(user) if at else None,
        unquote(password),
    )


def _unusable(variable: str, reason: str) -> NoClientError:
    return NoClientError(
        f"the environment's proxy or certificates cannot be used: {variable}: {reason}"
    )


def _is_exempt(no_proxy: str, parts: SplitResult) -> bool:
    host = (parts.hostname or "").lower().removesuffix(".")
    port = parts.port or _PORTS.get(parts.scheme.lower())
    # The system's own list of exceptions, on Windows and macOS.
    return any(
        _names(entry.lower(), host, port) for entry in re.split(r"[,\s]+", no_proxy) if entry
    ) or bool(not no_proxy and proxy_bypass(host))


def _names(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry is a rule for this host; one that is no rule at all is for none."""
    if entry == "*":
        return True
    scheme, separator, rest = entry.partition("://")
    if separator:
        if _PORTS.get(scheme) not in (None, port):
            return False
        entry = rest
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    try:  # an address or a network, in brackets or not
        network = ipaddress.ip_network(_BRACKETS.sub(r"\1", entry), strict=False)
    except ValueError:
        pass
    else:
        return address is not None and address in network
    found = _HOST_AND_PORT.fullmatch(entry)
    if found is None or (found[2] and int(found[2]) != port):
        return False
    named = found[1].strip("[]").removeprefix("*").removesuffix(".")
    if address is not None:
        return named == host or (":" in named and named == address.compressed)
    bare = named.removeprefix(".")
    return bool(bare) and (host == bare or host.endswith(f".{bare}"))
