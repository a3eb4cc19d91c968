"""How a command ends: its status, and what it says where something is wrong.

It knows which error is whose fault. It must not know any command.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from langchain_hf_endpoint.cli.output import drop_what_is_unwritten
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
    from collections.abc import Iterator

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

EPILOG = "Exit status: 0 done, 1 wrong setting or file, 2 usage, 4 endpoint."

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
        say_error(_worded(error))
        is_ours = isinstance(error, _OURS) or not (error.host or error.attempts)
        raise typer.Exit(WRONG if is_ours else REFUSED) from None
    except KeyboardInterrupt:
        say_error(when_interrupted)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # such as into `head`: nobody reads on
        drop_what_is_unwritten(sys.stdout)
        raise typer.Exit(WRONG) from None
    except OSError as error:
        drop_what_is_unwritten(sys.stdout)
        say_error(f"{error.filename or 'standard output'}: {error.strerror or error}")
        raise typer.Exit(WRONG) from None


def _worded(error: HFEndpointError) -> str:
    """The error's message; wrong settings one to a line; advice in the words of the commands."""
    advice = _ADVICE.get(type(error), error.advice)
    if not isinstance(error, SettingsError) or error.host or not error.problems:
        return str(error).removesuffix(error.advice) + advice
    lines = [f"{field}: {problem}" for field, problem in error.problems]
    return "\n".join(filter(None, [*lines, advice]))


def say_error(words: str) -> None:
    """Say it on standard error."""
    with suppress(OSError):  # there is no other place to say it
        sys.stderr.write(f"{words}\n")
