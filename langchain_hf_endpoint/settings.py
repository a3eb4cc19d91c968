"""The sections of an inference endpoint's settings, their ranges and their defaults.

The ranges are Elastic's:
https://www.elastic.co/docs/solutions/search/semantic-search/semantic-search-inference
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator

from langchain_hf_endpoint._secrets import (
    advice_on_tokens,
    is_variable_name,
    key_of_variable,
    key_problem,
    usable_tokens,
    variable_problem,
)
from langchain_hf_endpoint._urls import is_hugging_face, is_loopback, url_problem
from langchain_hf_endpoint._validation import (
    Allowed,
    Flag,
    PositiveInteger,
    Problem,
    Section,
    Text,
)
from langchain_hf_endpoint.chunking_settings import (
    DEFAULTS,
    FEWEST_TOKENS,
    IN_PLACE_OF_FIELDS,
    PUNKT_LANGUAGES,
    SMALLEST_CHUNK,
    USUAL_SIZE,
    chunking_fields,
    usual_overlap,
)
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _is_no_url(value: str) -> str:
    if value.lower().startswith(("http://", "https://")):  # vLLM knows models as s3://…
        raise ValueError("must be a model's name, not a URL: give that as url")
    return value


def _is_a_name(value: str) -> str:
    if not is_variable_name(value):
        raise ValueError(f"must be {_A_VARIABLE}")
    return value


def _is_a_token_bound(value: object) -> object:
    if value != "auto" and (type(value) is not int or value < FEWEST_TOKENS):
        raise ValueError(f"must be an integer of {FEWEST_TOKENS} or more, or 'auto'")
    return value


_A_VARIABLE = "the name of an environment variable, not the key itself"
_File: TypeAlias = Annotated[
    str,
    Field(strict=True, min_length=1, max_length=4096, pattern=r"^[^\x00]+$"),
    Allowed("the name of a PEM file, as a string"),
]
DialectName: TypeAlias = Literal["auto", "tei", "hugging_face", "openai"]
TransportName: TypeAlias = Literal["httpx", "aiohttp"]
_LONGEST = 1_000_000  # seconds, eleven days; far larger ones overflow the system's clocks


class RateLimit(Section):
    """How many requests may be sent.

    Attributes:
        requests_per_minute: HTTP requests in any 60 seconds, retries included. Default 3000.
    """

    requests_per_minute: PositiveInteger = 3000


class TlsSettings(Section):
    """Certificates for connections to an endpoint behind a private authority or a mutual check.

    The files are read, and found wrong, where a first request is about to be sent. Nothing here or
    elsewhere turns the check of the server's certificate off.

    Attributes:
        ca_file: The authorities that are trusted, and no others. Default: those of ``certifi``, or
            of ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``.
        certificate_file: Our own certificate with its chain, for a server that asks for one.
        key_file: Its private key, not encrypted. Default: it stands in `certificate_file`.
    """

    ca_file: _File | None = None
    certificate_file: _File | None = None
    key_file: _File | None = None

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        alone = "key_file" in fields and "certificate_file" not in fields
        return fields, [("key_file", "is of no use without certificate_file")] if alone else []


class _EndpointSection(Section):
    @classmethod
    def _elsewhere(cls) -> Mapping[str, str]:
        return fields_within()


class ServiceSettings(_EndpointSection):
    """Where the endpoint is, and how it may be used.

    Attributes:
        url: The http(s) URL that is posted to as given.
        api_key: Write-only. Absent: `api_key_env`, then the environment's ``HF_TOKEN``, which is
            sent to Hugging Face's own hosts over https only.
        api_key_env: The name of an environment variable that holds the key. It is read where a
            request is sent, so that a pickle of the endpoint holds no key.
        rate_limit: Default 3000 requests per minute.
        dialect: The server's protocol; ``auto`` finds out.
        model: The model's name, such as ``intfloat/e5-small-v2``: sent where the protocol has a
            place for it, and decides the prompts. Default: what the server says.
        max_input_tokens: Inputs are cut to three characters for each of so many tokens, as Elastic
            does. Default: they are not cut here.
        dimensions: Numbers in the model's vectors: others are refused. Default: whatever comes.
        similarity: What stored vectors are to be compared by; it changes nothing here.
        max_batch_size: Inputs per request. Default: what the server says, else 32.
        max_concurrent_requests: Requests in flight. Default: adapts to the server.
        timeout: Seconds for one attempt. Default 60.
        max_wait: Seconds that one batch may spend on retries, a cold start included. Default 600.
        allow_insecure_http: Send a key over plain http to a host that is not this machine.
        tls: Certificates other than the usual ones.
        transport: What sends: ``httpx``, or the faster ``aiohttp`` (extra ``[fast]``). Queries of
            sync methods, and their calls of fewer than 16 batches, go over httpx in either case.
    """

    url: Annotated[str, Field(strict=True), Allowed("an http:// or https:// URL")]
    api_key: SecretStr | None = Field(default=None, exclude=True)
    api_key_env: (
        Annotated[str, Field(strict=True), AfterValidator(_is_a_name), Allowed(_A_VARIABLE)] | None
    ) = None
    rate_limit: RateLimit = RateLimit()
    dialect: DialectName = "auto"
    model: (
        Annotated[
            str,
            Field(strict=True, min_length=1, max_length=200, pattern=r"^[!-~]+$"),
            AfterValidator(_is_no_url),
            Allowed("a model's name: printable ASCII without blanks, at most 200 characters"),
        ]
        | None
    ) = None
    max_input_tokens: PositiveInteger | None = None
    dimensions: PositiveInteger | None = None
    similarity: Literal["cosine", "dot_product", "l2_norm"] | None = None
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
    transport: TransportName = "httpx"

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if problem := url_problem(url):
            raise ValueError(problem)
        return url

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, api_key: SecretStr | None) -> SecretStr | None:
        if api_key is not None and (problem := key_problem(api_key.get_secret_value())):
            raise ValueError(problem)
        return api_key

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        url = fields.get("url")
        if not isinstance(url, str) or url_problem(url):
            return fields, []
        problems: list[Problem] = []
        is_plain = url.lower().startswith("http:")
        has_key = "api_key" in fields or "api_key_env" in fields
        is_allowed = fields.get("allow_insecure_http") is True or is_loopback(url)
        if is_plain and has_key and not is_allowed:
            advice = "use https://, or set allow_insecure_http=True"
            problems.append(("url", f"a key is not sent over http to other machines; {advice}"))
        if is_plain and "tls" in fields:
            problems.append(("tls", "is of no use with an http:// URL; use https://"))
        return fields, problems

    def find_key(self) -> SecretStr | None:
        """Look the key up, where it is about to be used.

        Returns:
            The key given; else the value of `api_key_env`; else, for one of Hugging Face's own
            hosts over https, the user's own token: of ``HF_TOKEN``, ``HUGGING_FACE_HUB_TOKEN``,
            ``HUGGINGFACEHUB_API_TOKEN``, or of the file that ``hf auth login`` writes; else None.
            Quotes around a key of the environment and ``Bearer`` before it are taken off.

        Raises:
            SettingsError: The variable that `api_key_env` names is not set, or holds no key.
        """
        if self.api_key is not None:
            return self.api_key
        if self.api_key_env is not None:
            key = key_of_variable(self.api_key_env)
            if problem := variable_problem(self.api_key_env, key.get_secret_value()):
                raise SettingsError(("service_settings.api_key_env", problem))
            return key
        if not is_hugging_face(self.url):
            return None
        return next((key for _, key in usable_tokens()), None)

    def advice_on_key(self) -> str:
        """What to do when the server does not take the key that `find_key` finds, or its lack."""
        if self.api_key is not None:
            return "Check api_key, and what the token may do."
        if self.api_key_env is not None:
            return f"Check the key in {self.api_key_env}, and what the token may do."
        return advice_on_tokens(are_read=is_hugging_face(self.url))


class ChunkingSettings(_EndpointSection):
    """How a long text is cut. A word is a run of characters between blanks.

    Attributes:
        strategy: ``sentence`` packs whole sentences, ``word`` slides a window of words,
            ``recursive`` cuts where separators are, ``none`` leaves the text whole. Default
            ``sentence``.
        max_chunking_size: Words per chunk, 20 to 300 (``sentence``) or 10 to 300 (``word``,
            ``recursive``). Default 250, but no limit where `max_chunk_tokens` is a number.
            ``max_chunk_size`` is accepted as another name.
        overlap: ``word`` only: words that a chunk shares with the one before, 0 to half the size.
            Default 100, or half the size where that is less.
        sentence_overlap: ``sentence`` only: sentences shared with the chunk before, 0 or 1.
            Default 1.
        language: ``sentence`` only: one of `PUNKT_LANGUAGES`, or its ISO 639 code (``de``).
            Default ``english``.
        separators: ``recursive`` only: regular expressions, the coarsest first, at most 50. Or
            `separator_group`: ``plaintext``, which cuts at empty lines and then at lines, or
            ``markdown``, at headings. Default ``plaintext``.
        max_chunk_tokens: Tokens of a chunk, 8 or more, beside the words if their number is set;
            ``auto``: as many as the server says that its model reads, less those of the prompt and
            those that the model puts around each input, beside the words in any case. With
            ``none`` a text that has more is cut as with ``sentence``.
            Default: words alone count.
        tokenizer: The model's ``tokenizer.json``, to count tokens on this machine. Default: the
            server counts them, or they are estimated.

    A field that belongs to another strategy is an error. Fields that do not apply are None, which
    is the same as absent, in every section.
    """

    strategy: Literal["sentence", "word", "recursive", "none"] = "sentence"
    max_chunking_size: Annotated[int, Field(strict=True), Allowed("an integer")] | None = None
    overlap: Annotated[int, Field(strict=True), Allowed("an integer")] | None = None
    sentence_overlap: (
        Annotated[int, Field(strict=True, ge=0, le=1), Allowed("either 0 or 1")] | None
    ) = None
    language: Literal[PUNKT_LANGUAGES] | None = None  # type: ignore[valid-type]
    separators: tuple[Text, ...] | None = None
    max_chunk_tokens: (
        Annotated[int | Literal["auto"], BeforeValidator(_is_a_token_bound)] | None
    ) = None
    tokenizer: Text | None = None
    _in_place_of_fields: ClassVar[Mapping[str, str]] = IN_PLACE_OF_FIELDS

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        return chunking_fields(fields)

    @property
    def asks_server(self) -> bool:
        """Whether it takes a server to know what bounds a chunk."""
        tokens = self.max_chunk_tokens
        return tokens is not None and (tokens == "auto" or self.tokenizer is None)

    def smaller_by(self, words: int, tokens: int) -> Self:
        """The same settings for chunks of fewer words and tokens, as far as that is allowed.

        An overlap that is over half of the new size becomes that half.
        """
        changed: dict[str, int] = {}
        if isinstance(self.max_chunk_tokens, int):
            changed["max_chunk_tokens"] = max(FEWEST_TOKENS, self.max_chunk_tokens - tokens)
        if self.max_chunking_size is not None:
            size = max(SMALLEST_CHUNK[self.strategy], self.max_chunking_size - words)
            changed["max_chunking_size"] = size
            if self.overlap is not None:
                changed["overlap"] = min(self.overlap, size // 2)
        return self.model_copy(update=changed)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; the usual size and overlap give way to those that go with the update.

        They are not known from the same numbers that were given.
        """
        changed, size = {**(update or {})}, self.max_chunking_size
        if changed and self.overlap == usual_overlap(size):
            changed = {"overlap": None, **changed}
        if changed and size == USUAL_SIZE and not isinstance(self.max_chunk_tokens, int):
            changed = {"max_chunking_size": None, **changed}
        return super().model_copy(update=changed, deep=deep)

    def public_config(self) -> dict[str, Any]:
        """The settings as JSON: those that apply, `language` only where it is not the default."""
        config = self.model_dump(mode="json", exclude_none=True)
        if config.get("language") == DEFAULTS["sentence"]["language"]:
            del config["language"]
        return config


TASK_TYPES = ("text_embedding", "rerank")
"""What an endpoint may be for."""


class TaskSettings(_EndpointSection):
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
        top_n: Of the task type ``rerank``: how many of the best documents to return. Default: all.
        return_documents: Of the same: whether the gateway repeats their texts. Default False.
    """

    query_prompt: Text | None = None
    document_prompt: Text | None = None
    query_prompt_name: Text | None = None
    document_prompt_name: Text | None = None
    truncate: Flag = True
    normalize: Flag = True
    dimensions: PositiveInteger | None = None
    top_n: PositiveInteger | None = None
    return_documents: Flag | None = None

    @field_validator("query_prompt", "document_prompt", "query_prompt_name", "document_prompt_name")
    @classmethod
    def _check_prompt(cls, prompt: str | None) -> str | None:
        if prompt is not None and any("\ud800" <= letter <= "\udfff" for letter in prompt):
            raise ValueError("holds a lone surrogate, which no UTF-8 can carry")
        return prompt

    @classmethod
    def _prepared(cls, fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        return fields, [
            (f"{side}_prompt_name", f"give either {side}_prompt or {side}_prompt_name, not both")
            for side in ("query", "document")
            if fields.get(f"{side}_prompt") and fields.get(f"{side}_prompt_name")
        ]


AS_KEYWORD = '{section}={{"{field}": …}}'


def fields_within(form: str = "{section}.{field}") -> Mapping[str, str]:
    """Each field of a section, and how it is written where it is looked for outside of it."""
    sections: Mapping[str, type[Section]] = {
        "service_settings": ServiceSettings,
        "chunking_settings": ChunkingSettings,
        "task_settings": TaskSettings,
        "rate_limit": RateLimit,
    }
    return {
        field: form.format(section=section, field=field)
        for section, model in sections.items()
        for field in model.model_fields
    }
