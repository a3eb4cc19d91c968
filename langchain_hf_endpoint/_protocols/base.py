"""What every dialect is, and the request that all of them build.

It knows the headers and the JSON encoding. It must not know any field of any server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from urllib.parse import SplitResult, urlsplit

import orjson

from langchain_hf_endpoint._messages import Request
from langchain_hf_endpoint.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint._messages import Failure, Form, InputOptions, Response, Vectors

_ASKING = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""No compression: TEI has none, and a proxy's would cost more than it saves on random digits."""

_SENDING = {**_ASKING, "Content-Type": "application/json"}
"""The inference toolkit compares the content type as a string: nothing may follow it.
https://github.com/huggingface/huggingface-inference-toolkit"""


class Dialect(Protocol):
    """One way of asking for embeddings and of answering. Stateless; all methods are pure."""

    @property
    def name(self) -> str:
        """The name that the setting ``dialect`` has for it."""

    def encode(self, url: str, inputs: Sequence[str], options: InputOptions) -> Request:
        """Build the request for these inputs, to be posted to the URL as it is given.

        Raises:
            InputError: An input holds a lone surrogate; its index is that in ``inputs``.
        """

    def decode(self, reply: Response, count: int, form: Form = "lists") -> Vectors | Failure:
        """Turn any reply to a request of ``count`` inputs into that many vectors, or say why not.

        They may come in either form, whichever is wanted. Never raises, whatever the status and
        the body are.
        """

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:
        """Name the options that this dialect cannot carry: ``(task_settings field, why)``."""


def post(url: str, fields: Mapping[str, object], inputs: Sequence[str]) -> Request:
    """Make the request that posts these fields as JSON, in UTF-8 without escapes."""
    try:
        body = orjson.dumps(fields)
    except orjson.JSONEncodeError:
        _refuse_surrogates(inputs)
        raise
    return Request("POST", url, body, _SENDING)


def get(url: str) -> Request:
    """Make the request that asks for a JSON document."""
    return Request("GET", url, b"", _ASKING)


def split_url(url: str) -> SplitResult | None:
    """Split a URL, or return None where it is none, as a server's ``Location`` may be."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _refuse_surrogates(inputs: Sequence[str]) -> None:
    """Raise for the first input that UTF-8 cannot carry, as half an emoji cannot be."""
    for index, text in enumerate(inputs):
        if any("\ud800" <= char <= "\udfff" for char in text):
            problem = "it holds a lone surrogate, which UTF-8 cannot carry"
            raise InputError(problem, index=index)
