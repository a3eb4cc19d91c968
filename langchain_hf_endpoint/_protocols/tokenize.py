"""How a server's tokenizer cuts texts: TEI's ``POST /tokenize``.

Source: https://github.com/huggingface/text-embeddings-inference (router/src/http/server.rs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hf_endpoint._protocols.base import post
from langchain_hf_endpoint._protocols.server_info import beside, told_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._messages import Reply, Request
    from langchain_hf_endpoint._protocols.vectors import JSON


_MOST_TOKENS = 4096
"""Of one text on average; a longer one is measured in chunks."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text.

    Attributes:
        marks: How many the model puts around every text, such as ``[CLS]`` and ``[SEP]``.
        ends: Where each token of the text itself ends, in bytes of UTF-8. None where the server
            does not say.
    """

    marks: int
    ends: Sequence[int | None]

    @property
    def count(self) -> int:
        """How many of the model's window they take."""
        return self.marks + len(self.ends)


def tokenize_request(url: str, texts: Sequence[str], prompt_name: str | None) -> Request | None:
    """Ask the server behind an embeddings URL for tokens; None where nobody would answer.

    Raises:
        InputError: A text holds a lone surrogate; its index is that in `texts`.
    """
    route = beside(url, "/tokenize")
    if route is None:
        return None
    fields: dict[str, object] = {"inputs": list(texts), "add_special_tokens": True}
    if prompt_name is not None:
        fields["prompt_name"] = prompt_name
    return post(route, fields, texts)


def read_tokens(reply: Reply, count: int) -> list[Tokens] | None:
    """Read the answer; None where it is not one of TEI's for so many texts."""
    told = told_by(reply, count * _MOST_TOKENS)
    if not isinstance(told, list) or len(told) != count:
        return None
    texts = [_tokens(text) for text in told]
    read = [text for text in texts if text is not None]
    return read if len(read) == count else None


def _tokens(told: JSON) -> Tokens | None:
    if not isinstance(told, list):
        return None
    marks, ends = 0, []
    for token in told:
        if not isinstance(token, dict) or "special" not in token:
            return None
        if token["special"]:
            marks += 1
        else:
            end = token.get("stop")
            ends.append(end if type(end) is int and end >= 0 else None)
    return Tokens(marks, ends)
