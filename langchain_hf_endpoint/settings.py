"""The sections of an inference endpoint's JSON: what may stand in them, and their defaults.

It knows the ranges of the interface that this package follows
(https://www.elastic.co/docs/solutions/search/semantic-search/semantic-search-inference) and the
rules for keys. It must not do any I/O beyond reading an environment variable that holds a key.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, SecretStr, field_validator, model_validator
from typing_extensions import Self

from langchain_hf_endpoint._sections import (
    Allowed,
    Flag,
    PositiveInteger,
    Problem,
    Section,
    Text,
)
from langchain_hf_endpoint._urls import is_hugging_face, is_loopback, url_problem
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.tls_settings import TlsSettings  # noqa: TC001 - pydantic reads it

PUNKT_LANGUAGES = (
    "czech", "danish", "dutch", "english", "estonian", "finnish", "french", "german", "greek",
    "italian", "malayalam", "norwegian", "polish", "portuguese", "russian", "slovene", "spanish",
    "swedish", "turkish",
)  # fmt: skip
"""The languages that NLTK's sentence tokenizer (punkt) was trained on."""

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable, no token


VariableName: TypeAlias = Annotated[
    str,
    Field(strict=True, pattern=r"^[^=\s\x00]+$"),
    Allowed("the name of an environment variable, not the key itself"),
]


_LONGEST = 1_000_000  # seconds, eleven days; far larger ones overflow the system's clocks


class RateLimit(Section):
    """How many requests may be sent.

    Attributes:
        requests_per_minute: HTTP requests in any 60 seconds, retries included. Default 3000.
    """

    requests_per_minute: PositiveInteger = 3000


class ServiceSettings(Section):
    """Where the endpoint is, and how it may be used.

    Attributes:
        url: The http(s) URL that is posted to as given.
        api_key: Write-only. Absent: `api_key_env`, then the environment's ``HF_TOKEN``, which is
            sent to Hugging Face's own hosts over https only.
        api_key_env: The name of an environment variable that holds the key. It is read where a
            request is sent, so that a pickle of the endpoint holds no key.
        rate_limit: Default 3000 requests per minute.
        dialect: The server's protocol; ``auto`` finds out.
        max_batch_size: Inputs per request. Default: what the server says, else 32.
        max_concurrent_requests: Requests in flight. Default: adapts to the server.
        timeout: Seconds for one attempt. Default 60.
        max_wait: Seconds that one batch may spend on retries, a cold start included. Default 600.
        allow_insecure_http: Send a key over plain http to a host that is not this machine.
        tls: Certificates other than the usual ones.
        transport: What sends async calls: ``httpx``, or the faster ``aiohttp`` (extra ``[fast]``).
    """

    url: Annotated[str, Field(strict=True), Allowed("an http:// or https:// URL")]
    api_key: SecretStr | None = Field(default=None, exclude=True)
    api_key_env: VariableName | None = None
    rate_limit: RateLimit = RateLimit()
    dialect: Literal["auto", "tei", "hugging_face", "openai"] = "auto"
    max_batch_size: PositiveInteger | None = None
    max_concurrent_requests: PositiveInteger | None = None
    timeout: Annotated[
        float,
        Field(strict=True, gt=0, le=_LONGEST, allow_inf_nan=False),
        Allowed(f"seconds, more than 0, at most {_LONGEST:,}"),
    ] = 60.0
    max_wait: Annotated[
        float,
        Field(strict=True, ge=0, le=_LONGEST, allow_inf_nan=False),
        Allowed(f"seconds, 0 or more, at most {_LONGEST:,}"),
    ] = 600.0
    allow_insecure_http: Flag = False
    tls: TlsSettings | None = None
    transport: Literal["httpx", "aiohttp"] = "httpx"

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if problem := url_problem(url):
            raise ValueError(problem)
        return url

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, api_key: SecretStr | None) -> SecretStr | None:
        if api_key is not None and (problem := _key_problem(api_key.get_secret_value())):
            raise ValueError(problem)
        return api_key

    @model_validator(mode="after")
    def _keep_the_key_off_plain_http(self) -> Self:
        has_key = self.api_key is not None or self.api_key_env is not None
        plain = self.url.lower().startswith("http:") and not is_loopback(self.url)
        if has_key and plain and not self.allow_insecure_http:
            advice = "use https://, or set allow_insecure_http=True"
            raise SettingsError(("url", f"a key is not sent over http to other machines; {advice}"))
        return self

    @model_validator(mode="after")
    def _tls_is_for_https(self) -> Self:
        if self.tls is not None and not self.url.lower().startswith("https:"):
            raise SettingsError(("tls", "is of no use with an http:// URL; use https://"))
        return self

    def find_key(self) -> SecretStr | None:
        """Look the key up, where it is about to be used.

        Returns:
            The key given; else the value of `api_key_env`; else ``HF_TOKEN`` for one of Hugging
            Face's own hosts over https; else None.

        Raises:
            SettingsError: The variable that `api_key_env` names is not set, or holds no key.
        """
        if self.api_key is not None:
            return self.api_key
        if self.api_key_env is not None:
            return _key_of_environment(self.api_key_env)
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        if token and is_hugging_face(self.url) and not _key_problem(token):
            return SecretStr(token)
        return None


def _key_of_environment(variable: str) -> SecretStr:
    key = SecretStr(os.environ.get(variable, "").strip())
    if not key.get_secret_value():
        raise SettingsError(
            ("service_settings.api_key_env", f"the environment variable {variable} is not set")
        )
    if problem := _key_problem(key.get_secret_value()):
        raise SettingsError(("service_settings.api_key_env", f"{variable}: {problem}"))
    return key


def _key_problem(key: str) -> str | None:
    if not key:
        return "must not be empty; leave it out for a server without a key"
    if not all("!" <= letter <= "~" for letter in key):
        return "holds a blank, a control or a non-ASCII character; check for a stray line break"
    return None


_WINDOW = {"max_chunking_size"}
_FIELDS_OF_STRATEGY = {
    "sentence": _WINDOW | {"sentence_overlap", "language"},
    "word": _WINDOW | {"overlap"},
    "none": set[str](),
}
_SMALLEST_CHUNK = {"sentence": 20, "word": 10}
_LARGEST_CHUNK = 300
_DEFAULT_SIZE = 250
_DEFAULT_OVERLAP = 100
_DEFAULT_LANGUAGE = "english"


class ChunkingSettings(Section):
    """How a long text is cut. A word is a run of characters between blanks.

    Attributes:
        strategy: ``sentence`` packs whole sentences, ``word`` slides a window of words, ``none``
            leaves the text whole. Default ``sentence``.
        max_chunking_size: Words per chunk, 20 to 300 (``sentence``) or 10 to 300 (``word``).
            Default 250. ``max_chunk_size`` is accepted as another name.
        overlap: ``word`` only: words that a chunk shares with the one before, 0 to half the size.
            Default 100, or half the size where that is less.
        sentence_overlap: ``sentence`` only: sentences shared with the chunk before, 0 or 1.
            Default 1.
        language: ``sentence`` only: one of `PUNKT_LANGUAGES`. Default ``english``.

    A field that belongs to another strategy is an error. Fields that do not apply are None.
    """

    strategy: Literal["sentence", "word", "none"] = "sentence"
    max_chunking_size: Annotated[int, Field(strict=True), Allowed("an integer")] | None = None
    overlap: Annotated[int, Field(strict=True), Allowed("an integer")] | None = None
    sentence_overlap: (
        Annotated[int, Field(strict=True, ge=0, le=1), Allowed("either 0 or 1")] | None
    ) = None
    language: Literal[PUNKT_LANGUAGES] | None = None  # type: ignore[valid-type]

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        # None stands for "does not apply" in a dump of these settings: the same as absent.
        fields, problems = _one_size(
            {name: value for name, value in fields.items() if value is not None}
        )
        strategy = fields.get("strategy", "sentence")
        if not isinstance(strategy, str) or strategy not in _FIELDS_OF_STRATEGY:
            return fields, problems
        problems += _foreign(strategy, fields)
        fields = {**_chunking_defaults(strategy, fields), **fields}
        return fields, [*problems, *_out_of_range(strategy, fields)]

    def smaller_by(self, words: int) -> Self:
        """The same settings for chunks of fewer words, but not of fewer than are allowed.

        An overlap that is over half of the new size becomes that half.
        """
        if self.max_chunking_size is None:
            return self
        size = max(_SMALLEST_CHUNK[self.strategy], self.max_chunking_size - words)
        if self.overlap is None:
            return self.model_copy(update={"max_chunking_size": size})
        overlap = min(self.overlap, size // 2)
        return self.model_copy(update={"max_chunking_size": size, "overlap": overlap})

    def public_config(self) -> dict[str, Any]:
        """The settings as JSON: those that apply, `language` only where it is not the default."""
        config = self.model_dump(mode="json", exclude_none=True)
        if config.get("language") == _DEFAULT_LANGUAGE:
            del config["language"]
        return config


def _one_size(fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Take either name of the size; the seed's page uses one, Elastic's product the other."""
    if "max_chunk_size" not in fields:
        return fields, []
    size = fields.pop("max_chunk_size")
    if "max_chunking_size" in fields:
        both = "max_chunking_size and max_chunk_size are two names of one field; give one of them"
        return fields, [("max_chunk_size", both)]
    return {**fields, "max_chunking_size": size}, []


def _foreign(strategy: str, fields: dict[str, Any]) -> list[Problem]:
    """Take out the fields of the other strategies and name them."""
    allowed = _FIELDS_OF_STRATEGY[strategy]
    can_have = ", ".join(sorted(allowed)) or "no other field"
    others = set().union(*_FIELDS_OF_STRATEGY.values()) - allowed
    foreign = [name for name in fields if name in others]
    for name in foreign:
        del fields[name]
    return [
        (name, f"does not go with strategy {strategy!r}, which has {can_have}") for name in foreign
    ]


def _out_of_range(strategy: str, fields: dict[str, Any]) -> list[Problem]:
    """Check the ranges that depend on another field; wrong types are left to pydantic."""
    size, overlap = fields.get("max_chunking_size"), fields.get("overlap")
    if size is None or not _is_integer(size):
        return []
    smallest = _SMALLEST_CHUNK[strategy]
    if not smallest <= size <= _LARGEST_CHUNK:
        allowed = f"{smallest} to {_LARGEST_CHUNK} words for strategy {strategy!r}"
        return [("max_chunking_size", f"{size} is not allowed: must be {allowed}")]
    if overlap is not None and _is_integer(overlap) and not 0 <= overlap <= size // 2:
        allowed = f"0 to {size // 2}, half of max_chunking_size ({size})"
        return [("overlap", f"{overlap} is not allowed: must be {allowed}")]
    return []


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _chunking_defaults(strategy: str, fields: dict[str, Any]) -> dict[str, Any]:
    if strategy == "sentence":
        return {
            "max_chunking_size": _DEFAULT_SIZE,
            "sentence_overlap": 1,
            "language": _DEFAULT_LANGUAGE,
        }
    if strategy == "word":
        size = fields.get("max_chunking_size", _DEFAULT_SIZE)
        half = size // 2 if _is_integer(size) else _DEFAULT_OVERLAP
        return {"max_chunking_size": _DEFAULT_SIZE, "overlap": max(0, min(_DEFAULT_OVERLAP, half))}
    return {}


class TaskSettings(Section):
    """What happens to each input on its way into the model.

    Attributes:
        query_prompt: Text put before each query, such as ``"query: "``. Default: none, but for
            the E5 models that need it, when the model is known. ``""`` means none in any case.
        document_prompt: The same for each chunk of a document.
        query_prompt_name: The name of a prompt that the server knows, for queries.
        document_prompt_name: The same for documents.
        truncate: Let the server cut an input that is over the model's limit. Default True.
        normalize: Vectors of length 1. Default True.
        dimensions: Ask for shorter vectors, of models trained for it. Default: the model's.
    """

    query_prompt: Text | None = None
    document_prompt: Text | None = None
    query_prompt_name: Text | None = None
    document_prompt_name: Text | None = None
    truncate: Flag = True
    normalize: Flag = True
    dimensions: PositiveInteger | None = None

    _sides: ClassVar[tuple[str, str]] = ("query", "document")

    @field_validator("query_prompt", "document_prompt", "query_prompt_name", "document_prompt_name")
    @classmethod
    def _check_prompt(cls, prompt: str | None) -> str | None:
        if prompt is not None and any("\ud800" <= letter <= "\udfff" for letter in prompt):
            raise ValueError("holds a lone surrogate, which no UTF-8 can carry")
        return prompt

    @model_validator(mode="after")
    def _one_prompt_a_side(self) -> Self:
        problems = [
            (f"{side}_prompt_name", f"give either {side}_prompt or {side}_prompt_name, not both")
            for side in self._sides
            if getattr(self, f"{side}_prompt") and getattr(self, f"{side}_prompt_name")
        ]
        if problems:
            raise SettingsError(*problems)
        return self
