"""A web server over a registry of endpoints: Elastic's inference API and OpenAI's embeddings API.

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

import importlib
from typing import TYPE_CHECKING

from .options import DEFAULT_ALLOWED_URLS, MissingExtraError

if TYPE_CHECKING:
    from .app import create_app
    from .serving import serve

__all__ = ["DEFAULT_ALLOWED_URLS", "MissingExtraError", "create_app", "serve"]

_ROOMS = {"create_app": "app", "serve": "serving"}


def __getattr__(name: str) -> object:
    """Load what needs the extra when it is first used.

    Raises:
        MissingExtraError: A package of the extra is not installed.
    """
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{room}"), name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"The gateway needs a package that is not here: {error.name}",
            advice='Install it with pip install "langchain-hf-endpoint[gateway]".',
        ) from error


def __dir__() -> list[str]:
    return __all__
