"""The fields of Elastic's bodies and paths: what may stand in them, and what they mean to us.

It knows names and values. It must not know requests or answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.gateway.errors import Refusal, invalid, not_parsed
from langchain_hf_endpoint.settings import TaskSettings

if TYPE_CHECKING:
    from langchain_hf_endpoint.endpoint import InferenceEndpoint
    from langchain_hf_endpoint.limiter import Lane

TASK_TYPE = "text_embedding"
_OTHER_TASK_TYPES = ("sparse_embedding", "rerank", "completion", "chat_completion", "embedding")
_LANES: dict[str, Lane] = {
    "search": "query",
    "ingest": "document",
    "classification": "document",
    "clustering": "document",
    "unspecified": "document",
}


def shown(name: str) -> str:
    """A name as a message may repeat it."""
    return re.sub(r"[^ -~]", "?", name[:100])


def is_known(task: str) -> bool:
    """Whether Elastic knows this task type."""
    return task in (TASK_TYPE, "any", *_OTHER_TASK_TYPES)


def other_task_type(task: str | None) -> Refusal:
    """An endpoint is asked for under a task type that is not its own."""
    return Refusal(
        400,
        "status_exception",
        f"Requested task type [{shown(task or '')}] does not match the inference endpoint's task "
        f"type [{TASK_TYPE}]",
    )


def one_task_type(of_path: str | None, of_body: object) -> str:
    """The task type, which the path or the body names."""
    if of_body is not None and not isinstance(of_body, str):
        raise not_parsed("[task_type] must be a string")
    if of_path is not None and of_body is not None and of_path != of_body:
        raise Refusal(
            400,
            "status_exception",
            "Cannot resolve conflicting task_type parameter in the request URL "
            f"[{shown(of_path)}] and the request body [{shown(of_body)}]",
        )
    task = of_path or of_body
    if task is None:
        raise invalid("model is missing required setting [task_type]")
    if task in _OTHER_TASK_TYPES:
        raise invalid(f"The [hugging_face] service does not support task type [{task}]")
    if task != TASK_TYPE:
        raise invalid(f"Unknown task_type [{shown(task)}]")
    return task


def check_service_name(config: dict[str, Any]) -> None:
    """Refuse any service but Hugging Face's.

    Raises:
        Refusal: 400.
    """
    name = config.get("service")
    if name is None:
        raise invalid("Inference endpoint configuration is missing the [service] setting")
    if name != "hugging_face":
        is_plain = isinstance(name, str) and re.fullmatch(r"[a-z_]{1,30}", name)
        raise invalid(f"Unknown service [{name}]" if is_plain else "Unknown service")


def inputs(content: dict[str, Any]) -> list[str]:
    """The texts: one string, or several.

    Raises:
        Refusal: 400.
    """
    texts = content.get("input")
    if texts is None:
        raise invalid("Field [input] cannot be null")
    if isinstance(texts, str):
        return [texts]
    if not isinstance(texts, list):
        raise not_parsed("[input] must be a string or an array of strings")
    if not texts:
        raise invalid("Field [input] cannot be an empty array")
    if not all(isinstance(text, str) for text in texts):
        raise not_parsed("[input] must be a string or an array of strings")
    return texts


def lane(input_type: object) -> Lane:
    """Which lane an `input_type` means.

    Raises:
        Refusal: 400, there is no such type.
    """
    if input_type is None:
        return "document"
    lane = _LANES.get(input_type[:20].lower()) if isinstance(input_type, str) else None
    if lane is None:
        raise invalid(f"[input_type] must be one of {', '.join(_LANES)}")
    return lane


def task_settings(endpoint: InferenceEndpoint, given: object) -> TaskSettings | None:
    """The endpoint's task settings with those of the request in their place."""
    if given in (None, {}):
        return None
    if not isinstance(given, dict):
        raise not_parsed("[task_settings] must be an object")
    own = endpoint.task_settings.model_dump()
    try:
        return TaskSettings(**{**own, **given})
    except SettingsError as error:
        problems = [(f"task_settings.{field}", text) for field, text in error.problems]
    raise SettingsError(*problems)


def as_elastic(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as Elastic's clients expect it: the size of a chunk has another name."""
    chunking = dict(config["chunking_settings"])
    if "max_chunking_size" in chunking:
        chunking = {
            "max_chunk_size" if name == "max_chunking_size" else name: value
            for name, value in chunking.items()
        }
    return {**config, "chunking_settings": chunking}
