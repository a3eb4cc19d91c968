"""Check a section of settings and word pydantic's errors, naming every wrong field at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import wraps
from numbers import Integral
from traceback import clear_frames
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    get_args,
)

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from langchain_hf_endpoint._secrets import looks_like_a_key, without_perhaps_keys
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic_core import ErrorDetails

P = ParamSpec("P")
R = TypeVar("R")

Problem: TypeAlias = "tuple[str, str]"
"""A field's dotted name, and what is wrong with it and what is allowed."""

_LONGEST_VALUE_SHOWN = 60
_LONGEST_VALUE_READ = 1000

_PYDANTICS = [
    (re.compile(pattern), words)
    for pattern, words in (
        (r"^Value error, ", ""),
        (r", unable to parse.*", ""),
        (
            r"Input should be a valid dictionary or instance of (\w+)",
            r"must be an object with the fields of \1",
        ),
        (r"Input should be a valid (?=[aeiou])", "must be an "),
        (r"Input should be a valid ", "must be a "),
        (r"Input should be greater than or equal to (.*)", r"must be \1 or more"),
        (r"Input should be less than or equal to (.*)", r"must be \1 or less"),
        (r"Input should be ", "must be "),
        (r" is not a valid integer\b", ": must be an integer"),  # older versions of click
        (r" is not a valid float\b", ": must be a number"),
    )
]


@dataclass(frozen=True)
class Allowed:
    """Says in words which values a field takes; stands in the field's annotation."""

    text: str


PositiveInteger: TypeAlias = Annotated[
    int, Field(strict=True, ge=1), Allowed("an integer of 1 or more")
]
Flag: TypeAlias = Annotated[bool, Field(strict=True), Allowed("true or false")]
Text: TypeAlias = Annotated[str, Field(strict=True), Allowed("a string")]


def clears_frames(function: Callable[P, R]) -> Callable[P, R]:
    """Take the values of local variables out of the tracebacks of what a function raises.

    They are shown by error trackers and debuggers, and any argument may be a key by mistake.
    """

    @wraps(function)
    def clearing(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            clear_frames(error.__traceback__)
            raise

    return clearing


_USER = re.compile(r"^([^/?#]*//)[^/?#]*(?=@)")
_MAY_HOLD_A_KEY = frozenset({"api_key", "inference_config", "service_settings"})


@dataclass(frozen=True)
class Hidden:
    """Stands for a value that must not be shown and is of no use. It shows only the type."""

    type_name: str


def hidden(name: str, value: Any) -> Any:
    """The value of a setting without any key in clear, however deep in it.

    To be called before anything can go wrong: a traceback that is rendered with the values of
    local variables, as error trackers and debuggers do, shows all that the frames still hold.
    """
    if isinstance(value, Mapping):
        return {str(key): hidden(str(key), part) for key, part in value.items()}
    if name in NAMES_OF_KEYS and isinstance(value, str):
        return SecretStr(value)
    if value is None or isinstance(value, (SecretStr, BaseModel)):
        return value
    if name == "url" and isinstance(value, str):
        value = _USER.sub(r"\1***", value)  # is refused, and may be a key
    is_a_key = isinstance(value, str) and looks_like_a_key(value)
    return Hidden(type(value).__name__) if is_a_key or name in _MAY_HOLD_A_KEY else value


def given(arguments: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those arguments of these names that were given, without any key in clear; see `hidden`."""
    found = {name: arguments.get(name) for name in names}
    return {name: hidden(name, value) for name, value in found.items() if value is not None}


def as_int(value: Any) -> Any:
    """The integer of another library, such as numpy's, as Python's; anything else as it is."""
    if isinstance(value, int) or not isinstance(value, Integral):
        return value
    return int(value)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown fields and names every wrong one.

    Raises:
        SettingsError: With one problem for each wrong field. It never shows a secret's value.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        # Else the words of pydantic would repeat a key that stands in a wrong field.
        hide_input_in_errors=True,
        validate_default=True,
        protected_namespaces=(),  # `model_id` is a field: pydantic before 2.10 warns of the name
    )
    _never_shown: ClassVar[frozenset[str]] = frozenset(
        {"api_key", "api_key_env", "service_settings", "url"}
    )
    _in_place_of_fields: ClassVar[Mapping[str, str]] = {}

    @clears_frames
    def __init__(self, **fields: Any) -> None:
        fields, problems = self._prepared(self._set(hidden("", fields)))
        try:
            super().__init__(**fields)
        except ValidationError as error:
            problems = [*problems, *self._problems(error)]
        # Outside of the except block, so that no chained error holds what was passed.
        if problems:
            raise SettingsError(*problems)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Show what was set, not the dozen defaults."""
        for name, field in type(self).model_fields.items():
            if name not in self.__dict__:
                continue  # seen before it was validated, such as by a debugger
            value = getattr(self, name)
            if value != field.get_default(call_default_factory=True):
                yield name, value

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse, in words that do not repeat the value, which may be a key."""
        if name in type(self).model_fields:
            value = None  # a traceback may show it
            raise SettingsError((name, "cannot be changed: settings are frozen; make new ones"))
        super().__setattr__(name, value)

    @clears_frames
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; with `update` it is checked as a new object is."""
        if not update:
            return super().model_copy(deep=deep)
        update = hidden("", update)
        return type(self)(
            **{**{name: getattr(self, name) for name in self.model_fields_set}, **update}
        )

    @classmethod
    def _set(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields without those that are None: the same as absent, where one may be absent."""
        known = cls.model_fields
        return {
            name: as_int(value)
            for name, value in fields.items()
            if value is not None or name not in known or known[name].is_required()
        }

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """Fill in what depends on other fields and name what cannot stand beside them."""
        return fields, []

    @classmethod
    def _problems(cls, error: ValidationError) -> Iterator[Problem]:
        for detail in error.errors(include_url=False):
            yield from cls._worded(detail)

    @classmethod
    def _worded(cls, detail: ErrorDetails) -> Iterator[Problem]:
        field = ".".join(str(part) for part in detail["loc"])
        # pydantic keeps the exception of a section within this one, since a SettingsError is a
        # ValueError.
        raised = detail.get("ctx", {}).get("error")
        if isinstance(raised, SettingsError):
            yield from (
                (f"{field}.{name}" if field else name, text) for name, text in raised.problems
            )
        elif detail["type"] == "extra_forbidden":
            allowed = [*cls.model_fields, *cls._in_place_of_fields]
            yield field, unknown_field(field, allowed, cls._elsewhere())
        elif detail["type"] == "missing":
            yield field, "is required"
        else:
            yield field, f"{cls._shown(field, detail['input'])}{cls._allowed(detail)}"

    @classmethod
    def _elsewhere(cls) -> Mapping[str, str]:
        """Fields of other sections that people look for here, and how they are written."""
        return {}

    @classmethod
    def _shown(cls, field: str, value: object) -> str:
        if field in cls._never_shown or isinstance(value, (dict, BaseModel)):
            return ""
        # Cut before it is looked through: its length may be the choice of a caller from outside.
        looked_at = value[:_LONGEST_VALUE_READ] if isinstance(value, str) else value
        shown = "***" if isinstance(value, Hidden) else without_perhaps_keys(repr(looked_at))
        if len(shown) > _LONGEST_VALUE_SHOWN:
            shown = shown[:_LONGEST_VALUE_SHOWN] + "…"
        return f"{shown} is not allowed: "

    @classmethod
    def _allowed(cls, detail: ErrorDetails) -> str:
        field = cls.model_fields.get(str(detail["loc"][0])) if detail["loc"] else None
        # A validator of ours has found the words already.
        if field and detail["type"] != "value_error":
            for note in (*field.metadata, *_notes_within(field.annotation)):
                if isinstance(note, Allowed):
                    return f"must be {note.text}"
        return in_our_words(detail["msg"])


def in_our_words(said: str) -> str:
    """What pydantic says of a value, in words that mean something to who does not know it."""
    for pattern, words in _PYDANTICS:
        said = pattern.sub(words, said)
    return said


def _notes_within(annotation: object) -> Iterator[object]:
    """The notes of the members of a union, such as those of ``Annotated[…] | None``."""
    yield from getattr(annotation, "__metadata__", ())
    for member in get_args(annotation):
        yield from _notes_within(member)


# Words that people bring from other libraries, and the field of ours that each of them means

_OTHER_NAMES: Mapping[str, str] = {
    "url": "api_base api_url base_url endpoint_url host inference_server_url model_id "
    "model_name openai_api_base repo_id server_url uri",
    "model": "model_id model_name repo_id",
    "api_key": "access_token api_token auth_token bearer hf_api_key hf_token huggingface_api_key "
    "huggingfacehub_api_token key openai_api_key token",
    "api_key_env": "key_env token_env",
    "dialect": "api_format backend protocol provider server_type",
    "max_wait": "max_retries max_retry_time num_retries retries retry retry_max_seconds",
    "timeout": "client_timeout read_timeout request_timeout timeout_seconds",
    "max_batch_size": "batch_size chunk_size embed_batch_size encode_batch_size inputs_per_request "
    "max_client_batch_size",
    "max_concurrent_requests": "concurrency max_concurrency max_connections max_parallel "
    "max_workers parallelism",
    "requests_per_minute": "rate_limit_per_minute requests_per_second rpm",
    "max_chunk_tokens": "max_tokens chunk_tokens",
    "max_chunking_size": "chunk_size max_words size",
    "overlap": "chunk_overlap",
    "sentence_overlap": "chunk_overlap overlap_sentences",
    "language": "lang locale",
    "normalize": "normalise normalize_embeddings",
    "truncate": "truncation",
    "dimensions": "dimension dims embedding_dim n_dimensions output_dimensionality",
    "query_prompt": "instruction prompt query_instruction query_prefix",
    "document_prompt": "document_prefix embed_instruction prompt passage_prefix passage_prompt "
    "text_instruction",
    "query_prompt_name": "prompt_name",
    "task_settings": "encode_kwargs model_kwargs parameters query_encode_kwargs",
    "chunking_settings": "chunking text_splitter",
    "inference_id": "endpoint_id endpoint_name id name",
    "rate_limiter": "limiter",
    "show_progress_bar": "progress progress_bar show_progress",
    "http_client": "client http headers default_headers proxies proxy session",
    "http_async_client": "async_client async_http_client",
    "tls": "ca_bundle cert ssl ssl_verify verify verify_ssl",
}
NAMES_OF_KEYS = frozenset({"api_key", *_OTHER_NAMES["api_key"].split()})
"""Under these names a key may be given, by mistake too."""


def wrong_type(field: str, value: object, wanted: type) -> list[Problem]:
    """What is wrong with a value that is to be an object of this class."""
    if isinstance(value, wanted):
        return []
    return [(field, f"must be of class {wanted.__name__}, not {type(value).__name__}")]


def unknown_field(
    name: str, allowed: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> str:
    """What is said of a field that there is not: what it may mean, and what there is.

    Args:
        name: The field.
        allowed: The fields that there are.
        elsewhere: Fields of other sections, and how they are written from here.
    """
    written = {field: field for field in allowed}
    for field, form in (elsewhere or {}).items():
        written.setdefault(field, form)
    meant = [written[field] for field in _meant_by(name.lower(), written)]
    hint = f" (did you mean {' or '.join(dict.fromkeys(meant))}?)" if meant else ""
    return f"unknown field{hint}; allowed here: {', '.join(allowed)}"


def _meant_by(name: str, fields: Iterable[str]) -> list[str]:
    if name in fields:
        return [name]
    known = [field for field in fields if name in _OTHER_NAMES.get(field, "").split()]
    return known or difflib.get_close_matches(name, fields, n=1, cutoff=0.75)
