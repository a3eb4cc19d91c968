"""Make TLS contexts, which always check the server's certificate and its host name."""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import httpx

from langchain_hf_endpoint._http.errors import NoClientError
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from langchain_hf_endpoint.settings import TlsSettings

_Stamp: TypeAlias = "tuple[int, int]"
Edition: TypeAlias = "tuple[_Stamp | None, ...]"

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Each may name a file of authorities or a folder of them; the first that is set is taken."""


def tls_context(tls: TlsSettings | None) -> ssl.SSLContext:
    """The context for these settings, shared: making one costs forty times what a client costs.

    Raises:
        SettingsError: A file of the settings cannot be used.
        NoClientError: One that the environment names cannot. Says which.
    """
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    path = os.environ[variable] if variable else None
    return _context(tls, edition(tls), variable, path, _stamp(path))


def check_files(tls: TlsSettings | None) -> None:
    """See whether the files of the settings can be used.

    Raises:
        SettingsError: One cannot.
    """
    with suppress(NoClientError):  # said where a request is about to be sent
        tls_context(tls)


def edition(tls: TlsSettings | None) -> Edition:
    """What changes when a file of the settings does: connections are then made anew."""
    if tls is None:
        return ()
    return tuple(_stamp(name) for name in (tls.ca_file, tls.certificate_file, tls.key_file))


@lru_cache(maxsize=8)
def _context(
    tls: TlsSettings | None,
    _edition: Edition,  # anew where a file changed: certificates are renewed under a process
    variable: str | None,
    path: str | None,
    _path_stamp: _Stamp | None,
) -> ssl.SSLContext:
    if tls is None or tls.ca_file is None:
        context = _trusting(variable, path)
    else:
        try:
            context = ssl.create_default_context(cafile=tls.ca_file)
        except (OSError, ValueError) as error:
            reason = _reason(error)
        else:
            reason = ""
        if reason:  # raised here, where no error with a file's content is behind it
            raise SettingsError(("service_settings.tls.ca_file", reason))
    if tls is None or tls.certificate_file is None:
        return context
    try:
        # With no password given, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(tls.certificate_file, tls.key_file, password="")
    except (OSError, ValueError) as error:
        reason = _reason(error)
    else:
        return context
    field = "certificate_file" if tls.key_file is None else "certificate_file and key_file"
    raise SettingsError((f"service_settings.tls.{field}", reason))


def _trusting(variable: str | None, path: str | None) -> ssl.SSLContext:
    """A context with the authorities that a variable names; with certifi's where none does."""
    if path is None:
        return httpx.create_ssl_context(trust_env=False)
    folders = path.split(os.pathsep) if variable == "SSL_CERT_DIR" else [path]
    is_folder = any(Path(folder).is_dir() for folder in folders)
    try:
        return ssl.create_default_context(
            cafile=None if is_folder else path, capath=path if is_folder else None
        )
    except (OSError, ValueError) as error:
        reason = _reason(error)
    raise NoClientError(
        f"the environment's proxy or certificates cannot be used: {variable}={path}: {reason}"
    )


def _stamp(name: str | None) -> _Stamp | None:
    """What changes when a file does."""
    try:
        state = Path(name).stat() if name is not None else None
    except (OSError, ValueError):
        return None
    return (state.st_mtime_ns, state.st_size) if state else None


def _reason(error: Exception) -> str:
    """What is wrong with a file, without its content."""
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        if error.reason in ("BAD_DECRYPT", "BAD_PASSWORD_READ"):
            return "the key is encrypted: give one that is not"
        return f"holds no certificate or key in PEM ({error.reason or 'unreadable'})"
    return f"cannot be read: {getattr(error, 'strerror', None) or type(error).__name__}"
