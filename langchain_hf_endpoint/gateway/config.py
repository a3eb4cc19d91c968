"""What the operator of a gateway decides, and the defaults.

It knows names and numbers. It must not import anything of the extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import SecretStr

HUGGING_FACE_URLS = (
    "https://*.endpoints.huggingface.cloud",
    "https://*.huggingface.co",
    "https://*.hf.space",
)
"""Hugging Face's hosts: endpoints may be created there over HTTP, wherever the gateway listens."""
LOOPBACK_URLS = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_ALLOWED_URLS = (*HUGGING_FACE_URLS, *LOOPBACK_URLS)
"""Where only this machine is answered: this machine as well."""


def default_allowed_urls(*, only_this_machine: bool) -> tuple[str, ...]:
    """To which hosts endpoints may be created over HTTP, if the operator says nothing.

    Whoever calls from another machine must not reach through the gateway what listens on loopback.
    """
    return DEFAULT_ALLOWED_URLS if only_this_machine else HUGGING_FACE_URLS


@dataclass(frozen=True, slots=True)
class Options:
    """The operator's decisions; see `create_app`."""

    max_queue: int = 2000
    environment_keys: bool = False
    max_inputs: int = 2048
    max_body_bytes: int = 20_000_000
    max_waiting_bytes: int = 200_000_000
    request_seconds: float = 60.0
    redis_url: SecretStr | None = None
    replicas: int | None = None
