"""What the operator of a gateway decides, and the defaults.

It knows names and numbers. It must not import anything of the extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

DEFAULT_ALLOWED_URLS = (
    "https://*.endpoints.huggingface.cloud",
    "https://*.huggingface.co",
    "https://*.hf.space",
    "localhost",
    "127.0.0.1",
    "[::1]",
)
"""To which hosts endpoints may be created over HTTP: Hugging Face's, and this machine."""


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's decisions; see `create_app`."""

    max_queue: int = 2000
    allow_urls: Sequence[str] = DEFAULT_ALLOWED_URLS
    environment_keys: bool = False
    max_inputs: int = 2048
    max_body_bytes: int = 20_000_000
    redis_url: SecretStr | None = None
    replicas: int | None = None
