"""The prompts that a model needs and nobody asked for: those of the E5 family.

It knows model names. It must not know where a name came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_hf_endpoint.limiter import Lane

# The E5 models among those recommended for Hugging Face inference endpoints. Each was trained with
# these prefixes: https://huggingface.co/intfloat/multilingual-e5-small#faq
_E5 = frozenset({"e5-base-v2", "e5-small-v2", "multilingual-e5-base", "multilingual-e5-small"})
_E5_PROMPTS: dict[Lane, str] = {"query": "query: ", "document": "passage: "}


def needs_e5_prompts(name_or_url: str | None) -> bool:
    """Whether a model id, or a URL that holds one as a part of its path, is one of these models."""
    return any(part in _E5 for part in (name_or_url or "").lower().split("/"))


def unnamed(path: str | None) -> str:
    """What it costs that a server does not name its model.

    Args:
        path: What it says instead, such as ``/repository``.
    """
    instead = f" (it says {path})" if path else ""
    return (
        f"does not name its model{instead}: if it is one of the E5 family its inputs lack the "
        f"prompts {e5_prompt('query')!r} and {e5_prompt('document')!r}, and it finds less. Its "
        "width, window and tokenizer are no proof, so nothing is guessed. Set "
        "service_settings.model to the model's name, or task_settings.query_prompt and "
        "document_prompt ('' for none)"
    )


def e5_prompt(lane: Lane) -> str:
    """What goes before each input of an E5 model."""
    return _E5_PROMPTS[lane]
