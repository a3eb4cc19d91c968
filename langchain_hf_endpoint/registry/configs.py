"""What may be put and what may be updated: the rules, without tables and requests.

It knows the JSON of an endpoint and the facts about its model. It must not do any I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from langchain_hf_endpoint._validation import Allowed, PositiveInteger, Problem, Section
from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

UPDATABLE = (
    "rate_limit",
    "timeout",
    "max_wait",
    "max_batch_size",
    "max_concurrent_requests",
    "dialect",
)
"""The fields of `service_settings` that do not change what a text's vector is."""

_ANEW = "cannot be updated: delete the endpoint and create it anew"
_FIXED = {
    "api_key": _ANEW,
    "api_key_env": _ANEW,
    "model": f"{_ANEW}, since another model has other vectors",
    "url": f"{_ANEW}, since another model may be there",
    "dimensions": _ANEW,
    "similarity": _ANEW,
    "model_id": _ANEW,
    "chunking_settings": f"{_ANEW}, since stored vectors are of the old chunks",
    "task_settings": f"{_ANEW}, since they change the vectors",
}


class Facts(Section):
    """What is known of an endpoint's model. Elastic's JSON has them among the service settings.

    Attributes:
        model_id: The model's name, None where neither the server nor the user says it.
        dimensions: The width of the vectors, None as long as no call was made.
        similarity: How vectors are to be compared. Default ``cosine``.
    """

    model_id: Annotated[str, Field(strict=True, min_length=1), Allowed("a name")] | None = None
    dimensions: PositiveInteger | None = None
    similarity: Literal["cosine", "dot_product", "l2_norm"] = "cosine"


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An endpoint that is to be stored, and what its owner says of its model."""

    endpoint: InferenceEndpoint
    stated: Facts

    @classmethod
    def of(cls, task_type: str, inference_id: str, config: Any) -> Newcomer:
        """Check the JSON of a put.

        Args:
            task_type: ``text_embedding``.
            inference_id: The name.
            config: After `hidden`. Beside what `InferenceEndpoint.from_config` takes, the
                `service_settings` may hold the fields of `Facts`, as Elastic's JSON does.

        Raises:
            SettingsError: Names every wrong field.
        """
        config, stated, problems = _without_facts(config)
        try:
            endpoint = InferenceEndpoint.from_config(
                task_type=task_type, inference_id=inference_id, inference_config=config
            )
        except SettingsError as error:
            problems = [*error.problems, *problems]
        if problems:
            raise SettingsError(*problems)
        asked = endpoint.task_settings.dimensions
        if None not in (asked, stated.dimensions) and asked != stated.dimensions:
            differs = f"{stated.dimensions} differs from task_settings.dimensions, {asked}"
            raise SettingsError(("service_settings.dimensions", differs))
        width = stated.dimensions or asked
        return cls(endpoint, Facts(**{**stated.model_dump(), "dimensions": width}))

    @property
    def api_key(self) -> SecretStr | None:
        """The key, if one was given; that of a variable is not looked up."""
        return self.endpoint.service_settings.api_key

    def facts_with(self, shown: EndpointDescription) -> Facts:
        """Hold what the endpoint shows against what was stated.

        Raises:
            SettingsError: They differ; names both values.
        """
        problems: list[Problem] = [
            (f"service_settings.{name}", f"{given} was given, but the endpoint has {found}")
            for name, given, found in (
                ("dimensions", self.stated.dimensions, shown.dimensions),
                ("model_id", self.stated.model_id, shown.model_id),
            )
            if None not in (given, found) and given != found
        ]
        if problems:
            raise SettingsError(*problems)
        return Facts(
            model_id=shown.model_id or self.stated.model_id or self.endpoint.service_settings.model,
            dimensions=shown.dimensions,
            similarity=self.stated.similarity,
        )


def _without_facts(config: Any) -> tuple[Any, Facts, list[Problem]]:
    """Take the facts out of the service settings; an absent one and None are the same."""
    service = config.get("service_settings") if isinstance(config, dict) else None
    if not isinstance(service, dict):
        return config, Facts(), []
    names = Facts.model_fields
    stated = {name: service[name] for name in names if service.get(name) is not None}
    rest = {name: value for name, value in service.items() if name not in names}
    config = {**config, "service_settings": rest}
    try:
        return config, Facts(**stated), []
    except SettingsError as error:
        return config, Facts(), [(f"service_settings.{name}", why) for name, why in error.problems]


def with_update(stored: InferenceEndpoint, change: object) -> InferenceEndpoint:
    """The endpoint with some settings changed; None puts one back to its default.

    Args:
        stored: The endpoint as it is.
        change: After `hidden`: ``{"service_settings": {…}}``, of it only what is `UPDATABLE`.

    Raises:
        SettingsError: Names every field that cannot be updated, or is wrong.
    """
    if not isinstance(change, dict):
        raise SettingsError(("inference_config", "must be a mapping, the JSON of the update"))
    service = change.get("service_settings")
    problems = _problems_of_update(change, "", ("service_settings",))
    if isinstance(service, dict):
        problems += _problems_of_update(service, "service_settings.", UPDATABLE)
    elif service is not None:
        problems.append(("service_settings", "must be a mapping"))
    if not problems and not service:
        nothing = f"holds nothing to update; can be updated: {', '.join(UPDATABLE)}"
        problems.append(("service_settings", nothing))
    if problems:
        raise SettingsError(*problems)
    return _merged(stored, dict(service or {}))


def _problems_of_update(
    fields: Mapping[str, object], where: str, allowed: tuple[str, ...]
) -> list[Problem]:
    other = f"cannot be updated; can be updated: {', '.join(allowed)}"
    return [(f"{where}{name}", _FIXED.get(name, other)) for name in fields if name not in allowed]


def _merged(stored: InferenceEndpoint, change: dict[str, Any]) -> InferenceEndpoint:
    config = config_of(stored)
    service = {**config["service_settings"], **change}
    service = {name: value for name, value in service.items() if value is not None}
    return InferenceEndpoint.from_config(
        task_type=stored.task_type,
        inference_id=stored.inference_id,
        inference_config={**config, "service_settings": service},
    )


def config_of(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The endpoint's JSON as it is stored: as a put has it, without the key."""
    config = endpoint.public_config()
    return {
        name: part for name, part in config.items() if name not in ("inference_id", "task_type")
    }


def public_config(endpoint: InferenceEndpoint, facts: Facts) -> dict[str, Any]:
    """The endpoint's JSON as ``GET _inference`` prints it, with what is known of its model."""
    config = endpoint.public_config()
    known = facts.model_dump(exclude_none=True)
    return {**config, "service_settings": {**config["service_settings"], **known}}
