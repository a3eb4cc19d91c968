"""What the operator of a gateway decides, its defaults, and the limit that replicas share."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint._urls import is_hugging_face
from langchain_hf_endpoint.endpoint import INFERENCE_ID
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.redis import RedisRequestsPerMinuteLimiter

HUGGING_FACE_URLS = (
    "https://*.endpoints.huggingface.cloud",
    "https://*.huggingface.co",
    "https://*.hf.space",
)
"""Hugging Face's hosts: endpoints may be created there over HTTP, wherever the gateway listens."""
_NAMES_FILES = (
    "names files of the gateway's own machine, which no caller may: "
    "its operator puts such an endpoint into the registry (hf-endpoint put)"
)
LOOPBACK_URLS = ("localhost", "127.0.0.1", "[::1]")
DEFAULT_ALLOWED_URLS = (*HUGGING_FACE_URLS, *LOOPBACK_URLS)
"""Where only this machine is answered: this machine as well."""


def default_allowed_urls(*, only_this_machine: bool) -> tuple[str, ...]:
    """To which hosts endpoints may be created over HTTP, if the operator says nothing.

    Whoever calls from another machine must not reach through the gateway what listens on loopback.
    """
    return DEFAULT_ALLOWED_URLS if only_this_machine else HUGGING_FACE_URLS


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """The operator's decisions; see `create_app`.

    Raises:
        SettingsError: A number, the id, or the Redis, cannot be used.
        MissingExtraError: redis-py is not installed.
    """

    max_queue: int
    environment_keys: bool
    allow_key_rotation: bool
    max_inputs: int
    max_body_bytes: int
    max_waiting_bytes: int
    request_seconds: float
    tei_at_root: str | None
    redis_url: SecretStr | None
    replicas: int | None

    def __post_init__(self) -> None:
        check_least(
            ("max_queue", self.max_queue, 1),
            ("max_inputs", self.max_inputs, 1),
            ("max_body_bytes", self.max_body_bytes, 1),
            ("max_waiting_bytes", self.max_waiting_bytes, self.max_body_bytes),
            ("request_seconds", self.request_seconds, 1),
        )
        if self.tei_at_root is not None and not re.fullmatch(INFERENCE_ID, self.tei_at_root):
            raise SettingsError(("tei_at_root", f"{self.tei_at_root!r} can be no endpoint's id"))
        if self.redis_url is not None:
            self._redis_limiter("gateway", 3000)

    def shared_limiter(self, endpoint: InferenceEndpoint) -> RedisRequestsPerMinuteLimiter | None:
        """The limiter of this endpoint for all replicas; None where each counts for itself.

        Endpoints of the same URL, key and limit share one, under whatever ids replicas know them.
        One of another limit does not: whoever creates it must not slow the others.
        """
        if self.redis_url is None:
            return None
        service = endpoint.service_settings
        key = service.find_key()
        rate = service.rate_limit.requests_per_minute
        # Hashed, since the names of keys in Redis are no secret. No URL and no key holds a NUL: two
        # different endpoints cannot look alike.
        identity = f"{service.url}\0{key.get_secret_value() if key else ''}\0{rate}"
        return self._redis_limiter(
            f"gateway:{hashlib.sha256(identity.encode()).hexdigest()[:32]}", rate
        )

    def _redis_limiter(self, key: str, rate: int) -> RedisRequestsPerMinuteLimiter:
        from langchain_hf_endpoint.redis import RedisRequestsPerMinuteLimiter  # noqa: PLC0415 - extra

        return RedisRequestsPerMinuteLimiter(
            rate,
            url=self.redis_url,
            key=key,
            on_failure="raise" if self.replicas is None else "local",
            expected_workers=self.replicas,
        )


def check_least(*numbers: tuple[str, float, float]) -> None:
    """Refuse options that are less than their least; each is a name, a value and that."""
    problems = [
        (name, f"must be {least} or more, not {value}")
        for name, value, least in numbers
        if value < least
    ]
    if problems:
        raise SettingsError(*problems)


def check_config(config: dict[str, Any], options: GatewayOptions) -> None:
    """Refuse what a caller from outside may not ask for, though the program's owner may."""
    service, chunking = config.get("service_settings"), config.get("chunking_settings")
    if isinstance(chunking, dict) and chunking.get("tokenizer") is not None:
        raise SettingsError(("chunking_settings.tokenizer", _NAMES_FILES))
    if not isinstance(service, dict):
        return
    url, is_free = service.get("url"), options.environment_keys
    if service.get("tls") is not None:
        raise _not_taken("tls", _NAMES_FILES)
    if not is_free and "api_key_env" in service:
        raise _not_taken(
            "api_key_env",
            "this gateway gives no caller a key of its environment "
            "(its operator can allow it, --environment-keys)",
        )
    # The registry would fall back on HF_TOKEN, the operator's own.
    if not is_free and service.get("api_key") is None and isinstance(url, str) and _is_hf(url):
        raise _not_taken("api_key", "is required for a host of Hugging Face")


def _not_taken(field: str, problem: str) -> SettingsError:
    return SettingsError((f"service_settings.{field}", problem))


def _is_hf(url: str) -> bool:
    try:
        return is_hugging_face(url)
    except ValueError:
        return False
