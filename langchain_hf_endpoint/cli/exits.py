"""How a command ends: its status, and what it says where something is wrong.

It knows which error is whose fault. It must not know any command.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

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
    from collections.abc import Iterator

WRONG = 1
"""A setting, a file or a name is wrong; what is asked for could not begin. Also any other error."""
USAGE = 2
"""The command line itself is wrong. Typer's own."""
PARTLY = 3
"""Done, but not all is well: some texts failed, or `check` warns."""
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


@contextmanager
def errors_in_words(when_interrupted: str = "Interrupted.") -> Iterator[None]:
    """Say what is wrong without a traceback, and end with the status that says whose fault it is.

    Args:
        when_interrupted: What to say after Ctrl-C.
    """
    try:
        yield
    except HFEndpointError as error:
        say_error(_worded(error))
        is_ours = isinstance(error, _OURS) or not (error.host or error.attempts)
        raise typer.Exit(WRONG if is_ours else REFUSED) from None
    except KeyboardInterrupt:
        say_error(when_interrupted)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # such as into `head`: nobody reads on
        sys.stderr.close()
        raise typer.Exit(WRONG) from None


def _worded(error: HFEndpointError) -> str:
    """The error's message; wrong settings one to a line."""
    if not isinstance(error, SettingsError) or error.host or not error.problems:
        return str(error)
    lines = [f"{field}: {problem}" for field, problem in error.problems]
    return "\n".join(filter(None, [*lines, error.advice]))


def say_error(words: str) -> None:
    """Say it on standard error."""
    sys.stderr.write(f"{words}\n")
