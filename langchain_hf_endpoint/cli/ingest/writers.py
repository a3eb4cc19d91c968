"""Write rows to a file, Parquet, JSONL or .npy: it is there whole, or not at all."""

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
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from langchain_hf_endpoint.cli.ingest.journal import Row

OUTPUT_ENDINGS = (".parquet", ".jsonl", ".npy")
_ROWS_AT_ONCE = 4096  # a row group of Parquet


def check_output(path: Path) -> None:
    """Refuse, before anything is sent, what could not be written at the end."""
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
    """Write `count` rows in the format of the path's ending.

    Parquet keeps what they are made with, `about`, among the schema's metadata.
    """
    if path.suffix.lower() == ".parquet":
        _write_parquet(path, rows, dimensions, about)
    elif path.suffix.lower() == ".npy":
        _write_npy(path, rows, (count, dimensions))
    else:
        write_jsonl(path, ({**_names(row), "embedding": row.embedding} for row in rows))


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
            # Before it takes its place: after a power cut the name could else stand for an empty
            # file.
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
    # The new name is an entry of the folder, which reaches the disk by itself.
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
    names = ("id", "source", "chunk", "start", "end", "text")
    return {name: value for name in names if (value := getattr(row, name)) is not None}


def _write_npy(path: Path, rows: Iterable[Row], shape: tuple[int, int]) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with put_in_place(path) as file:

        def names() -> Iterator[dict[str, object]]:
            for row in rows:
                file.write(row.embedding.astype("<f4", copy=False).tobytes())
                yield _names(row)

        # Row by row behind a header of our own: `np.save` would need the whole array in memory.
        np.lib.format.write_array_header_1_0(file, header)
        # The names are in place before the array is: where there is an array, there are names.
        write_jsonl(ids_path(path), names())


def _write_parquet(
    path: Path, rows: Iterable[Row], dimensions: int, about: Mapping[str, object]
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
    types = {
        "id": pyarrow.string(),
        "source": pyarrow.string(),
        "chunk": pyarrow.int32(),
        "start": pyarrow.int64(),
        "end": pyarrow.int64(),
        "text": pyarrow.large_string(),
    }
    fields = [pyarrow.field(name, types[name], nullable=False) for name in _names(first)]
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
