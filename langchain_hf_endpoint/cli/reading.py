"""The texts of the files that a command was given.

It knows what is said of a record that cannot be read, and of what was left out. It must not know
any format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_hf_endpoint.cli.exits import say_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_hf_endpoint.cli.ingest import Columns, Record, Sources


class Reading:
    """The records that can be read; of the others it is said on standard error why not.

    Args:
        files: As they were named.
        columns: Where tables keep their texts.
        form: The format of all of them, if one was named.

    Attributes:
        failed: How many could not be read so far.

    Raises:
        SettingsError: A file is not there: at once, before anything is read or sent.
    """

    def __init__(self, files: list[str], columns: Columns, form: str | None) -> None:
        from langchain_hf_endpoint.cli.ingest import Sources  # noqa: PLC0415 - loads late

        self._sources = Sources(files, columns, form=form)
        self.failed = 0
        for words in left_out(self._sources):
            say_error(words)

    def __iter__(self) -> Iterator[Record]:
        """Each record, once."""
        from langchain_hf_endpoint.cli.ingest import Record  # noqa: PLC0415

        for one in self._sources.records():
            if isinstance(one, Record):
                yield one
            else:
                self.failed += 1
                say_error(f"{one.id}: {one.problem}")


def left_out(sources: Sources) -> Iterator[str]:
    """What folders hold that is not read, in a sentence for each kind."""
    for kind, noun, ending in (
        (sources.other_kinds, "file", " of other kinds"),
        (sources.links, "linked folder", ""),
        (sources.no_files, "special file", ""),
    ):
        if kind.count:
            names = ", ".join(kind.names) + (", …" if kind.count > len(kind.names) else "")
            yield f"{counted(kind.count, noun)}{ending} left out: {names}"


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
