"""From task settings to what is asked of the server, and which of it a dialect cannot carry.

It knows both sides' names. It must not know how a request is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import InputOptions
from langchain_hf_endpoint._protocols import candidates

if TYPE_CHECKING:
    from langchain_hf_endpoint._protocols import Dialect
    from langchain_hf_endpoint._validation import Problem
    from langchain_hf_endpoint.limiter import Lane
    from langchain_hf_endpoint.settings import ServiceSettings, TaskSettings


def options_of(
    task: TaskSettings,
    lane: Lane,
    model: str | None = None,
    *,
    base64: bool = True,
    truncate_tokens: int | None = None,
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
    )


def is_asked_unbidden(service: ServiceSettings) -> bool:
    """Whether the server is one that may say what it is, and is asked before the first input.

    Only then may a model's own prompts depend on the answer. Elsewhere a `describe` in one process
    would change vectors there, and not in another process.
    """
    if service.dialect == "auto":
        return candidates(service.url)[0].dialect.name != "openai"
    return service.dialect == "tei"


def unsupported_settings(dialect: Dialect, task: TaskSettings, lane: Lane) -> list[Problem]:
    """The task settings that this dialect cannot carry, by the names that the user knows."""
    refused = dialect.unsupported(options_of(task, lane))
    return [
        (f"task_settings.{lane}_{name}" if name == "prompt_name" else f"task_settings.{name}", why)
        for name, why in refused
    ]
