"""Read the rows of CSV and TSV, each by itself: one that cannot be read takes no other with it."""

from __future__ import annotations

import csv
import re
from collections import deque
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

LONGEST_FIELD = 2**26
"""Characters. A quote that is never closed would else take in all of a large file."""

_SEPARATORS = ",;\t"
_IN_A_NAME = re.compile(r"[,;\t|^~\x01\x1f]|(?<=\w):(?=\w)")
_SAID_BY_EXCEL = re.compile(r'"?sep=([^"\r\n])"?[\r\n]*', re.IGNORECASE)
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_ODD = re.compile("[\udc80-\udcff\0]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row."""

    cells: list[str]  # none where `problem` says why they are not known
    start: int  # its first byte in the file
    content: str  # the lines it stands in; bytes that are not UTF-8 are lone surrogates
    problem: str = ""

    def oddity(self, cells: Collection[str]) -> str:
        """Why these cells of the row are no text; empty where they are."""
        if not any(map(_ODD.search, cells)):
            return ""
        odd = _ODD.search(self.content)
        assert odd  # noqa: S101 - what is in a cell is in the lines
        what = "holds a NUL" if odd.group() == "\0" else "is not UTF-8"
        return f"{what}, see byte {self.start + _bytes(self.content[: odd.start()])}"


def header_and_rows(
    lines: Iterator[str],
    source: str,
    wanted: Collection[str],
    delimiter: str | None,
    of_ending: str | None,
) -> tuple[Row | None, Iterator[Row]]:
    """The first row, and an iterator of those below it that are not empty.

    Args:
        lines: With their ends.
        source: The file's name.
        wanted: Columns that the header is to have, should there be doubt what parts them.
        delimiter: What parts columns. None: what the file's `sep=`, its ending or its header tells.
        of_ending: What parts the columns of files that are called so; None: any may.
    """
    first, start = next(lines, ""), 0
    if first.startswith("\ufeff"):
        first, start = first[1:], 3  # bytes of the mark in UTF-8
    if said := _SAID_BY_EXCEL.fullmatch(first):
        start += _bytes(first)
        delimiter, first = delimiter or said.group(1), next(lines, "")
    is_given = delimiter is not None
    delimiter = delimiter or of_ending or _delimiter(first, source, wanted)
    rows = _Rows(chain([first] if first else [], lines), delimiter, start)
    header = next(rows, None)
    if header and len(header.cells) == 1 and not is_given:
        _refuse_a_separator(header.cells[0], source, wanted)
    rows.columns = len(header.cells) if header else 0
    return header, rows


class _Rows:
    """Rows, one after another.

    What follows a quote that is not closed is read again without it: of the lines that it would
    have taken in, only the first is known to be wrong.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, start: int) -> None:
        self._lines = lines
        self._delimiter = delimiter
        self._start = start
        self._again: deque[str] = deque()
        self.columns = 0

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        while True:
            taken: list[str] = []
            cells, problem = self._parsed(taken)
            if not taken:
                raise StopIteration
            if self._delimiter == "\t" and (cells is None or self._holds_rows(taken)):
                # Most programs that write tabs do not know quotes: they are what they are.
                cells, problem = _literal(taken[0]), ""
                self._put_back(taken)
            elif cells is None:
                self._put_back(taken)
            start, content = self._start, "".join(taken)
            self._start += _bytes(content)
            if cells or problem:
                return Row(cells or [], start, content, problem)

    def _parsed(self, taken: list[str]) -> tuple[list[str] | None, str]:
        """The next cells, or None and the reason; `taken` gets the lines they stand in."""

        def take() -> Iterator[str]:
            while (line := self._again.popleft() if self._again else next(self._lines, "")) != "":
                taken.append(line)
                yield line

        # A setting of the whole process, which others may have changed meanwhile.
        csv.field_size_limit(LONGEST_FIELD)
        try:
            # Strict: else what stands behind a closing quote becomes part of the field without a
            # word.
            return next(csv.reader(take(), delimiter=self._delimiter, strict=True), []), ""
        except csv.Error as error:
            return None, f"{_in_words(error)}, see byte {self._start}"

    def _put_back(self, taken: list[str]) -> None:
        self._again.extendleft(reversed(taken[1:]))
        del taken[1:]

    def _holds_rows(self, taken: list[str]) -> bool:
        """Whether lines within quotes are each a whole row, were the quotes none."""
        several = len(taken) > 1 and self.columns > 1
        return several and all(len(_literal(line)) == self.columns for line in taken)


def _literal(line: str) -> list[str]:
    bare = line.rstrip("\r\n")
    return bare.split("\t") if bare else []


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _in_words(error: csv.Error) -> str:
    said = str(error)
    if "end of data" in said:
        return "a quote is opened that is never closed"
    if "expected after" in said:
        return "a quote is closed in the midst of a field; quotes within quotes are doubled"
    if "field limit" in said:
        return f"a field has more than {LONGEST_FIELD:,} characters"
    return "holds a NUL" if "NUL" in said else said


def _delimiter(header: str, source: str, wanted: Collection[str]) -> str:
    """What parts the names of a header; what stands within quotes does not count."""
    bare = _QUOTED.sub("", header)
    counts = {mark: bare.count(mark) for mark in _SEPARATORS if mark in bare}
    if len(counts) < 2:  # noqa: PLR2004 - one, or none
        return next(iter(counts), ",")
    fitting = [mark for mark in counts if set(wanted) <= set(_names(header, mark))]
    if len(fitting) == 1:
        return fitting[0]
    most = [mark for mark, count in counts.items() if count == max(counts.values())]
    if len(most) > 1:
        marks = " or ".join(map(spelled, most))
        raise SettingsError(
            ("--delimiter", f"what parts the columns of {source}: {marks}? The header has both")
        )
    return most[0]


def _names(header: str, mark: str) -> list[str]:
    parts = next(csv.reader([header], delimiter=mark), [])
    return [part.strip() for part in parts]


def _refuse_a_separator(name: str, source: str, wanted: Collection[str]) -> None:
    """Refuse a table whose only column seems to be several, unless that column is asked for."""
    mark = _IN_A_NAME.search(name)
    if mark and name not in wanted:
        raise SettingsError(
            ("--delimiter", f"{source} would have one column, {name!r}"),
            advice=f"Say what parts columns, such as --delimiter {spelled(mark.group())}; "
            f"or that it is one, with --text-column.",
        )


def spelled(mark: str) -> str:
    """How a separator is written on a command line."""
    return "tab" if mark == "\t" else f"'{mark}'"
