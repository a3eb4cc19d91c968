"""Make the right answer to a request: TEI's routes, or those of the servers that say `embeddings`.

A token of this server is a run between spaces; [CLS] and [SEP] come on top, as with BERT.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import orjson

from langchain_hf_endpoint._protocols import tei_server
from langchain_hf_endpoint._protocols.tei_server import (
    EMBED_PATHS,
    HEALTH_PATHS,
    OPENAI_PATHS,
    RERANKER,
    TeiServer,
)
from langchain_hf_endpoint.testing.messages import Reply
from langchain_hf_endpoint.testing.vectors import base64_row, expected_score, json_row

if TYPE_CHECKING:
    from langchain_hf_endpoint._protocols.tei_server import EmbedRequest, Input

_EVERY_EMBED_PATH = (*EMBED_PATHS, "/predict")
_PERMITS_ARE_WAITED_FOR_BEFORE = (1, 9)


@dataclass(frozen=True, kw_only=True)
class Traits(TeiServer):
    """What kind of server an endpoint is; see `ScriptedEndpoint`."""

    shape: Literal["tei", "embeddings", "reranker", "cohere"] = "tei"
    api_key: str | None = None
    rejects: str = ""
    seconds_per_request: float = 0.0
    seconds_per_text: float = 0.0

    @property
    def waits_for_permits(self) -> bool:
        """Whether a request that finds too few permits waits for them, as up to TEI 1.8.

        https://github.com/huggingface/text-embeddings-inference/pull/726
        """
        return self.release < _PERMITS_ARE_WAITED_FOR_BEFORE

    def service_seconds(self, texts: int) -> float:
        """How long a request of so many texts takes."""
        return self.seconds_per_request + self.seconds_per_text * texts

    @property
    def rerank_paths(self) -> tuple[str, ...]:
        """Where a reranker is asked: TEI's own, or one in Cohere's shape."""
        return {"reranker": ("/rerank",), "cohere": ("/v1/rerank", "/v2/rerank")}.get(
            self.shape, ()
        )

    @property
    def embed_paths(self) -> tuple[str, ...]:
        """Servers that say ``embeddings`` have no ``/embed``, and rerankers no such path at all."""
        if self.rerank_paths:
            return ()
        if self.shape == "tei":
            return _EVERY_EMBED_PATH
        return tuple(path for path in _EVERY_EMBED_PATH if path != "/embed")


def texts_of(content: dict[str, Any]) -> tuple[str, ...]:
    """What a request asks to embed, whatever else is wrong with it."""
    names = ("inputs", "input", "texts", "documents")
    inputs = next((content[name] for name in names if name in content), ())
    if isinstance(inputs, str):
        return (inputs,)
    if not isinstance(inputs, list):
        return ()
    if all(type(each) is int for each in inputs):
        return (_text_of(inputs),) if inputs else ()
    return tuple(_text_of(each) for each in inputs if isinstance(each, (str, list)))


def _text_of(given: Input) -> str:
    """An input as text; the ids of tokens, which are any model's, stand for their numbers."""
    return given if isinstance(given, str) else " ".join(map(str, given))


def answer_to_get(path: str, traits: Traits) -> Reply:
    """Health and ``/info``."""
    if path in HEALTH_PATHS:
        return Reply(200)
    if path == "/info" and traits.shape == "tei":
        return Reply(200, orjson.dumps(traits.info()))
    if path == "/info" and traits.shape == "reranker":
        return Reply(200, orjson.dumps(traits.info(model_type=RERANKER)))
    return Reply(405 if path in (*traits.embed_paths, *traits.rerank_paths) else 404)


def tokens_reply(content: dict[str, Any], traits: Traits) -> Reply:
    """The answer of ``/tokenize``.

    Raises:
        RefusedError: In TEI's words.
    """
    inputs = tei_server.inputs_of(content, "inputs", traits)
    special = tei_server.adds_special_tokens(content)
    return Reply(200, orjson.dumps([_tokens(_text_of(each), special=special) for each in inputs]))


def _tokens(text: str, *, special: bool) -> list[dict[str, object]]:
    tokens: list[dict[str, object]] = []
    start = 0
    for word in text.split(" "):
        stop = start + len(word.encode())
        place = {"start": start, "stop": stop}
        tokens.append(
            {
                "id": 1000 + zlib.crc32(word.encode()) % 29_000,
                "text": word,
                "special": False,
                **place,
            }
        )
        start = stop + 1
    if special:
        ends = {"special": True, "start": None, "stop": None}
        tokens.insert(0, {"id": 101, "text": "[CLS]", **ends})
        tokens.append({"id": 102, "text": "[SEP]", **ends})
    return tokens


def texts_to_embed(request: EmbedRequest, traits: Traits) -> list[str]:
    """The texts whose vectors are answered: with the prompt before them, cut.

    Raises:
        RefusedError: One is rejected, or too long and not to be cut.
    """
    texts = [request.prompt + _text_of(each) for each in request.inputs]
    if traits.rejects and any(traits.rejects in text for text in texts):
        raise tei_server.tokenizer_error()
    return [_cut(text, request, traits) for text in texts]


def _cut(text: str, request: EmbedRequest, traits: Traits) -> str:
    characters = traits.max_input_characters
    if len(text) > characters:
        if not request.truncate:
            raise tei_server.too_long(traits.release, len(text), characters, "characters")
        text = text[-characters:] if request.keep_end else text[:characters]
    most = traits.max_input_length
    if _count(text) <= most:
        return text
    if not request.truncate:
        raise tei_server.too_long(traits.release, _count(text), most)
    words = text.split(" ")
    return " ".join(words[-(most - 2) :] if request.keep_end else words[: most - 2])


def _count(text: str) -> int:
    """Tokens, [CLS] and [SEP] included."""
    return text.count(" ") + 3


def scores(content: dict[str, Any], traits: Traits) -> Reply:
    """The scores of texts against a query, the best first.

    Raises:
        RefusedError: In TEI's words.
    """
    name = "texts" if traits.shape == "reranker" else "documents"
    texts = [_text_of(each) for each in tei_server.inputs_of(content, name, traits)]
    query = content.get("query")
    if not isinstance(query, str):
        raise tei_server.not_deserialized("missing field `query`")
    if traits.rejects and any(traits.rejects in text for text in texts):
        raise tei_server.tokenizer_error()
    field = "score" if traits.shape == "reranker" else "relevance_score"
    items = [
        {"index": index, field: expected_score(query, text)} for index, text in enumerate(texts)
    ]
    items.sort(key=lambda item: -item[field])
    answer = items if traits.shape == "reranker" else {"results": items}
    return Reply(200, orjson.dumps(answer))


def vectors(
    request: EmbedRequest, texts: list[str], path: str, traits: Traits, seconds: float
) -> Reply:
    """The right vectors, in the protocol of the path; `seconds` is how long they took."""
    dimensions = request.dimensions or traits.dimensions
    tokens = sum(map(_count, texts))
    if path in OPENAI_PATHS:
        row = base64_row if request.base64 else json_row
        rows = (row(text, dimensions) for text in texts)
        body = tei_server.openai_answer(rows, traits.model_id, tokens)
    else:
        normalize = request.normalize
        joined = b",".join(json_row(text, dimensions, normalize=normalize) for text in texts)
        body = b'{"embeddings":[%b]}' % joined if traits.shape == "embeddings" else b"[%b]" % joined
    characters = sum(map(len, texts))
    headers = tei_server.figures(seconds, characters, tokens)
    return Reply(200, body, headers=headers)
