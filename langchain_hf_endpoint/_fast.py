"""Requests over aiohttp, for tasks: what the extra ``[fast]`` is for.

It knows what `_transport` knows, of another library, and behaves alike in all that can be seen: the
environment's proxies, certificates, time-outs, redirects, sizes and words. It must not know httpx.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from langchain_hf_endpoint._mishaps import (
    LARGEST_REPLY,
    NoClientError,
    broken_encoding,
    mishap,
    not_connected,
    timed_out,
    too_much,
    unusable_url,
)
from langchain_hf_endpoint._tls import tls_context
from langchain_hf_endpoint._urls import is_loopback
from langchain_hf_endpoint._version import __version__
from langchain_hf_endpoint._wire import Failure, Reply

if TYPE_CHECKING:
    from pydantic import SecretStr

    from langchain_hf_endpoint._wire import Request
    from langchain_hf_endpoint.tls_settings import TlsSettings

_KEPT_ALIVE_SECONDS = 30.0
_PIECE = 1 << 20
_USER_AGENT = f"langchain-hf-endpoint/{__version__} aiohttp/{aiohttp.__version__}"


class AiohttpTransport:
    """Sends from the tasks of one event loop.

    Args:
        url: Where all requests go.
        key: For the Authorization header.
        tls: Certificates.

    Raises:
        SettingsError: A file of `tls` cannot be used.
    """

    def __init__(self, url: str, key: SecretStr | None, tls: TlsSettings | None) -> None:
        if tls is not None:
            tls_context(tls)
        self._proxy = _proxy_to(url)
        self._key = key
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, timeout: float) -> Reply | Failure:
        """Send one request and read the whole reply within `timeout` seconds."""
        try:
            async with self._open().request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=self._headers(request),
                proxy=self._proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=timeout),
            ) as response:
                if (response.content_length or 0) > LARGEST_REPLY:
                    return too_much()
                body = await _body(response)
                if body is None:
                    return too_much()
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, headers, body)
        except (aiohttp.ClientError, OSError, ValueError, NoClientError) as error:
            return _failure(error, timeout)
        except BaseException as error:  # noqa: BLE001 - raised again
            # A cancellation. The frames below, which hold the key, are not shown.
            raise error.with_traceback(None) from None

    def _headers(self, request: Request) -> dict[str, str]:
        key = self._key
        authorization = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        return {**request.headers, **authorization}

    def _open(self) -> aiohttp.ClientSession:
        """The session; made on the loop, with the first request."""
        if self._session is None:
            try:
                connector = aiohttp.TCPConnector(
                    ssl=tls_context(self._tls), limit=0, keepalive_timeout=_KEPT_ALIVE_SECONDS
                )
            except OSError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": _USER_AGENT},
                )
                return self._session
            raise NoClientError(f"the environment's certificates cannot be used: {reason}")
        return self._session

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def _proxy_to(url: str) -> str | None:
    """The environment's proxy. Not asked of aiohttp, which would look for keys in .netrc too."""
    parts = urlsplit(url)
    if is_loopback(url) or proxy_bypass(parts.netloc):
        return None  # a proxy is for other machines; what is meant for this one does not leave it
    proxies = getproxies()
    proxy = proxies.get(parts.scheme.lower()) or proxies.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


async def _body(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None where it is too large to be one of vectors."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_PIECE):
        parts.append(part)
        size += len(part)
        if size > LARGEST_REPLY:
            return None
    return b"".join(parts)


def _failure(error: Exception, timeout: float) -> Failure:
    """Say what went wrong on the way, and whether another try may help."""
    if isinstance(error, aiohttp.ContentTypeError):
        return broken_encoding()
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return unusable_url()
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return not_connected(timeout)
    if isinstance(error, (asyncio.TimeoutError, TimeoutError)):
        return timed_out(timeout)
    connected = not isinstance(
        error, (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError)
    )
    return mishap(error, connected=connected)
