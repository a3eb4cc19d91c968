"""The texts of the files that a command was given.

It knows what is said of a record that cannot be read. It must not know any format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint.cli.exits import say_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hf_endpoint._ingest import Record


def records_of(files: list[str], text_column: str | None) -> Iterator[Record]:
    """The records that can be read; of the others it is said on standard error why not.

    Raises:
        SettingsError: A file is not there: at once, before anything is read or sent.
    """
    from langchain_hf_endpoint._ingest import Columns, Record, Sources  # noqa: PLC0415

    found = Sources(files, Columns(text_column)).records()

    def readable() -> Iterator[Record]:
        for one in found:
            if isinstance(one, Record):
                yield one
            else:
                say_error(f"{one.id}: {one.problem}")

    return readable()
