"""Ask a server for tokens: ``POST /tokenize`` of TEI, of llama.cpp's server and of vLLM.

https://github.com/huggingface/text-embeddings-inference (router/src/http/server.rs, ``tokenize``),
https://github.com/ggml-org/llama.cpp/tree/master/tools/server#post-tokenize-tokenize-a-given-text,
https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from langchain_hf_endpoint._protocols.base import as_json, json_of, post, post_object
from langchain_hf_endpoint._protocols.server_info import beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from langchain_hf_endpoint._messages import Request, Response
    from langchain_hf_endpoint._protocols.base import JSON

_MOST_TOKENS = 4096
"""Of one text on average; a longer one is measured in chunks."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text."""

    marks: int  # how many the model puts around every text, such as ``[CLS]`` and ``[SEP]``
    # Where each token of the text itself ends, in bytes of UTF-8. None where the server does not
    # say.
    ends: Sequence[int | None]

    @property
    def count(self) -> int:
        """How many of the model's window they take."""
        return self.marks + len(self.ends)


def tokenize_request(url: str, texts: Sequence[str], prompt_name: str | None) -> Request | None:
    """Ask the server behind an embeddings URL for tokens; None where it has none.

    Raises:
        InputError: A text holds a lone surrogate; its index is that in `texts`.
    """
    route = beside(url, "/tokenize")
    if route is None:
        return None
    fields: dict[str, object] = {"add_special_tokens": True}
    if prompt_name is not None:
        fields["prompt_name"] = prompt_name
    return post(route, "inputs", as_json(texts), fields)


def tokens_told(response: Response, count: int) -> list[JSON] | None:
    """The answer as it is, a list for each text; None where it is not one of TEI's."""
    told = json_of(response, count * _MOST_TOKENS)
    return told if isinstance(told, list) and all(map(_tokens, told)) else None


def read_tokens(response: Response, count: int) -> list[Tokens] | None:
    """Read the answer; None where it is not one of TEI's for so many texts."""
    told = json_of(response, count * _MOST_TOKENS)
    if not isinstance(told, list) or len(told) != count:
        return None
    read = [tokens for text in told if (tokens := _tokens(text)) is not None]
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


_MOST_CHARACTERS = 190_000  # of a request, markers included: the answer has some 60 bytes for each
_LONGEST_INPUT = 6000  # of TEI's, which takes 250 for each token that its model reads
# Stands before each word, so that its tokens are told by their repeating.
_MARKER = " zq7kx"
_LONGEST_MARKER, _MOST_MARKS = 12, 3


def words_request(
    kind: str, url: str, words: Sequence[str], model: str | None = None
) -> Request | None:
    """Ask for the tokens of words, each as it stands behind a blank; None where it cannot be.

    Args:
        kind: The server: ``tei``, ``llamacpp``, ``vllm``.
        url: Where it takes inputs.
        words: Of one batch. They may begin with blanks, and hold some.
        model: The name that it is asked for by.
    """
    if kind == "tei":
        return tokenize_request(url, [*map(_marked, batches_of_words(words, 1))], None)
    route = beside(url, "/tokenize")
    if route is None:
        return None
    if kind == "llamacpp":
        return post_object(route, {"content": _marked(words), "add_special": True})
    fields = {"prompt": _marked(words), "add_special_tokens": True}
    return post_object(route, fields if model is None else {**fields, "model": model})


def read_words(kind: str, response: Response, words: Sequence[str]) -> tuple[int, list[int]] | None:
    """How many tokens the model puts around a text, and how many each of these words has.

    None where it is no answer for these words.
    """
    told = json_of(response, sum(map(len, words)) + len(_MARKER) * len(words))
    try:
        if kind == "tei":
            ids = [[token["id"] for token in text] for text in told]
            sizes = map(len, batches_of_words(words, 1))
            read = [_between_markers(*one) for one in zip(ids, sizes, strict=True)]
        else:
            read = [_between_markers(told["tokens"], len(words))]
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    found = [one for one in read if one is not None]
    if len(found) < len(read) or not found:
        return None
    return found[0][0], [count for _, counts in found for count in counts]


def batches_of_words(words: Sequence[str], most_inputs: int) -> Iterator[Sequence[str]]:
    """Words in the order they came in, as many together as so many inputs hold for sure."""
    most = min(_MOST_CHARACTERS, max(1, most_inputs * 9 // 10) * _LONGEST_INPUT)
    first = held = 0
    for index, word in enumerate(words):
        size = len(word) + len(_MARKER) + 1
        if held and held + size > most:
            yield words[first:index]
            first, held = index, 0
        held += size
    if held:
        yield words[first:]


def _marked(words: Sequence[str]) -> str:
    behind_blanks = (word if word[:1].isspace() else f" {word}" for word in words)
    text = _MARKER + "".join(_MARKER + word for word in behind_blanks) + _MARKER
    return text.encode(errors="replace").decode()  # half of a surrogate pair cannot be sent


def _between_markers(ids: Iterable[int], count: int) -> tuple[int, list[int]] | None:
    """How many tokens stand around and between the markers, of which two are at the beginning."""
    text = "".join(map(chr, ids))  # a character for each: what repeats is found as in a text
    for first, size in product(range(_MOST_MARKS), range(1, _LONGEST_MARKER)):
        marker = text[first : first + size]
        before, *parts = text.split(marker) if marker else [""]
        if len(parts) == count + 2 and len(before) == first and not parts[0]:
            *between, after = map(len, parts[1:])
            if after < _MOST_MARKS:
                return first + after, between
    return None
