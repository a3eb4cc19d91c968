"""Rules for what may be put into the registry and what may be updated; no tables, no requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from langchain_hf_endpoint._session.fingerprint import ModelFingerprint
from langchain_hf_endpoint._validation import Allowed, PositiveInteger, Problem, Section
from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    """What is known of an endpoint's model. Elastic's JSON has them among the service settings."""

    model_id: Annotated[str, Field(strict=True, min_length=1), Allowed("a name")] | None = None
    dimensions: PositiveInteger | None = None
    similarity: Literal["cosine", "dot_product", "l2_norm"] = "cosine"


@dataclass(frozen=True, slots=True)
class Entry:
    """An endpoint, and what is known of its model; the fingerprint is for ourselves."""

    endpoint: InferenceEndpoint
    facts: Facts
    fingerprint: ModelFingerprint | None = None

    @classmethod
    def of_put(cls, task_type: str, inference_id: str, config: Any) -> Entry:
        """Check the JSON of a put, after `hidden`; the facts are those that it states."""
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
        dimensions = stated.dimensions or asked
        return cls(endpoint, stated.model_copy(update={"dimensions": dimensions}))

    def described(self, shown: EndpointDescription) -> Entry:
        """With the facts that the endpoint shows, which must be those that were stated."""
        stated = self.facts
        problems: list[Problem] = [
            (f"service_settings.{name}", f"{given} was given, but the endpoint has {found}")
            for name, given, found in (
                ("dimensions", stated.dimensions, shown.dimensions),
                ("model_id", stated.model_id, shown.model_id),
            )
            if None not in (given, found) and given != found
        ]
        if problems:
            raise SettingsError(*problems)
        model_id = shown.model_id or stated.model_id or self.endpoint.service_settings.model
        dimensions = shown.dimensions or None  # scores have none
        facts = Facts(model_id=model_id, dimensions=dimensions, similarity=stated.similarity)
        fingerprint = shown.fingerprint and bytes.fromhex(shown.fingerprint)
        return Entry(self.endpoint, facts, fingerprint_of(fingerprint))

    def updated(self, change: object) -> Entry:
        """With some settings changed; None puts one back to its default.

        Args:
            change: After `hidden`: ``{"service_settings": {…}}``, of it only what is `UPDATABLE`.
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
        config = self.stored_config()
        settings = {**config["service_settings"], **dict(service or {})}
        settings = {name: value for name, value in settings.items() if value is not None}
        endpoint = InferenceEndpoint.from_config(
            task_type=self.endpoint.task_type,
            inference_id=self.endpoint.inference_id,
            inference_config={**config, "service_settings": settings},
        )
        return replace(self, endpoint=endpoint)

    def stored_config(self) -> dict[str, Any]:
        """The JSON as it is stored: as a put has it, without the key."""
        config = self.endpoint.public_config()
        return {
            name: part for name, part in config.items() if name not in ("inference_id", "task_type")
        }

    def public_config(self) -> dict[str, Any]:
        """The JSON as ``GET _inference`` prints it, with what is known of the model."""
        config = self.endpoint.public_config()
        of_vectors = {"dimensions", "similarity"} if self.endpoint.task_type == "rerank" else None
        known = self.facts.model_dump(exclude_none=True, exclude=of_vectors)
        return {**config, "service_settings": {**config["service_settings"], **known}}


def fingerprint_of(content: bytes | str | None) -> ModelFingerprint | None:
    """The fingerprint in these bytes; None where there is none that this version reads."""
    try:
        return ModelFingerprint.from_bytes(content) if isinstance(content, bytes) else None
    except ValueError:
        return None


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


def _problems_of_update(
    fields: Mapping[str, object], where: str, allowed: tuple[str, ...]
) -> list[Problem]:
    other = f"cannot be updated; can be updated: {', '.join(allowed)}"
    return [(f"{where}{name}", _FIXED.get(name, other)) for name in fields if name not in allowed]
