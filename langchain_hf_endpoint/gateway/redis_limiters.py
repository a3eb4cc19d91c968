"""One limit for all replicas of a gateway, in a Redis.

It knows what two replicas must agree on without talking to each other. It must not know any route.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from langchain_hf_endpoint.redis import RedisRequestsPerMinuteLimiter

if TYPE_CHECKING:
    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.gateway.config import Options


def shared_limiter(
    endpoint: InferenceEndpoint, options: Options
) -> RedisRequestsPerMinuteLimiter | None:
    """The limiter of this endpoint; None where each replica counts for itself.

    Endpoints of the same URL, key and limit share one, under whatever ids replicas know them. One
    of another limit does not: whoever creates it must not slow the others.
    """
    if options.redis_url is None:
        return None
    service = endpoint.service_settings
    key = service.find_key()
    rate = service.rate_limit.requests_per_minute
    identity = f"{service.url}\0{key.get_secret_value() if key else ''}\0{rate}"
    return RedisRequestsPerMinuteLimiter(
        rate,
        url=options.redis_url,
        key=f"gateway:{hashlib.sha256(identity.encode()).hexdigest()[:32]}",
        on_failure="raise" if options.replicas is None else "local",
        expected_workers=options.replicas,
    )


def check_sharing(options: Options) -> None:
    """Refuse what no limiter could be made with, before the first request.

    Raises:
        SettingsError: The URL or the number of replicas cannot be used.
        MissingExtraError: redis-py is not installed.
    """
    if options.redis_url is not None:
        RedisRequestsPerMinuteLimiter(
            url=options.redis_url, key="gateway", expected_workers=options.replicas
        )
