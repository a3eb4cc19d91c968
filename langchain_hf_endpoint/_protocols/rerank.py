"""Ask for the scores of texts against a query: TEI's ``/rerank``, and the shape that others share.

- TEI (router/src/http): ``{"query", "texts"}`` in, ``[{"index", "score"}]`` out.
- Cohere's shape, which Jina, infinity, vLLM, llama.cpp and Elastic's `hugging_face` service have:
  ``{"query", "documents"}`` in, and out ``{"results": [{"index", "relevance_score"}]}`` or a list;
  of hf-serve, at the URL itself, ``{"scores": [{"index", "score"}]}``.

A score is handed on as a vector of one number, so that whatever is done with vectors is done with
scores.
"""

from __future__ import annotations

from math import isfinite, nan
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols.base import JSON, parsed, post
from langchain_hf_endpoint._protocols.errors import explain, shortened
from langchain_hf_endpoint._protocols.openai import DEFAULT_MODEL
from langchain_hf_endpoint._protocols.parsing import SUCCESSES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint._messages import Form, InputOptions, Request, Response, Vectors
    from langchain_hf_endpoint._protocols.base import Dialect

_SCORES = ("score", "relevance_score")
_LISTS = ("results", "data", "scores")


class _Scores:
    """What is common to both: the scores are found in either answer, whoever was asked."""

    def decode(self, response: Response, count: int, form: Form = "lists") -> Vectors | Failure:  # noqa: ARG002 - one number has one form
        """Read the response. See ``Dialect.decode``."""
        if response.status not in SUCCESSES:
            return explain(response)
        try:
            scores = _scores_of(_items(parsed(response.body, count)), count)
        except orjson.JSONDecodeError as error:
            scores = f"not JSON ({shortened(str(error), 120)})"
        if isinstance(scores, str):
            return Failure(Cause.PROTOCOL, scores, response.status)
        return [[score] for score in scores]

    def answers(self, response: Response) -> str | None:
        """Name the shape of what may be scores. See ``Dialect.answers``."""
        if response.status not in SUCCESSES:
            return None
        try:
            answer = parsed(response.body)
        except orjson.JSONDecodeError:
            return None
        items = _items(answer)
        first = items[0] if items else None
        if isinstance(first, dict) and any(name in first for name in _SCORES):
            return "list" if isinstance(answer, list) else "object"
        return None

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:
        """Name what no reranker's protocol has a field for."""
        why = "is of embeddings: scores have none"
        given = {"prompt_name": options.prompt_name, "dimensions": options.dimensions}
        return [(field, why) for field, value in given.items() if value is not None]


class TextsRerank(_Scores):
    """TEI's own route. Scores are between 0 and 1."""

    name = "tei"

    def encode(self, url: str, inputs: Sequence[bytes], options: InputOptions) -> Request:
        """Build the request. See ``Dialect.encode``."""
        fields = {
            "query": _query(options),
            "truncate": options.truncate,
            "raw_scores": False,
            "return_text": False,
        }
        return post(url, "texts", inputs, fields)


class DocumentsRerank(_Scores):
    """Cohere's shape. Whether scores are between 0 and 1 is left to the server."""

    def __init__(self, name: str) -> None:
        self.name = name

    def encode(self, url: str, inputs: Sequence[bytes], options: InputOptions) -> Request:
        """Build the request. See ``Dialect.encode``."""
        fields = {
            "query": _query(options),
            "model": DEFAULT_MODEL if options.model is None else options.model,
            "return_documents": False,
        }
        return post(url, "documents", inputs, fields)


def _query(options: InputOptions) -> orjson.Fragment:
    return orjson.Fragment(options.query or b'""')


def _items(answer: JSON) -> list[JSON]:
    if isinstance(answer, dict):
        answer = next((answer[name] for name in _LISTS if name in answer), None)
    return answer if isinstance(answer, list) else []


def _scores_of(items: list[JSON], count: int) -> list[float] | str:
    """The scores in the order of the inputs, or what is wrong with them."""
    if len(items) != count:
        return f"{len(items)} scores for {count} texts"
    scores: dict[int, float] = {}
    for position, item in enumerate(items):
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < count or index in scores:
            return f"item {position} of the scores has no index of its own below {count}"
        score: JSON = next((item[name] for name in _SCORES if name in item), None)
        value = float(score) if type(score) in (int, float) else nan
        if not isfinite(value):
            return f"item {position} of the scores has no number for a score"
        scores[index] = value
    return [scores[index] for index in range(count)]


TEXTS_RERANK: Dialect = TextsRerank()
DOCUMENTS_RERANK: Dialect = DocumentsRerank("openai")

RERANK_DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "tei": TEXTS_RERANK,
        "hugging_face": DocumentsRerank("hugging_face"),  # as Elastic asks its service of that name
        "openai": DOCUMENTS_RERANK,
    }
)
"""The way to ask for scores under each name of the setting ``dialect``."""
