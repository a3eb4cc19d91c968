"""Read one file of texts: text and Markdown, JSONL, CSV, Parquet; one record at a time."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import orjson

from langchain_hf_endpoint._package import missing_extra
from langchain_hf_endpoint.cli.ingest.csv_rows import header_and_rows
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

_PARQUET_ROWS = 1000  # at once
_NAMES_SHOWN = 20
DEFAULT_TEXT_COLUMN = "text"

# How files begin, in small letters, that hold a text among other things.
_BEGINNINGS = (
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<?xml", "XML"),
    (b"{\\rtf", "RTF"),
    (b"%pdf-", "PDF"),
    (b"pk\x03\x04", "an archive, as .docx, .odt, .epub and .zip are"),
    (b"\xd0\xcf\x11\xe0", "a document of an office program"),
    (b"\x1f\x8b", "packed by gzip"),
    (b"par1", "Parquet, see --format"),
    (b"\xff\xfe", "UTF-16, not UTF-8"),
    (b"\xfe\xff", "UTF-16, not UTF-8"),
)
_ENDINGS = {
    ".htm": "HTML",
    ".html": "HTML",
    ".xhtml": "HTML",
    ".xml": "XML",
    ".svg": "XML",
    ".json": "JSON, of which only an object a line is read (.jsonl)",
    ".ipynb": "a notebook",
    ".pdf": "PDF",
    ".rtf": "RTF",
    ".docx": "a document of an office program",
    ".doc": "a document of an office program",
    ".odt": "a document of an office program",
    ".epub": "a book in an archive",
}
_SNIFFED = 1024  # bytes
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = {
    "NoneType": "null",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "str": "a string",
    "bytes": "bytes",
    "list": "an array",
    "dict": "an object",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One text, which is not blank."""

    id: str  # as the source names it, else the file and the row
    text: str
    source: str  # the file, as it was named
    row: int | None = None  # from 1; None where the file is one text


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A place where a text should be, and why it cannot be had."""

    id: str
    problem: str
    source: str
    row: int | None = None


Found: TypeAlias = "Record | Unreadable"


def found(text: object, given_id: object, source: str, row: int | None) -> Found:
    """A record of what stands in the columns of a row; unreadable where that is no text."""
    named = _name(given_id) if given_id is not None else place(source, row)
    if text is None:
        return Unreadable(named, "has no text", source, row)
    if not isinstance(text, str):
        return Unreadable(named, f"the text is {kind_of(text)}", source, row)
    if not text or text.isspace():
        return Unreadable(named, "the text is empty or blank", source, row)
    if half := _SURROGATE.search(text):
        problem = f"character {half.start()} is half a pair, which no UTF-8 can carry"
        return Unreadable(named, problem, source, row)
    return Record(named, text, source, row)


def place(source: str, row: int | None) -> str:
    """How a text without an id of its own is named."""
    return source if row is None else f"{source}:{row}"


def writable(name: str) -> str:
    """A name in letters that every output can hold: bytes that are no UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def kind_of(value: object) -> str:
    """What a value is, in the words of JSON."""
    name = type(value).__name__
    return _KINDS.get(name, f"of type {name}")


def _name(given: object) -> str:
    """An id as it was given, which need not be a string."""
    if isinstance(given, bytes):
        return given.decode("utf-8", "backslashreplace")
    if isinstance(given, float) and given.is_integer():
        return str(int(given))  # a table's integers among which some are missing
    if isinstance(given, (bool, list, dict)):
        return writable(json.dumps(given, ensure_ascii=False, default=str))
    return writable(str(given))


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table keeps its texts.

    Raises:
        SettingsError: The delimiter is none.
    """

    text: str | None = None  # of JSON, a field. None: ``text``, or the only one there is
    id: str | None = None  # None: file and row name each text
    delimiter: str | None = None  # None: the header tells

    def __post_init__(self) -> None:
        if self.delimiter in ("tab", "\\t"):
            object.__setattr__(self, "delimiter", "\t")
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or self.delimiter in '"\r\n' or self.delimiter > "\uffff"
        ):
            raise SettingsError(
                ("--delimiter", f"{self.delimiter!r} is not allowed: must be one character, or tab")
            )

    def of(self, source: str, names: Sequence[str]) -> tuple[int, int | None]:
        """Where the columns are in a table that has these."""
        text = self.text or (names[0] if len(names) == 1 else DEFAULT_TEXT_COLUMN)
        at = _place_of(source, "--text-column", text, names)
        return at, None if self.id is None else _place_of(source, "--id-column", self.id, names)


def _place_of(source: str, option: str, name: str, names: Sequence[str]) -> int:
    if name not in names:
        shown = ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
        raise SettingsError((option, f"{source} has no column {name!r}; it has {shown}"))
    if names.count(name) > 1:
        raise SettingsError(
            (option, f"{source} has several columns {name!r}: rename all but one of them")
        )
    return names.index(name)


def read_text(
    file: BinaryIO, source: str, _columns: Columns, *, is_sure: bool = False
) -> Generator[Found, None, None]:
    """The whole file is one text; where that is not sure, none that begins like another format."""
    content = file.read()
    what = _ENDINGS.get(Path(source).suffix.lower()) or _beginning(content)
    hint = f"is {what}: extract the text first" if what else ""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield Unreadable(source, hint or f"is not UTF-8, see byte {error.start}", source)
        return
    if "\0" in text:
        why = "holds a NUL, as UTF-16 and files that are no text do"
        yield Unreadable(source, f"{why}, see byte {content.index(0)}: convert it to UTF-8", source)
    elif hint and not is_sure:
        yield Unreadable(source, f"{hint}, or take all of it with --format text", source)
    else:
        yield found(text, None, source, None)


def _beginning(content: bytes) -> str | None:
    """What a file is that holds more than a text, as its beginning tells."""
    head = content[:_SNIFFED].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((what for mark, what in _BEGINNINGS if head.startswith(mark)), None)


def read_jsonl(file: BinaryIO, source: str, columns: Columns) -> Generator[Found, None, None]:
    """A JSON object a line; blank lines are passed over."""
    wanted, start = columns.text or DEFAULT_TEXT_COLUMN, 0
    for row, line in enumerate(file, 1):
        if row == 1 and (what := _beginning(line)):
            yield Unreadable(source, f"is {what}", source)
            return
        if line.strip():
            yield _of_line(line, start, (wanted, columns.id), source, row)
        start += len(line)


def _of_line(
    line: bytes, start: int, fields: tuple[str, str | None], source: str, row: int
) -> Found:
    here, (wanted, id_name) = place(source, row), fields
    try:
        told = _json(line.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        return Unreadable(here, "is nested too deeply", source, row)
    except ValueError as error:
        problem = f"is not JSON, see column {getattr(error, 'colno', 1)}"
        return Unreadable(here, _not_utf_8(line, start) or problem, source, row)
    if not isinstance(told, dict):
        return Unreadable(here, f"is no JSON object but {kind_of(told)}", source, row)
    for name in filter(None, (wanted, id_name)):
        if name not in told:
            return Unreadable(here, f"has no field {name!r}", source, row)
    given_id = told[id_name] if id_name else None
    if isinstance(given_id, float):  # an integer of many digits too: as it stands there
        plain = line.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
        given_id = json.loads(plain, parse_float=str, parse_int=str)[id_name]
    one = found(told[wanted], given_id, source, row)
    if isinstance(one, Unreadable) and (odd := _not_utf_8(line, start)):
        return Unreadable(one.id, odd, source, row)
    return one


def _json(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # NaN, half pairs and bytes that are not UTF-8 harm no field but their own.
        # An integer may have more digits than Python turns into one.
        return json.loads(line.decode("utf-8", "surrogateescape"), parse_int=float)


def _not_utf_8(content: bytes, start: int) -> str | None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return f"is not UTF-8, see byte {start + error.start}"
    return None


def read_csv(
    file: BinaryIO, source: str, columns: Columns, *, delimiter: str | None = None
) -> Generator[Found, None, None]:
    """A table whose first row names the columns; commas, semicolons or tabs part them."""
    # A byte that is not UTF-8 becomes a lone surrogate: it harms its own row only, and its place is
    # known.
    lines = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
    try:
        wanted = {columns.text or DEFAULT_TEXT_COLUMN, *filter(None, [columns.id])}
        header, rows = header_and_rows(lines, source, wanted, columns.delimiter, delimiter)
        if header is None:
            return
        begins = header.content.encode("utf-8", "surrogateescape")
        problem = header.problem or ("holds a NUL, as UTF-16 does" if b"\0" in begins else "")
        if problem or (what := _beginning(begins)):
            yield Unreadable(source, problem or f"is {what}", source)
            return
        names = [name.strip() for name in header.cells]
        text_at, id_at = columns.of(source, names)
        for number, row in enumerate(rows, 1):
            text, given_id, problem = "", None, row.problem
            if not problem and len(row.cells) != len(names):
                problem = f"has {_columns(len(row.cells))}, where the header has {len(names)}"
            elif not problem:
                text = row.cells[text_at]
                given_id = None if id_at is None else row.cells[id_at] or None
                problem = row.oddity([text, given_id or ""])
            if problem:
                yield Unreadable(place(source, number), problem, source, number)
            else:
                yield found(text, given_id, source, number)
    finally:
        # Else the wrapper would close the file when it is collected, though it is not ours.
        lines.detach()


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"


def read_parquet(file: BinaryIO, source: str, columns: Columns) -> Generator[Found, None, None]:
    """A table of Parquet's; only the columns in use are read."""
    pyarrow = load_pyarrow()
    if not file.seekable():
        raise SettingsError(("sources", "Parquet cannot be read from a pipe; name the file"))
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as error:
        yield Unreadable(source, f"is no Parquet file: {error}", source)
        return
    names = table.schema_arrow.names
    text_at, id_at = columns.of(source, names)
    text_name, id_name = names[text_at], None if id_at is None else names[id_at]
    row = 0
    for group in range(table.num_row_groups):
        last = row + table.metadata.row_group(group).num_rows
        try:
            for batch in table.iter_batches(
                _PARQUET_ROWS, row_groups=[group], columns=[*filter(None, {text_name, id_name})]
            ):
                texts = _values(pyarrow, batch.column(text_name))
                ids = _values(pyarrow, batch.column(id_name)) if id_name else [None] * len(texts)
                for text, given_id in zip(texts, ids, strict=True):
                    row += 1
                    yield _of_cell(text, given_id, source, row)
        except (OSError, pyarrow.ArrowException) as error:
            problem = f"rows {row + 1:,} to {last:,} cannot be read: {error}"
            yield Unreadable(place(source, row + 1), problem, source, row + 1)
        row = last


def _values(pyarrow: Any, column: Any) -> list[Any]:
    """The values of a column; of strings that are not UTF-8, the bytes."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        # So that one bad string costs its own row, not all of its batch.
        values = column.cast(pyarrow.large_binary()).to_pylist()
    return values


def _of_cell(text: object, given_id: object, source: str, row: int) -> Found:
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            problem = f"the text is not UTF-8, see its byte {error.start}"
            return Unreadable(place(source, row), problem, source, row)
    return found(text, given_id, source, row)


def load_pyarrow() -> Any:
    """pyarrow, with its part for Parquet."""
    try:
        import pyarrow.parquet  # noqa: PLC0415 - of an extra, and slow to load
    except ModuleNotFoundError as error:
        raise missing_extra("Parquet", "parquet", error) from None
    return pyarrow


UNKNOWN = "unknown"
READERS: dict[str, Callable[[BinaryIO, str, Columns], Generator[Found, None, None]]] = {
    UNKNOWN: read_text,
    "text": partial(read_text, is_sure=True),
    "jsonl": read_jsonl,
    "csv": read_csv,
    "tsv": partial(read_csv, delimiter="\t"),
    "parquet": read_parquet,
}
"""The formats by name; what is of an unknown one is a text unless it is plainly something else."""
