"""What commands print, how they read the files that were named, and with what status they end."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from langchain_hf_endpoint.errors import (
    EndpointExistsError,
    HFEndpointError,
    InputError,
    ModelChangedError,
    RegistryError,
    SettingsError,
    UnknownEndpointError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from langchain_hf_endpoint.cli.ingest.readers import Columns, Record
    from langchain_hf_endpoint.cli.ingest.sources import Sources

WRONG = 1
"""A setting, a file or a name is wrong; what is asked for could not begin. Also any other error."""
USAGE = 2
"""The command line itself is wrong. Typer's own."""
PARTLY = 3
"""Done, but not all is well: some texts failed or could not be read, or `check` warns."""
REFUSED = 4
"""The endpoint refuses, fails, or cannot be reached."""
INTERRUPTED = 130
"""Ctrl-C."""

_UNWRAPPED = 100_000  # columns
_OURS = (
    SettingsError,
    InputError,
    EndpointExistsError,
    UnknownEndpointError,
    ModelChangedError,
    RegistryError,
)
_ADVICE = {
    UnknownEndpointError: "See hf-endpoint list for those there are.",
    EndpointExistsError: "Delete it first (hf-endpoint delete), change how it is used (hf-endpoint "
    "update), or take another name.",
    ModelChangedError: "Vectors that are stored under this name do not go with the new ones: embed "
    "all texts again and pass --allow-model-change, or take another name.",
}


@contextmanager
def errors_in_words(when_interrupted: str = "Interrupted.") -> Iterator[None]:
    """Say what is wrong without a traceback, and end with the status that says whose fault it is.

    Args:
        when_interrupted: What to say after Ctrl-C.
    """
    try:
        yield
        sys.stdout.flush()  # here, where it can be said if the disk is full
    except HFEndpointError as error:
        say_error(worded(error))
        is_ours = isinstance(error, _OURS) or not (error.host or error.attempts)
        raise typer.Exit(WRONG if is_ours else REFUSED) from None
    except KeyboardInterrupt:
        say_error(when_interrupted)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        _discard_unwritten(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # such as into `head`: nobody reads on
            say_error(f"{error.filename or 'standard output'}: {error.strerror or error}")
        raise typer.Exit(WRONG) from None


def worded(error: HFEndpointError) -> str:
    """The error's message; wrong settings one to a line; advice in the words of the commands."""
    advice = error.advice if error.host else _ADVICE.get(type(error), error.advice)
    if not isinstance(error, SettingsError) or error.host or not error.problems:
        return str(error).removesuffix(error.advice) + advice
    lines = [f"{field}: {problem}" for field, problem in error.problems]
    return "\n".join(filter(None, [*lines, advice]))


def say_error(words: str) -> None:
    """Say it on standard error."""
    with suppress(OSError):  # there is no other place to say it
        sys.stderr.write(f"{words}\n")


def say(words: str) -> None:
    """Say it on standard output."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def print_json(content: object) -> None:
    """Print JSON for a machine: one line."""
    is_utf_8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(content, ensure_ascii=not is_utf_8) + "\n")


def print_config(config: Mapping[str, object], *, as_json: bool) -> None:
    """Print an endpoint: one line for a machine, else indented and in colours."""
    if as_json:
        print_json(config)
    else:
        console().print_json(data=config)


def console() -> Console:
    """Where tables and colours go. What is read by a program is not wrapped."""
    from rich.console import Console  # noqa: PLC0415 - slow to load

    is_wrapped = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, width=None if is_wrapped else _UNWRAPPED)


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def spell_out_any_letter() -> None:
    """Have letters that standard output and error cannot show spelled out, not refused."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - stays
        if (reconfigure := getattr(getattr(sys, name), "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")


def _discard_unwritten(stream: TextIO) -> None:
    """After a failed write: have what is still to be written go nowhere, instead of failing too."""
    with suppress(OSError, ValueError):  # no file of the system's, such as in tests
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class Reading:
    """The records of files that can be read; of the others standard error says why not.

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
        from langchain_hf_endpoint.cli.ingest.sources import Sources  # noqa: PLC0415 - loads late

        self._sources = Sources(files, columns, form=form)
        self.failed = 0
        for words in left_out(self._sources):
            say_error(words)

    def __iter__(self) -> Iterator[Record]:
        from langchain_hf_endpoint.cli.ingest.readers import Record  # noqa: PLC0415

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
