"""One file to its records: text and Markdown, JSONL, CSV, Parquet.

It knows the formats, one function each, and reads none of them whole but plain text, which is one
record. It must not know which files there are.
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from langchain_hf_endpoint._ingest.records import Found, Unreadable, found, place
from langchain_hf_endpoint._lazy import missing_extra
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_PARQUET_ROWS = 1000  # at once
_LONGEST_FIELD = min(sys.maxsize, 2**31 - 1)  # of a CSV file; its own default is 128 KiB
DEFAULT_TEXT_COLUMN = "text"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a table keeps its texts.

    Attributes:
        text: The column, or the JSON field. None: ``text``, or the only one there is.
        id: The column that names each text. None: file and row do.
    """

    text: str | None = None
    id: str | None = None

    def of(self, source: str, names: Sequence[str]) -> tuple[str, str | None]:
        """The columns of a table that has these.

        Raises:
            SettingsError: It has not the ones that are asked for.
        """
        text = self.text or (names[0] if len(names) == 1 else DEFAULT_TEXT_COLUMN)
        for option, name in (("--text-column", text), ("--id-column", self.id)):
            if name is not None and name not in names:
                raise SettingsError(
                    (option, f"{source} has no column {name!r}; it has {', '.join(names)}")
                )
        return text, self.id


def read_text(file: BinaryIO, source: str, _columns: Columns) -> Iterator[Found]:
    """The whole file is one text."""
    try:
        yield found(file.read().decode("utf-8-sig"), None, source, None)
    except UnicodeDecodeError as error:
        yield Unreadable(source, f"is not UTF-8, see byte {error.start}", source)


def read_jsonl(file: BinaryIO, source: str, columns: Columns) -> Iterator[Found]:
    """A JSON object a line; blank lines are passed over."""
    wanted = columns.text or DEFAULT_TEXT_COLUMN
    for row, line in enumerate(file, 1):
        if not line.strip():
            continue
        here = place(source, row)
        try:
            told = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
        except orjson.JSONDecodeError as error:
            yield Unreadable(here, f"is not JSON: {error}", source, row)
            continue
        if not isinstance(told, dict):
            yield Unreadable(here, f"is no JSON object but a {type(told).__name__}", source, row)
        elif wanted not in told:
            yield Unreadable(here, f"has no field {wanted!r}", source, row)
        elif columns.id is not None and told.get(columns.id) is None:
            yield Unreadable(here, f"has no field {columns.id!r}", source, row)
        else:
            yield found(told[wanted], told[columns.id] if columns.id else None, source, row)


def read_csv(file: BinaryIO, source: str, columns: Columns) -> Iterator[Found]:
    """A table whose first row names the columns; commas, semicolons or tabs part them."""
    csv.field_size_limit(_LONGEST_FIELD)
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    row = 0
    try:
        first = lines.readline()
        rows = csv.reader(chain([first], lines), delimiter=_delimiter(first))
        names = next(rows, [])
        if not names:
            return
        text_name, id_name = columns.of(source, names)
        at = names.index(text_name), names.index(id_name) if id_name else None
        for row, cells in enumerate(filter(None, rows), 1):
            if len(cells) != len(names):
                problem = f"has {len(cells)} columns, where the header has {len(names)}"
                yield Unreadable(place(source, row), problem, source, row)
            else:
                yield found(cells[at[0]], None if at[1] is None else cells[at[1]], source, row)
    except (csv.Error, UnicodeDecodeError) as error:
        problem = f"cannot be read beyond row {row}: {error}"
        yield Unreadable(place(source, row + 1), problem, source, row + 1)
    finally:
        lines.detach()


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def read_parquet(file: BinaryIO, source: str, columns: Columns) -> Iterator[Found]:
    """A table of Parquet's; only the columns in use are read."""
    pyarrow = load_pyarrow()
    if not file.seekable():
        raise SettingsError(("sources", "Parquet cannot be read from a pipe; name the file"))
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except pyarrow.ArrowInvalid as error:
        yield Unreadable(source, f"is no Parquet file: {error}", source)
        return
    text_name, id_name = columns.of(source, table.schema_arrow.names)
    row = 0
    try:
        for batch in table.iter_batches(
            _PARQUET_ROWS, columns=[*filter(None, {text_name, id_name})]
        ):
            texts = batch.column(text_name).to_pylist()
            ids: list[Any] = batch.column(id_name).to_pylist() if id_name else [None] * len(texts)
            for text, given_id in zip(texts, ids, strict=True):
                row += 1
                yield found(text, given_id, source, row)
    except (OSError, pyarrow.ArrowException) as error:
        problem = f"cannot be read beyond row {row}: {error}"
        yield Unreadable(place(source, row + 1), problem, source, row + 1)


def load_pyarrow() -> Any:
    """pyarrow, with its part for Parquet.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415 - of an extra, and slow to load
    except ModuleNotFoundError as error:
        raise missing_extra("Parquet", "parquet", error) from None
    return pyarrow


READERS: dict[str, Callable[[BinaryIO, str, Columns], Iterator[Found]]] = {
    "text": read_text,
    "jsonl": read_jsonl,
    "csv": read_csv,
    "parquet": read_parquet,
}
