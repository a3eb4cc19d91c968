"""What is put before inputs and asked of the server with them, E5's own prompts included."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import InputOptions
from langchain_hf_endpoint._protocols import candidates

if TYPE_CHECKING:
    from langchain_hf_endpoint._protocols import Dialect
    from langchain_hf_endpoint._validation import Problem
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import ServiceSettings, TaskSettings

# The E5 models among those recommended for Hugging Face inference endpoints. Each was trained with
# these prefixes: https://huggingface.co/intfloat/multilingual-e5-small#faq
_E5 = frozenset({"e5-base-v2", "e5-small-v2", "multilingual-e5-base", "multilingual-e5-small"})
_E5_PROMPTS: dict[Lane, str] = {"query": "query: ", "document": "passage: "}


def needs_e5_prompts(name_or_url: str | None) -> bool:
    """Whether a model id, or a URL that holds one as a part of its path, is one of these models."""
    return not _E5.isdisjoint((name_or_url or "").lower().split("/"))


def unnamed(path: str | None) -> tuple[str, str]:
    """What it costs that a server does not name its model, and what to do.

    Args:
        path: What it says instead, such as ``/repository``.
    """
    instead = f" (it says {path})" if path else ""
    problem = (
        f"does not name its model{instead}: if it is one of the E5 family its inputs lack the "
        f"prompts {e5_prompt('query')!r} and {e5_prompt('document')!r}, and it finds less."
    )
    advice = (
        "Its dimensions, context length and tokenizer are no proof, so nothing is guessed. Set "
        "service_settings.model to the model's name, or task_settings.query_prompt and "
        "document_prompt ('' for none)."
    )
    return problem, advice


def e5_prompt(lane: Lane) -> str:
    """What goes before each input of an E5 model."""
    return _E5_PROMPTS[lane]


def options_of(  # noqa: PLR0913 - what a request may ask for
    task: TaskSettings,
    lane: Lane,
    model: str | None = None,
    *,
    base64: bool = True,
    truncate_tokens: int | None = None,
    query: bytes | None = None,
) -> InputOptions:
    """What the server is asked to do with the inputs of this lane."""
    return InputOptions(
        prompt_name=task.query_prompt_name if lane == "query" else task.document_prompt_name,
        truncate=task.truncate,
        normalize=task.normalize,
        dimensions=task.dimensions,
        model=model,
        base64=base64,
        truncate_tokens=truncate_tokens,
        query=query,
    )


def should_fetch_info(service: ServiceSettings) -> bool:
    """Whether the server is one that may say what it is, and is asked before the first input.

    Only then may a model's own prompts depend on the answer. Elsewhere a `describe` in one process
    would change vectors there, and not in another process.
    """
    if service.dialect == "auto":
        return _may_have_info(service.url)
    return service.dialect == "tei"


@lru_cache(maxsize=256)
def _may_have_info(url: str) -> bool:
    return candidates(url)[0].dialect.name != "openai"


def unsupported_settings(dialect: Dialect, task: TaskSettings, lane: Lane) -> list[Problem]:
    """The task settings that this dialect cannot carry, by the names that the user knows."""
    refused = dialect.unsupported(options_of(task, lane))
    return [
        (f"task_settings.{lane}_{name}" if name == "prompt_name" else f"task_settings.{name}", why)
        for name, why in refused
    ]
