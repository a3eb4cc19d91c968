"""Options that several commands have, and the settings that they stand for."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

import typer

from langchain_hf_endpoint.cli.output import Reading
from langchain_hf_endpoint.settings import ChunkingSettings, ServiceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_hf_endpoint import InferenceEndpoint
    from langchain_hf_endpoint.cli.ingest.readers import Columns

REGISTRY_VARIABLE = "HF_ENDPOINT_REGISTRY"
STRATEGIES = get_args(ChunkingSettings.model_fields["strategy"].annotation)
DIALECTS = get_args(ServiceSettings.model_fields["dialect"].annotation)
FORMATS = ("text", "jsonl", "csv", "tsv", "parquet")

Database = Annotated[
    Path | None,
    typer.Option(
        "--database",
        envvar=REGISTRY_VARIABLE,
        show_envvar=False,
        metavar="FILE",
        help=f"Use this registry (default: ${REGISTRY_VARIABLE}).",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="SOURCE", help="Take the key from env:NAME or file:PATH, or ask."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_Rate = typer.Option(
    "--rpm", metavar="N", help="Send at most N requests per minute (default: 3000)."
)
_Dialect = typer.Option(metavar="NAME", help=f"Use this protocol: {', '.join(DIALECTS)}.")
_Batch = typer.Option("--batch", metavar="N", help="Send at most N inputs per request.")
_AtOnce = typer.Option("--at-once", metavar="N", help="Keep at most N requests in flight.")
_Timeout = typer.Option(metavar="SECONDS", help="Stop one attempt after SECONDS (default: 60).")
_MaxWait = typer.Option(metavar="SECONDS", help="Retry a batch for up to SECONDS (default: 600).")
_Model = typer.Option(metavar="NAME", help="Use this model name, if the server reports none.")
_DocumentPrompt = typer.Option(metavar="TEXT", help="Prepend TEXT to each document.")
_QueryPrompt = typer.Option(metavar="TEXT", help="Prepend TEXT to each query.")
_Strategy = typer.Option(metavar="NAME", help=f"Chunk in this way: {', '.join(STRATEGIES)}.")
_Size = typer.Option("--size", metavar="N", help="Make chunks of at most N words (default: 250).")
_Tokens = typer.Option(metavar="N", help="Limit chunks to N tokens, not 250 words; or auto.")
_Tokenizer = typer.Option(metavar="FILE", help="Count tokens with this tokenizer.json.")
_Overlap = typer.Option(metavar="N", help="Overlap chunks by N words, or 0 or 1 sentences.")
_SeparatorGroup = typer.Option(metavar="NAME", help="Cut at plaintext's or markdown's separators.")
_Language = typer.Option(metavar="NAME", help="Split sentences as in this language (en, german).")
_TextColumn = typer.Option(metavar="NAME", help="Read texts from this column (default: text).")
_Format = typer.Option("--format", metavar="NAME", help=f"Read files as {', '.join(FORMATS)}.")
_Delimiter = typer.Option(metavar="CHAR", help="Split CSV columns at this character, or tab.")

_FIELDS = {"rpm": "rate_limit", "batch": "max_batch_size", "at_once": "max_concurrent_requests"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """How requests are sent."""

    rpm: Annotated[int | None, _Rate] = None
    dialect: Annotated[Literal[DIALECTS] | None, _Dialect] = None  # type: ignore[valid-type]
    batch: Annotated[int | None, _Batch] = None
    at_once: Annotated[int | None, _AtOnce] = None
    timeout: Annotated[float | None, _Timeout] = None
    max_wait: Annotated[float | None, _MaxWait] = None

    def sections(self) -> dict[str, dict[str, Any]]:
        """The sections of an endpoint that these options change, with nothing else in them."""
        sections: dict[str, dict[str, Any]] = {}
        for option, value in asdict(self).items():
            if value is not None:
                section = "task_settings" if option.endswith("_prompt") else "service_settings"
                field = _FIELDS.get(option, option)
                setting = {"requests_per_minute": value} if option == "rpm" else value
                sections.setdefault(section, {})[field] = setting
        return sections

    def applied_to(
        self, endpoint: InferenceEndpoint, chunking: ChunkingSettings
    ) -> InferenceEndpoint:
        """The endpoint as it is used in this run."""
        changed = {
            name: getattr(endpoint, name).model_copy(update=settings)
            for name, settings in self.sections().items()
        }
        return endpoint.model_copy(update={**changed, "chunking_settings": chunking})


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentOptions(RequestOptions):
    """How documents are embedded."""

    model: Annotated[str | None, _Model] = None
    document_prompt: Annotated[str | None, _DocumentPrompt] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointOptions(DocumentOptions):
    """How documents and queries are embedded."""

    query_prompt: Annotated[str | None, _QueryPrompt] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingOptions:
    """How texts are cut."""

    strategy: Annotated[Literal[STRATEGIES] | None, _Strategy] = None  # type: ignore[valid-type]
    size: Annotated[int | None, _Size] = None
    overlap: Annotated[int | None, _Overlap] = None
    language: Annotated[str | None, _Language] = None
    separator_group: Annotated[str | None, _SeparatorGroup] = None
    max_tokens: Annotated[str | None, _Tokens] = None
    tokenizer: Annotated[str | None, _Tokenizer] = None

    def applied_to(self, base: ChunkingSettings) -> ChunkingSettings:
        """The settings with what these options change.

        A strategy of its own starts from that strategy's defaults; else what is not given stays.
        """
        chosen = self.strategy or base.strategy
        of_any = None if chosen == base.strategy else {"max_chunk_tokens", "tokenizer"}
        kept: Mapping[str, Any] = base.model_dump(include=of_any)
        tokens = _number_or(self.max_tokens)
        given = {
            "strategy": chosen,
            "max_chunking_size": self.size,
            "sentence_overlap" if chosen == "sentence" else "overlap": self.overlap,
            "language": self.language,
            "separator_group": self.separator_group,
            "max_chunk_tokens": tokens,
            "tokenizer": self.tokenizer,
        }
        if self.separator_group is not None:
            kept = {**kept, "separators": None}
        if isinstance(tokens, int):
            kept = {**kept, "max_chunking_size": None}  # the size is given, in tokens
        if self.size is not None and self.overlap is None:
            kept = {**kept, "overlap": None}  # half the size
        given = {name: value for name, value in given.items() if value is not None}
        return ChunkingSettings(**{**kept, **given})


def _number_or(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdecimal() else given


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """How files are read."""

    text_column: Annotated[str | None, _TextColumn] = None
    form: Annotated[Literal[FORMATS] | None, _Format] = None  # type: ignore[valid-type]
    delimiter: Annotated[str | None, _Delimiter] = None

    def columns(self, id_column: str | None = None) -> Columns:
        """Where tables keep their texts."""
        from langchain_hf_endpoint.cli.ingest.readers import Columns  # noqa: PLC0415 - loads late

        return Columns(self.text_column, id_column, self.delimiter)

    def read(self, files: list[str]) -> Reading:
        """The records of these files."""
        return Reading(files, self.columns(), self.form)


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Spread out a command's parameters that are dataclasses: each of their fields is an option."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        group = parameter.annotation
        if not is_dataclass(group):
            parameters.append(parameter)
            continue
        groups[parameter.name] = group
        hints = get_type_hints(group, include_extras=True)
        parameters += [
            parameter.replace(name=one.name, default=one.default, annotation=hints[one.name])
            for one in fields(group)
        ]

    @wraps(command)
    def spread(**given: Any) -> None:
        grouped = {
            name: group(**{one.name: given.pop(one.name) for one in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **grouped)

    # Typer reads the options of a command from its signature.
    spread.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return spread
