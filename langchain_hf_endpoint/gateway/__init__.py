"""A web server over a registry of endpoints: Elastic's, OpenAI's, TEI's and Cohere's APIs.

::

    from langchain_hf_endpoint import InferenceEndpoints
    from langchain_hf_endpoint.gateway import create_app, serve

    serve(InferenceEndpoints("endpoints.db"))       # on http://127.0.0.1:9200
    app = create_app(InferenceEndpoints())          # an ASGI application, for a server of yours

All callers, of whichever language, share one limiter, one pool and one window per endpoint, and
their small requests are merged into full batches.

`pip install "langchain-hf-endpoint[gateway]"` brings starlette, uvicorn and prometheus-client. They
are loaded when one of these functions is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._package import lazy_names
from langchain_hf_endpoint.errors import MissingExtraError
from langchain_hf_endpoint.gateway.config import DEFAULT_ALLOWED_URLS, default_allowed_urls

if TYPE_CHECKING:
    from langchain_hf_endpoint.gateway.app import create_app
    from langchain_hf_endpoint.gateway.server import serve

__all__ = [
    "DEFAULT_ALLOWED_URLS",
    "MissingExtraError",
    "create_app",
    "default_allowed_urls",
    "serve",
]

__getattr__ = lazy_names(
    __name__, {"create_app": "app", "serve": "server"}, what="The gateway", extra="gateway"
)


def __dir__() -> list[str]:
    return __all__
