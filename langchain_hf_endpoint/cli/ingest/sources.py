"""Find the files that a user names and read all their records, always in the same order."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from langchain_hf_endpoint.cli.ingest.readers import READERS, UNKNOWN, Unreadable, writable
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator
    from contextlib import AbstractContextManager

    from langchain_hf_endpoint.cli.ingest.readers import Columns, Found

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
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_TABLES = ("csv", "tsv", "parquet")
_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    format: str
    size: int
    is_named: bool = False

    @property
    def name(self) -> str:
        return writable(self.path)


@dataclass(slots=True)
class LeftOut:
    """What folders hold that is not read, of one kind: how many, and the first of their names."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.count += 1
        if len(self.names) < _NAMED_AT_MOST:
            self.names.append(writable(name))


class Sources:
    """The files to read, found when this is made; they are read as `records` is iterated.

    Args:
        named: Paths of files and folders, ``-`` for standard input. Of a folder, files with a
            known ending are read, those within its folders too, but for hidden ones.
        columns: Where tables keep their texts.
        form: One of `READERS` for all of them. None: by their endings; text for other files that
            are named themselves and for standard input.
        but_not: Files that are none of them though they may lie in a folder: what is written.

    Attributes:
        other_kinds: Files of folders that have no known ending.
        links: Folders that are linked into folders.
        no_files: Pipes, sockets and devices in folders.

    Raises:
        SettingsError: There is no such file, or none to read at all; a table that is named has
            not the columns that are asked for.
    """

    def __init__(
        self,
        named: Iterable[str],
        columns: Columns,
        *,
        form: str | None = None,
        but_not: Collection[Path] = (),
    ) -> None:
        named = list(named)
        self._columns = columns
        self._form = form
        self._but_not = {os.path.abspath(path) for path in but_not}  # noqa: PTH100 - text
        self._bytes_before = 0
        self._open: BinaryIO | None = None
        self.other_kinds, self.links, self.no_files = LeftOut(), LeftOut(), LeftOut()
        self._files = [file for name in named for file in self._found(name)]
        if not self._files:
            endings = ", ".join(sorted(_FORMAT_OF))
            raise SettingsError(
                ("sources", f"no file to read in {', '.join(named)}; read are {endings}")
            )
        self._bytes = sum(file.size for file in self._files if isinstance(file, _File))
        self._has_stdin = STDIN in named
        for file in self._files:
            if isinstance(file, _File) and file.is_named and file.size and file.format in _TABLES:
                self._try(file)

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
            if isinstance(file, Unreadable):
                yield file
                continue
            try:
                with self._opened(file) as content:
                    self._open = content
                    yield from READERS[file.format](content, file.name, self._columns)
            except OSError as error:
                yield _cannot_be_read(file.path, error)
            except SettingsError as error:
                if file.is_named:
                    raise
                # Of a folder it is one of many, which may be of another make.
                yield Unreadable(file.name, error.problems[0][1], file.name)
            self._open = None
            self._bytes_before += file.size

    def _try(self, file: _File) -> None:
        """Read a table's first row, so that a wrong column is known before anything is sent."""
        # A file that cannot be read is told when its turn comes: others are read all the same.
        with suppress(OSError), self._opened(file) as content:
            reader = READERS[file.format](content, file.name, self._columns)
            with closing(reader):
                next(reader, None)

    def _opened(self, file: _File) -> AbstractContextManager[BinaryIO]:
        if file.path == STDIN:
            return nullcontext(_standard_input())
        return Path(file.path).open("rb")

    def _found(self, name: str) -> Iterator[_File | Unreadable]:
        if name == STDIN:
            yield _File(STDIN, self._form or UNKNOWN, 0, is_named=True)
            return
        try:
            is_folder = stat.S_ISDIR(os.stat(name).st_mode)  # noqa: PTH116 - of "" Path makes "."
        except FileNotFoundError:
            raise SettingsError(("sources", f"{name or repr(name)} does not exist")) from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "this is no name of a file"
            raise SettingsError(("sources", f"{name} cannot be read: {why}")) from None
        if is_folder:
            yield from self._found_within(name)
        else:
            by_ending = _FORMAT_OF.get(Path(name).suffix.lower(), UNKNOWN)
            yield _File(name, self._form or by_ending, _size(name), is_named=True)

    def _found_within(self, folder: str) -> Iterator[_File | Unreadable]:
        failed: list[OSError] = []
        for here, folders, names in os.walk(folder, onerror=failed.append):
            yield from map(_cannot_be_listed, failed)
            failed.clear()
            # In place, which `os.walk` heeds: in the same order in each run, and not into hidden
            # folders.
            folders[:] = sorted(name for name in folders if self._is_wanted(here, name))
            for name in sorted(name for name in names if self._is_wanted(here, name)):
                if file := self._file_within(os.path.join(here, name)):  # noqa: PTH118 - text
                    yield file
            for name in folders:
                if os.path.islink(path := os.path.join(here, name)):  # noqa: PTH114, PTH118 - text
                    self.links.add(path)
        yield from map(_cannot_be_listed, failed)

    def _is_wanted(self, here: str, name: str) -> bool:
        path = os.path.abspath(os.path.join(here, name))  # noqa: PTH100, PTH118 - text
        return not name.startswith(".") and path not in self._but_not

    def _file_within(self, path: str) -> _File | None:
        form = self._form or _FORMAT_OF.get(Path(path).suffix.lower())
        mode = about.st_mode if (about := _stat(path)) else stat.S_IFREG
        if not stat.S_ISREG(mode):  # a pipe, a socket or a device, which might never end
            self.no_files.add(path)
        elif form is None:
            self.other_kinds.add(path)
        else:
            return _File(path, form, _size(path))
        return None


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise SettingsError(("sources", "standard input is closed: name a file"))
    return sys.stdin.buffer


def _cannot_be_read(path: str, error: OSError) -> Unreadable:
    name = writable(path)
    return Unreadable(name, f"cannot be read: {error.strerror or error}", name)


def _cannot_be_listed(error: OSError) -> Unreadable:
    return _cannot_be_read(str(error.filename), error)


def _stat(path: str) -> os.stat_result | None:
    """None for a broken link, which is said when it is read."""
    try:
        return Path(path).stat()
    except OSError:
        return None


def _size(path: str) -> int:
    """How many bytes a file has; 0 where that is not known beforehand, as of a pipe."""
    about = _stat(path)
    return about.st_size if about and stat.S_ISREG(about.st_mode) else 0
