"""Describe where and how to embed: the inference endpoint, named, validated and frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Never, Self

from pydantic import Field, model_validator

from langchain_hf_endpoint._messages import EndpointDescription
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint._validation import (
    Allowed,
    Problem,
    Section,
    clears_frames,
    given,
    hidden,
    unknown_field,
    wrong_type,
)
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import (
    AS_KEYWORD,
    ChunkingSettings,
    ServiceSettings,
    TaskSettings,
    fields_within,
)

if TYPE_CHECKING:
    import httpx
    from pydantic import SecretStr

    from langchain_hf_endpoint._session.fingerprint import ModelFingerprint
    from langchain_hf_endpoint.settings import DialectName, RateLimit, TlsSettings, TransportName

__all__ = ["EndpointDescription", "InferenceEndpoint"]

_LONGEST_ID = 100
_SECTIONS = ("service", "service_settings", "chunking_settings", "task_settings")
_OF_SCORES = ("top_n", "return_documents")
_OF_VECTORS = (
    *("query_prompt", "document_prompt", "query_prompt_name", "document_prompt_name"),
    *("normalize", "dimensions"),
)
INFERENCE_ID = rf"^[a-z0-9](?:[a-z0-9_\-.]{{0,{_LONGEST_ID - 2}}}[a-z0-9])?$"


class InferenceEndpoint(Section):
    """Where and how to embed, under a name.

    Frozen, hashable and picklable. It holds no connection: endpoints with the same URL and key
    share one limiter and one connection pool in a process. The API key is in no repr, dump or
    message; a pickle, whose purpose is to reach a worker, does hold it, unless `api_key_env` is
    used.

    Example:
        ```python
        endpoint = InferenceEndpoint(url="https://…", api_key="hf_…")
        ```

    Attributes:
        inference_id: Lower-case letters, digits, ``_``, ``-`` and ``.``, at most 100 characters.
        task_type: ``text_embedding``, or ``rerank``: for an `HFEndpointReranker`.
        service: ``hugging_face``.
        service_settings: Where it is, and how it may be used.
        chunking_settings: How long texts are cut.
        task_settings: What happens to each input.
    """

    inference_id: Annotated[
        str,
        Field(strict=True, max_length=_LONGEST_ID, pattern=INFERENCE_ID),
        Allowed(
            "lower-case letters, digits, _, - and ., starting and ending with a letter or a digit, "
            f"at most {_LONGEST_ID} characters"
        ),
    ]
    task_type: Literal["text_embedding", "rerank"] = "text_embedding"
    service: Literal["hugging_face"] = "hugging_face"
    service_settings: ServiceSettings
    chunking_settings: ChunkingSettings = ChunkingSettings()
    task_settings: TaskSettings = TaskSettings()

    @clears_frames
    def __init__(  # noqa: PLR0913 - the sections of the JSON, and the fields of one of them
        self,
        url: str | None = None,
        *,
        api_key: SecretStr | str | None = None,
        api_key_env: str | None = None,
        rate_limit: RateLimit | Mapping[str, int] | None = None,
        dialect: DialectName | None = None,
        model: str | None = None,
        max_batch_size: int | None = None,
        max_concurrent_requests: int | None = None,
        timeout: float | None = None,
        max_wait: float | None = None,
        allow_insecure_http: bool | None = None,
        tls: TlsSettings | Mapping[str, str] | None = None,
        transport: TransportName | None = None,
        inference_id: str | None = None,
        task_type: str = "text_embedding",
        service: str = "hugging_face",
        service_settings: ServiceSettings | Mapping[str, Any] | None = None,
        chunking_settings: ChunkingSettings | Mapping[str, Any] | None = None,
        task_settings: TaskSettings | Mapping[str, Any] | None = None,
        **unknown: Never,
    ) -> None:
        """Make an endpoint from its URL, or from the sections of the JSON.

        The fields of `service_settings` may be given by themselves, the short form, instead of the
        section. None stands for the default.

        Args:
            url: Where it is.
            api_key: The key. Default: see `ServiceSettings.find_key`.
            api_key_env: The environment variable that holds the key.
            rate_limit: ``{"requests_per_minute": …}``. Default 3000.
            dialect: The server's protocol. Default ``auto``.
            model: The model's name. Default: what the server says.
            max_batch_size: Inputs per request. Default: what the server says, else 32.
            max_concurrent_requests: Requests in flight. Default: adapts to the server.
            timeout: Seconds for one attempt. Default 60.
            max_wait: Seconds that one batch may spend on retries. Default 600.
            allow_insecure_http: Send a key over plain http to another machine. Default False.
            tls: Certificates other than the usual ones.
            transport: What sends. Default ``httpx``.
            inference_id: Default: derived from the URL's host.
            task_type: ``text_embedding`` or ``rerank``.
            service: Only ``hugging_face``.
            service_settings: Instead of `url` and the other short forms.
            chunking_settings: Default: sentences, at most 250 words, one sentence of overlap.
            task_settings: Default: no prompts, truncated, normalized.
            **unknown: There are no others; each is named in the error.

        Raises:
            SettingsError: Names every wrong field.
        """
        service_settings = hidden("service_settings", service_settings)
        unknown = hidden("", unknown)
        short = given(locals(), ServiceSettings.model_fields)
        sections: dict[str, Any] = {
            "chunking_settings": chunking_settings,
            "task_settings": task_settings,
        }
        super().__init__(
            inference_id=inference_id,
            task_type=task_type,
            service=service,
            service_settings=service_settings,
            short={**short, **unknown},
            **{name: section for name, section in sections.items() if section is not None},
        )

    @classmethod
    def _set(cls, fields: dict[str, Any]) -> dict[str, Any]:
        return fields  # what the endpoint is called and does must be said, and not by None

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        short: dict[str, Any] = fields.pop("short", {})
        unknown = [name for name in short if name not in ServiceSettings.model_fields]
        allowed = (*ServiceSettings.model_fields, *cls.model_fields)
        elsewhere = fields_within(AS_KEYWORD)
        problems: list[Problem] = [
            (name, unknown_field(name, allowed, elsewhere)) for name in unknown
        ]
        short = {name: value for name, value in short.items() if name not in unknown}
        if fields["service_settings"] is None:
            fields["service_settings"] = short
        elif short:
            both = "give either service_settings or the short form, not both"
            problems += [(name, both) for name in short]
        if fields["inference_id"] is None:
            fields["inference_id"] = _id_of(fields["service_settings"])
        return fields, problems

    @cached_property
    def expected_fingerprint(self) -> ModelFingerprint | None:
        """Of the model whose vectors are kept, where that is known: other models are refused.

        A registry sets it. It is no setting: it is in no JSON, and makes no two endpoints differ.
        """
        return None

    def expecting(self, fingerprint: ModelFingerprint | None) -> Self:
        """The same endpoint, with another `expected_fingerprint`."""
        same = self.model_copy()
        same.__dict__["expected_fingerprint"] = fingerprint
        return same

    @clears_frames
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, checked. Behind another URL no model is expected, nor under another name."""
        copy = super().model_copy(update=update, deep=deep)
        if _model_of(copy) == _model_of(self):
            copy.__dict__["expected_fingerprint"] = self.expected_fingerprint
        return copy

    @model_validator(mode="after")
    def _check_task(self) -> Self:
        """Refuse the task settings of the other task type."""
        foreign = _OF_SCORES if self.task_type == "text_embedding" else _OF_VECTORS
        default = TaskSettings()
        problems = [
            (f"task_settings.{name}", f"does not go with the task type {self.task_type}")
            for name in foreign
            if getattr(self.task_settings, name) != getattr(default, name)
        ]
        stated, asked = self.service_settings.dimensions, self.task_settings.dimensions
        if None not in (stated, asked) and stated != asked:
            differs = f"{stated} differs from task_settings.dimensions, {asked}"
            problems.append(("service_settings.dimensions", differs))
        if problems:
            raise SettingsError(*problems)
        return self

    @model_validator(mode="after")
    def _check_dialect(self) -> Self:
        """Refuse what the named dialect cannot carry; with `auto` it shows at the first request."""
        if self.service_settings.dialect == "auto" or self.task_settings == TaskSettings():
            return self  # every dialect carries the defaults
        from langchain_hf_endpoint._engine.prompts import unsupported_settings  # noqa: PLC0415
        from langchain_hf_endpoint._protocols import DIALECTS, RERANK_DIALECTS  # noqa: PLC0415 - rarely needed

        dialects = DIALECTS if self.task_type == "text_embedding" else RERANK_DIALECTS
        dialect, task = dialects[self.service_settings.dialect], self.task_settings
        problems = dict(unsupported_settings(dialect, task, "query"))
        problems.update(unsupported_settings(dialect, task, "document"))
        if problems:
            raise SettingsError(*problems.items())
        return self

    @classmethod
    @clears_frames
    def from_config(
        cls, *, task_type: str, inference_id: str, inference_config: Mapping[str, Any]
    ) -> Self:
        """Make an endpoint from the JSON of ``PUT /_inference/<task_type>/<inference_id>``.

        Args:
            task_type: ``text_embedding`` or ``rerank``.
            inference_id: The endpoint's name.
            inference_config: ``service``, ``service_settings``, and, optional,
                ``chunking_settings`` and ``task_settings``. Absent or ``{}`` means the defaults.

        Raises:
            SettingsError: Names every wrong field.
        """
        inference_config = hidden("inference_config", inference_config)
        if not isinstance(inference_config, dict):
            raise SettingsError(("inference_config", "must be a mapping, the JSON of the endpoint"))
        unknown = [name for name in inference_config if name not in _SECTIONS]
        problems: list[Problem] = [
            (str(name), unknown_field(str(name), _SECTIONS, fields_within())) for name in unknown
        ]
        sections = {name: inference_config[name] for name in _SECTIONS if name in inference_config}
        if sections.get("service_settings") is None:
            sections["service_settings"] = {}  # so that the error names what is missing in it
        try:
            # Without a name it is an error here: only the short form derives one.
            endpoint = cls(inference_id=inference_id or "", task_type=task_type, **sections)
        except SettingsError as error:
            problems += error.problems
        if problems:
            raise SettingsError(*problems)
        return endpoint

    def public_config(self) -> dict[str, Any]:
        """The endpoint as ``GET _inference`` would print it: everything but the key.

        Returns:
            JSON-ready. Settings that are at their default are left out, but for those that
            Elastic prints too.
        """
        service = self.service_settings.model_dump(mode="json", exclude_defaults=True)
        service["rate_limit"] = self.service_settings.rate_limit.model_dump(mode="json")
        if "transport" in self.service_settings.model_fields_set:  # to `preferring_fast` it says so
            service["transport"] = self.service_settings.transport
        config: dict[str, Any] = {
            "inference_id": self.inference_id,
            "task_type": self.task_type,
            "service": self.service,
            "service_settings": service,
            "chunking_settings": self.chunking_settings.public_config(),
        }
        task = self.task_settings.model_dump(mode="json", exclude_defaults=True)
        return {**config, "task_settings": task} if task else config

    def describe(
        self, *, http_client: httpx.Client | None = None, parity: bool = False
    ) -> EndpointDescription:
        """Ask the server what it is: ``/info`` where there is one, and one probe embedding.

        Args:
            http_client: Instead of our own connections, as in `HFEndpointEmbeddings`.
            parity: See whether a text's vector depends on what it is sent with, by a few more
                requests. Where it does, calls of this process avoid what is wrong, or are refused.

        Raises:
            HFEndpointError: It cannot be reached, or does not embed.
        """
        from langchain_hf_endpoint._engine.describe import describe  # noqa: PLC0415 - httpx loads late

        return describe(self, http_client, parity=parity)

    async def adescribe(
        self, *, http_async_client: httpx.AsyncClient | None = None, parity: bool = False
    ) -> EndpointDescription:
        """The async twin of `describe`."""
        from langchain_hf_endpoint._engine.describe import adescribe  # noqa: PLC0415 - the same
        from langchain_hf_endpoint._http.clients import Clients  # noqa: PLC0415 - httpx loads late

        return await adescribe(self, Clients(asynchronous=http_async_client), parity=parity)


def _model_of(endpoint: InferenceEndpoint) -> tuple[object, ...]:
    """What of the settings says which model's vectors come."""
    service = endpoint.service_settings
    return service.url, service.model, endpoint.task_settings.dimensions


def made_endpoint(
    task_type: str, endpoint: object, settings: dict[str, Any]
) -> tuple[InferenceEndpoint | None, list[Problem]]:
    """The endpoint of a class over one, or what is wrong with what it was given.

    Args:
        task_type: Of the class.
        endpoint: An endpoint, a dump of one, or None.
        settings: The fields of one instead.
    """
    if endpoint is not None and settings:
        both = "give either endpoint or the fields of one, not both"
        return None, [(name, both) for name in settings]
    if isinstance(endpoint, Mapping):  # of a dump
        settings, endpoint = dict(endpoint), None
    if endpoint is None:
        try:
            endpoint = InferenceEndpoint(**{"task_type": task_type, **settings})
        except SettingsError as error:
            return None, list(error.problems)
    if not isinstance(endpoint, InferenceEndpoint):
        return None, wrong_type("endpoint", endpoint, InferenceEndpoint)
    if endpoint.task_type != task_type:
        other = f"has the task type {endpoint.task_type!r}: here it must be {task_type!r}"
        return None, [("endpoint", other)]
    return endpoint, []


def _id_of(service_settings: object) -> str:
    """A name derived from the URL's host, for endpoints that are given none."""
    if isinstance(service_settings, ServiceSettings):
        url: object = service_settings.url
    else:
        url = service_settings.get("url") if hasattr(service_settings, "get") else None
    try:
        host = host_of(url) if isinstance(url, str) else ""
    except ValueError:
        host = ""
    plain = re.sub(r"[^a-z0-9_.]+", "-", host.lower())[:_LONGEST_ID].strip("-_.")
    return plain or "endpoint"


def preferring_fast(endpoint: InferenceEndpoint) -> InferenceEndpoint:
    """The endpoint over the fastest transport, if none was chosen: for our own programs."""
    from langchain_hf_endpoint._http.clients import fastest_transport  # noqa: PLC0415 - httpx loads late

    service = endpoint.service_settings
    fastest = "httpx" if "transport" in service.model_fields_set else fastest_transport(service.url)
    if fastest == "httpx":
        return endpoint
    service = service.model_copy(update={"transport": fastest})
    return endpoint.model_copy(update={"service_settings": service})


def short_form(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The arguments that make this endpoint; the key, where one was given, as a `SecretStr`."""
    config = endpoint.public_config()
    arguments = {**config.pop("service_settings"), **config}
    key = endpoint.service_settings.api_key
    return arguments if key is None else {**arguments, "api_key": key}
