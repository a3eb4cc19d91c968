"""Rows to a file: Parquet, JSONL or .npy. It is there whole, or not at all.

It knows the formats and how a file is put in place so that a power cut leaves the old one or the
new one. It must not know where rows come from.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import orjson

from langchain_hf_endpoint.cli.ingest.readers import load_pyarrow
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from langchain_hf_endpoint.cli.ingest.rows import Row

_ROWS_AT_ONCE = 4096  # a row group of Parquet


def check_output(path: Path) -> None:
    """Refuse, before anything is sent, what could not be written at the end.

    Raises:
        SettingsError: The ending is none of `OUTPUT_ENDINGS`, or the folder is not there.
        HFEndpointError: The format's package is not installed.
    """
    if path.suffix.lower() not in OUTPUT_ENDINGS:
        endings = ", ".join(OUTPUT_ENDINGS)
        raise SettingsError(("--output", f"{str(path)!r} must end with one of {endings}"))
    if not path.parent.is_dir():
        raise SettingsError(("--output", f"the folder {path.parent} does not exist"))
    if path.suffix.lower() == ".parquet":
        load_pyarrow()


def ids_path(output: Path) -> Path:
    """Where the rows of a .npy are named."""
    return output.with_suffix(".ids.jsonl")


def write_rows(
    path: Path, rows: Iterable[Row], *, count: int, dimensions: int, about: Mapping[str, object]
) -> None:
    """Write an output.

    Args:
        path: Its ending says in which format.
        rows: In order.
        count: How many there are.
        dimensions: The width of their vectors.
        about: What they were made with; Parquet keeps it among the schema's metadata.
    """
    _WRITERS[path.suffix.lower()](path, rows, count, dimensions, about)


def write_jsonl(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    """Write one JSON object a line."""
    with put_in_place(path) as file:
        for line in lines:
            file.write(
                orjson.dumps(line, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
            )


@contextmanager
def put_in_place(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place at the end, when all of it is on the disk."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise HFEndpointError(
                f"{path} cannot be written: {error.strerror or error}",
                advice="What was received is kept: go on with --resume.",
            ) from None
        raise
    _force_folder(path.parent)


def _force_folder(folder: Path) -> None:
    """Have the folder's entries on the disk, where the system knows how."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _names(row: Row) -> dict[str, object]:
    """All of a row but its vector; what does not apply is left out."""
    named = {"id": row.id, "source": row.source}
    optional = {"chunk": row.chunk, "start": row.start, "end": row.end, "text": row.text}
    return {**named, **{name: value for name, value in optional.items() if value is not None}}


def _write_jsonl(
    path: Path, rows: Iterable[Row], _count: int, _dimensions: int, _about: Mapping[str, object]
) -> None:
    write_jsonl(path, ({**_names(row), "embedding": row.embedding} for row in rows))


def _write_npy(
    path: Path, rows: Iterable[Row], count: int, dimensions: int, _about: Mapping[str, object]
) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, dimensions)}
    with put_in_place(path) as file:

        def names() -> Iterator[dict[str, object]]:
            for row in rows:
                file.write(row.embedding.astype("<f4", copy=False).tobytes())
                yield _names(row)

        np.lib.format.write_array_header_1_0(file, header)
        # The names are in place before the array is: where there is an array, there are names.
        write_jsonl(ids_path(path), names())


def _write_parquet(
    path: Path, rows: Iterable[Row], _count: int, dimensions: int, about: Mapping[str, object]
) -> None:
    pyarrow = load_pyarrow()
    rows = iter(rows)
    part = list(islice(rows, _ROWS_AT_ONCE))
    schema = _schema(pyarrow, part[0], dimensions, about)
    with (
        put_in_place(path) as file,
        pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        while part:
            writer.write_table(_table(pyarrow, part, schema))
            part = list(islice(rows, _ROWS_AT_ONCE))


def _schema(pyarrow: Any, first: Row, dimensions: int, about: Mapping[str, object]) -> Any:
    """The columns that apply; they are the same for all rows of an output."""
    types = {"id": pyarrow.string(), "source": pyarrow.string(), "text": pyarrow.large_string()}
    numbers = {"chunk": pyarrow.int32(), "start": pyarrow.int64(), "end": pyarrow.int64()}
    fields = [
        pyarrow.field(name, ({**types, **numbers})[name], nullable=False) for name in _names(first)
    ]
    # Not nullable within: readers get numpy's own float32 without a copy.
    value = pyarrow.field("element", pyarrow.float32(), nullable=False)
    fields.append(pyarrow.field("embedding", pyarrow.list_(value, dimensions), nullable=False))
    return pyarrow.schema(fields, {"hf_endpoint": json.dumps(about)})


def _table(pyarrow: Any, part: list[Row], schema: Any) -> Any:
    columns: list[Any] = [
        pyarrow.array([getattr(row, field.name) for row in part], field.type)
        for field in schema
        if field.name != "embedding"
    ]
    flat = pyarrow.array(np.concatenate([row.embedding for row in part]))
    wanted = schema.field("embedding").type
    columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, type=wanted))
    return pyarrow.Table.from_arrays(columns, schema=schema)


_WRITERS: Mapping[str, Callable[[Path, Iterable[Row], int, int, Mapping[str, object]], None]] = {
    ".parquet": _write_parquet,
    ".jsonl": _write_jsonl,
    ".npy": _write_npy,
}
OUTPUT_ENDINGS = tuple(_WRITERS)
