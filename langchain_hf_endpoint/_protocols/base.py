"""Define what every dialect does, build requests and parse JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import SplitResult, urlsplit

import orjson

from langchain_hf_endpoint._messages import Request
from langchain_hf_endpoint.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint._messages import Failure, Form, InputOptions, Response, Vectors

JSON: TypeAlias = Any
"""Whatever ``orjson.loads`` returns."""

_MOST_VALUES = 100_000
_MARKS_OF_A_TEXT = 100
"""Brackets and quotes of the answer for one text; OpenAI's has 12."""

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

    def encode(self, url: str, inputs: Sequence[bytes], options: InputOptions) -> Request:
        """Build the request for these inputs, to be posted to the URL as it is given.

        Args:
            url: Where to.
            inputs: Strings as JSON, in UTF-8 without escapes.
            options: What is asked for.
        """

    def decode(self, response: Response, count: int, form: Form = "lists") -> Vectors | Failure:
        """Turn any response to ``count`` inputs into that many vectors, or say why not.

        They may come in either form, whichever is wanted. Never raises, whatever the status and
        the body are.
        """

    def answers(self, response: Response) -> str | None:
        """Name the shape of what may be the answer of such a server: ``list`` or ``object``."""

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:
        """Name the options that this dialect cannot carry: ``(task_settings field, why)``."""


def as_json(texts: Sequence[str]) -> list[bytes]:
    """Encode each text, in UTF-8 without escapes.

    Raises:
        InputError: A text holds half of a surrogate pair, which UTF-8 cannot carry.
    """
    encoded = []
    for index, text in enumerate(texts):
        try:
            encoded.append(orjson.dumps(text))
        except orjson.JSONEncodeError:
            problem = "it holds a lone surrogate, which UTF-8 cannot carry"
            raise InputError(problem, index=index) from None
    return encoded


def post(url: str, field: str, inputs: Sequence[bytes], others: Mapping[str, object]) -> Request:
    """Make the request that posts strings, each as JSON already, and at least one other field."""
    body = b'{"%b":[%b],%b' % (field.encode(), b",".join(inputs), orjson.dumps(others)[1:])
    return Request("POST", url, body, _SENDING)


def post_object(url: str, fields: Mapping[str, object]) -> Request:
    """Make the request that posts a JSON object.

    Raises:
        JSONEncodeError: It holds a lone surrogate.
    """
    return Request("POST", url, orjson.dumps(fields), _SENDING)


def get(url: str) -> Request:
    """Make the request that asks for a JSON document."""
    return Request("GET", url, b"", _ASKING)


def split_url(url: str) -> SplitResult | None:
    """Split a URL, or return None where it is none, as a server's ``Location`` may be."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def parsed(body: bytes, count: int = 0) -> JSON:
    """Parse a body, unless it holds more values than the answer for so many texts.

    To make an object or a text of JSON takes a microsecond and 60 bytes: 60 MB of ``[],`` took 17
    seconds and 2 GB, for vectors of a few texts.

    Raises:
        JSONDecodeError: It is no JSON, or holds too much.
    """
    if len(body) > _MOST_VALUES and is_bloated(body, count):
        raise orjson.JSONDecodeError("more objects, lists and texts than any answer has", "", 0)
    return orjson.loads(body)


def is_bloated(body: bytes, count: int = 0) -> bool:
    """Whether it has more objects, lists and texts than the answer for so many texts."""
    marks = sum(body.count(mark) for mark in (b"[", b"{", b'"'))
    return marks > _MOST_VALUES + _MARKS_OF_A_TEXT * count


def json_of(response: Response, count: int = 0) -> JSON:
    """The JSON of a success; None where it is none, or far too much for so many texts or tokens."""
    try:
        return parsed(response.body, count) if response.status == 200 else None  # noqa: PLR2004
    except orjson.JSONDecodeError:
        return None


def positive_integer(value: JSON) -> int | None:
    """The value if it is one, None for anything else."""
    return value if type(value) is int and value > 0 else None
