"""An HTTP reply as a plain value, and the paths of OpenAI's protocol.

It knows the shape of a reply. It must not know what is in one, nor how it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OPENAI_PATHS = ("/v1/embeddings", "/embeddings")
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"


@dataclass(slots=True)
class Reply:
    """A complete answer.

    Attributes:
        status: The HTTP status.
        body: What follows the head.
        content_type: The header of that name; not sent where the body is empty.
        headers: Further headers.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
