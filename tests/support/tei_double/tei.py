"""The routes of TEI, by version. One instance per configuration."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint.testing import tei
from langchain_hf_endpoint.testing.replies import OPENAI_PATHS, Reply
from langchain_hf_endpoint.testing.vectors import base64_row, json_row

from . import inputs as reading
from .engine import Engine
from .wire import not_deserialized, option, parsed

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .engine import Left
    from .settings import Settings
    from .wire import Request

    Note = Callable[[reading.Inputs], None]

_HEALTH = {"/health", "/ping", "/"}
_EMBED = {"/embed", "/", "/invocations", "/embed_all", *OPENAI_PATHS}


class Tei:
    """A text-embeddings-inference server, but for the model."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = Engine(settings)

    async def answer(self, request: Request, left: Left, note: Note) -> Reply:
        """Answer one request. `note` is told its inputs as soon as they are known."""
        settings = self.settings
        if request.method == "GET" and request.path in _HEALTH:
            return Reply(200)
        if settings.api_key and request.key != settings.api_key:
            return Reply(401)
        if request.method == "GET" and request.path == "/info":
            return Reply(200, orjson.dumps(settings.info))
        if request.path not in _EMBED and request.path != "/tokenize":
            return Reply(404)
        if request.method != "POST":
            return Reply(405, headers={"allow": "POST"})
        if len(request.body) > settings.payload_limit:
            return tei.body_too_large()
        if request.path == "/tokenize":
            return self._tokenize(request, note)
        return await self._embed(request, left, note)

    async def _embed(self, request: Request, left: Left, note: Note) -> Reply:
        started = time.monotonic()
        settings, path = self.settings, request.path
        openai = path in OPENAI_PATHS
        body = parsed(request)
        inputs = reading.inputs_of(body, "input" if openai else "inputs")
        note(inputs)
        encoder = _openai_rows if openai else _token_rows if path == "/embed_all" else _rows
        reading.check_batch_size(inputs, settings, path)
        async with self.engine.admitted(len(inputs.texts), path, single=inputs.single):
            if openai:
                prompt = settings.default_prompt
                tokenization = reading.Tokenization(prompt, settings.truncates, keep_end=False)
            else:
                tokenization = reading.Tokenization.of(body, settings, path)
            texts = tokenization.texts(inputs, settings, path)
            width = reading.dimensions_of(body, settings, path)
            queued, worked = await self.engine.work(len(texts), left)
            content = encoder(texts, width, body, settings)
        times = (time.monotonic() - started, queued, worked)
        return Reply(200, content, headers=_compute_headers(inputs.texts, texts, times))

    def _tokenize(self, request: Request, note: Note) -> Reply:
        body = parsed(request)
        inputs = reading.inputs_of(body, "inputs")
        note(inputs)
        reading.check_batch_size(inputs, self.settings, request.path)
        special = option(body, "add_special_tokens", bool)
        rows = [_tokens(text, special=special is not False) for text in inputs.texts]
        return Reply(200, orjson.dumps(rows))


def _rows(texts: list[str], width: int, body: dict[str, Any], settings: Settings) -> bytes:
    normalize = option(body, "normalize", bool) is not False
    marker = settings.null_marker
    rows = [
        _null_row(width)
        if marker and marker in text
        else json_row(text, width, normalize=normalize)
        for text in texts
    ]
    return b"[%b]" % b",".join(rows)


def _token_rows(texts: list[str], width: int, _body: dict[str, Any], _: Settings) -> bytes:
    """`/embed_all`: one vector for each token, no pooling, no normalisation."""
    inputs = []
    for text in texts:
        tokens = ["[CLS]", *text.split(" "), "[SEP]"]
        rows = b",".join(json_row(token, width, normalize=False) for token in tokens)
        inputs.append(b"[%b]" % rows)
    return b"[%b]" % b",".join(inputs)


def _openai_rows(texts: list[str], width: int, body: dict[str, Any], settings: Settings) -> bytes:
    wanted = option(body, "encoding_format", str) if settings.release >= (1, 3) else None
    if wanted not in (None, "float", "base64"):
        raise not_deserialized(f"unknown variant `{wanted}`, expected `float` or `base64`")
    marker = settings.null_marker
    data = []
    for index, text in enumerate(texts):
        if marker and marker in text:
            row = _null_row(width)
        else:
            row = base64_row(text, width) if wanted == "base64" else json_row(text, width)
        data.append(b'{"object":"embedding","embedding":%b,"index":%d}' % (row, index))
    tokens = sum(map(reading.tokens_of, texts))
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (
        b",".join(data),
        orjson.dumps(settings.model_id),
        b'{"prompt_tokens":%d,"total_tokens":%d}' % (tokens, tokens),
    )


def _null_row(width: int) -> bytes:
    """What serde makes of NaN: a zero vector that was normalised, or an overflow in fp16."""
    return b"[%b]" % b",".join([b"null"] * width)


def _tokens(text: str, *, special: bool) -> list[dict[str, object]]:
    result: list[dict[str, object]] = []
    start = 0
    for word in text.split(" "):
        size = len(word.encode())
        piece = {"text": word, "special": False, "start": start, "stop": start + size}
        result.append({"id": 1000 + len(word), **piece})
        start += size + 1
    if special:
        ends = {"special": True, "start": None, "stop": None}
        result.insert(0, {"id": 101, "text": "[CLS]", **ends})
        result.append({"id": 102, "text": "[SEP]", **ends})
    return result


def _compute_headers(
    given: list[str], embedded: list[str], times: tuple[float, float, float]
) -> dict[str, str]:
    """TEI's figures, on answers of status 2xx only; times are whole milliseconds."""
    total, queued, worked = (str(round(each * 1000)) for each in times)
    return {
        "x-compute-type": "gpu+optimized",
        "x-compute-time": total,
        "x-compute-characters": str(sum(map(len, given))),
        "x-compute-tokens": str(sum(map(reading.tokens_of, embedded))),
        "x-total-time": total,
        "x-tokenization-time": "0",
        "x-queue-time": queued,
        "x-inference-time": worked,
    }
