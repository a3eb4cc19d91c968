"""Decide to which machines the gateway may be made to send requests."""

from __future__ import annotations

import fnmatch
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urlsplit

from langchain_hf_endpoint._http.errors import RefusedAddressError
from langchain_hf_endpoint._urls import url_problem
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.gateway.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
    Resolve: TypeAlias = Callable[[str], Sequence[str]]

# Spares most requests a look-up. `AddressCheck` sees each address that is connected to all the
# same.
_CHECKED_FOR = 30.0  # seconds
# Clouds answer there with the machine's credentials. The link-local ones are refused as a range.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_FOR_A_MOMENT = (socket.EAI_AGAIN, socket.EAI_FAIL)
_MOST_REMEMBERED = 10_000
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One entry of `allow_urls`: ``[scheme://]host[:port]``, ``*`` in the host for any run."""

    scheme: str  # empty: both
    host: str  # in lower case
    port: int | None  # None: any

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern."""
        scheme, mark, rest = text.strip().lower().rpartition("://")
        try:
            parts = urlsplit(f"//{rest}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        is_bare = not host or parts.path not in ("", "/") or parts.query or "@" in rest
        if is_bare or host is None or (mark and scheme not in _PORTS):
            shape = "must look like https://*.example.com, example.com:8080 or 127.0.0.1"
            raise SettingsError(("allow_urls", f"{text!r} is not allowed: {shape}"))
        return cls(scheme, host, port)

    @property
    def is_exact(self) -> bool:
        """Whether the operator named one host."""
        return "*" not in self.host

    def allows(self, scheme: str, host: str, port: int) -> bool:
        """Whether a URL of these parts may be used."""
        return (
            self.scheme in ("", scheme)
            and self.port in (None, port)
            and (fnmatch.fnmatchcase(host, self.host) if not self.is_exact else host == self.host)
        )


@dataclass(frozen=True, slots=True)
class AddressCheck:
    """Asked for each address just before it is connected to: a name may lead elsewhere by now."""

    host: str
    is_named: bool

    def __call__(self, address: str) -> None:
        """Let an address pass."""
        if not _is_fit(_address(address), self.host, is_named=self.is_named):
            raise RefusedAddressError(
                "the host leads to an address of a kind that this gateway does not send to"
            )


class UrlAllowlist:
    """The hosts to which endpoints may be created and used over HTTP.

    A host must match a pattern, and the addresses that it resolves to must be fit: a loopback or
    private address only where a pattern names that very host; a link-local or metadata address
    never, unless a pattern is that address.

    Args:
        allow_urls: The patterns.
        resolve: From a name to its addresses.
    """

    def __init__(self, allow_urls: Sequence[str], resolve: Resolve | None = None) -> None:
        self._patterns = [Pattern.parse(text) for text in allow_urls]
        self._resolve = resolve or _addresses_of
        self._passed: dict[tuple[str, str, int], float] = {}

    def is_known(self, url: str) -> bool:
        """Whether this URL passed a moment ago."""
        return time.monotonic() - self._passed.get(_parts(url), -_CHECKED_FOR) < _CHECKED_FOR

    def address_check(self, url: str) -> AddressCheck:
        """What to ask before a connection for this URL is made."""
        parts = _parts(url)
        return AddressCheck(parts[1], any(one.is_exact for one in self._fitting(*parts)))

    def _fitting(self, scheme: str, host: str, port: int) -> list[Pattern]:
        return [one for one in self._patterns if one.allows(scheme, host, port)]

    def check(self, url: str) -> None:
        """Let a URL pass. It may resolve a name, which takes its time: call it in a thread."""
        parts = _, host, _ = _parts(url)
        if self.is_known(url):
            return
        fitting = self._fitting(*parts)
        if not fitting:
            raise _refused(
                f"Invalid host [{host}]: this gateway takes no endpoints there "
                "(its operator can allow it, --allow-url)"
            )
        is_named = any(one.is_exact for one in fitting)
        if url_problem(url) is not None:
            raise _refused(f"Invalid host [{host}], please check that the URL is correct.")
        try:
            addresses = self._addresses(host)
        except (OSError, UnicodeError) as error:
            if parts not in self._passed:
                raise _unresolved(host, error) from None
            addresses = []  # what it led to before still holds, as far as anybody knows
        for address in addresses:
            if not _is_fit(address, host, is_named=is_named):
                raise _refused(
                    f"Invalid host [{host}]: it resolves to an address of a kind that this gateway "
                    "does not send to"
                )
        # Callers choose the hosts: what is remembered has a bound.
        if len(self._passed) >= _MOST_REMEMBERED:
            self._passed.clear()
        self._passed[parts] = time.monotonic()

    def _addresses(self, host: str) -> list[Address]:
        try:
            # Only in the usual spelling. Others, such as 0x7f000001, are left to the resolver,
            # which knows them: what it answers is checked.
            return [ipaddress.ip_address(host)]
        except ValueError:
            return list(map(_address, self._resolve(host)))


def _parts(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    # With a full stop at its end it is the same name.
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".").lower()
    return scheme, host, parts.port or _PORTS.get(scheme, 0)


def _address(text: str) -> Address:
    """An address without its zone ("%eth0"), which stands behind link-local ones only."""
    return ipaddress.ip_address(text.partition("%")[0])


def _unresolved(host: str, error: Exception) -> Refusal:
    if isinstance(error, TimeoutError) or getattr(error, "errno", None) in _FOR_A_MOMENT:
        return Refusal(
            503,
            "status_exception",
            f"No name server says at present where [{host}] is",
            headers={"Retry-After": "5"},
        )
    return _refused(f"Invalid host [{host}], please check that the URL is correct.")


def _is_fit(address: Address, host: str, *, is_named: bool) -> bool:
    address = _inner(address)
    if is_named and host == str(address):
        return True
    if (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
    ):
        return False
    return address.is_global or is_named


def _inner(address: Address) -> Address:
    """The IPv4 address to which an IPv6 one leads, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _addresses_of(host: str) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]


def _refused(reason: str) -> Refusal:
    return Refusal(400, "validation_exception", reason)
