"""All records of what a user names: files, folders, standard input; always in the same order.

It knows endings and folders. It must not know what is in a file.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from langchain_hf_endpoint._ingest.formats import READERS, Columns
from langchain_hf_endpoint._ingest.records import Unreadable
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager

    from langchain_hf_endpoint._ingest.records import Found

__all__ = ["FORMATS", "STDIN", "Columns", "Sources"]

FORMATS = tuple(READERS)
STDIN = "-"
_FORMAT_OF = {
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".rst": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    format: str
    size: int


class Sources:
    """The files to read, found when this is made; they are read as `records` is iterated.

    Args:
        named: Paths of files and folders, ``-`` for standard input. Of a folder, files with a
            known ending are read, those within its folders too, but for hidden ones.
        columns: Where tables keep their texts.
        form: One of `FORMATS` for all of them. None: by their endings; text for other files that
            are named themselves and for standard input.
        but_not: Files that are none of them though they may lie in a folder: what is written.
        stdin: Gives standard input.

    Attributes:
        left_out: How many files of folders have no known ending.

    Raises:
        SettingsError: There is no such file, or none to read at all.
    """

    def __init__(
        self,
        named: Iterable[str],
        columns: Columns,
        *,
        form: str | None = None,
        but_not: Collection[Path] = (),
        stdin: Callable[[], BinaryIO] = lambda: sys.stdin.buffer,
    ) -> None:
        named = list(named)
        self._columns = columns
        self._form = form
        self._but_not = {os.path.abspath(path) for path in but_not}  # noqa: PTH100 - text
        self._stdin = stdin
        self._bytes_before = 0
        self._open: BinaryIO | None = None
        self.left_out = 0
        self._files = [file for name in named for file in self._found(name)]
        if not self._files:
            endings = ", ".join(sorted(_FORMAT_OF))
            raise SettingsError(
                ("sources", f"no file to read in {', '.join(named)}; read are {endings}")
            )
        self._bytes = sum(file.size for file in self._files)
        self._has_stdin = any(file.name == STDIN for file in self._files)

    @property
    def fraction(self) -> float | None:
        """How much of all bytes is read; None where that is not known (standard input)."""
        if self._has_stdin or not self._bytes:
            return None
        try:
            here = self._open.tell() if self._open else 0
        except (OSError, ValueError):  # closed meanwhile
            here = 0
        return min(1.0, (self._bytes_before + here) / self._bytes)

    def records(self) -> Generator[Found, None, None]:
        """Every record, file after file."""
        for file in self._files:
            try:
                with self._opened(file) as content:
                    self._open = content
                    yield from READERS[file.format](content, file.name, self._columns)
            except OSError as error:
                yield Unreadable(file.name, f"cannot be read: {error.strerror}", file.name)
            self._open = None
            self._bytes_before += file.size

    def _opened(self, file: _File) -> AbstractContextManager[BinaryIO]:
        if file.name == STDIN:
            return nullcontext(self._stdin())
        return Path(file.name).open("rb")

    def _found(self, name: str) -> Iterator[_File]:
        if name == STDIN:
            yield _File(STDIN, self._form or "text", 0)
        elif Path(name).is_dir():
            for path in _files_within(name):
                if os.path.abspath(path) in self._but_not:  # noqa: PTH100
                    continue
                form = self._form or _FORMAT_OF.get(Path(path).suffix.lower())
                if form is None:
                    self.left_out += 1
                else:
                    yield _File(path, form, _size(path))
        elif Path(name).exists():
            by_ending = _FORMAT_OF.get(Path(name).suffix.lower(), "text")
            yield _File(name, self._form or by_ending, _size(name))
        else:
            raise SettingsError(("sources", f"{name} does not exist"))


def _files_within(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            os.path.join(parent, name)  # noqa: PTH118 - the name as the user began it
            for name in sorted(files)
            if not name.startswith(".")
        )


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except OSError:  # a broken link: said when it is read
        return 0
