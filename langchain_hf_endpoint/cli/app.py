"""The commands of ``hf-endpoint``, in the order in which someone new needs them."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from langchain_hf_endpoint._package import __version__
from langchain_hf_endpoint._secrets import without_perhaps_keys
from langchain_hf_endpoint._validation import in_our_words
from langchain_hf_endpoint.cli.check import check
from langchain_hf_endpoint.cli.chunk import chunk
from langchain_hf_endpoint.cli.embed import embed
from langchain_hf_endpoint.cli.options import with_options
from langchain_hf_endpoint.cli.output import errors_in_words, spell_out_any_letter
from langchain_hf_endpoint.cli.registry import delete, get, list_, put, update
from langchain_hf_endpoint.cli.serve import local, serve


class _Command(TyperCommand):
    """A command that ends in words and names its arguments in the line of usage alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read its options; what is wrong with one is told in our words, without a key."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = without_perhaps_keys(in_our_words(error.message))
            raise

    def invoke(self, ctx: Any) -> Any:
        with errors_in_words():
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # click's context, or typer's own copy
        """``[OPTIONS] NAME FILES... [CONFIG]``, whichever version of click draws it."""
        pieces = ["[OPTIONS]"]
        for argument in self.get_params(ctx):
            if argument.param_type_name == "argument":
                name = (argument.name or "").upper() + ("..." if argument.nargs == -1 else "")
                pieces.append(name if argument.required else f"[{name}]")
        return pieces


class _Commands(TyperGroup):
    """All commands; no error of a file or a stream is shown as a traceback, whoever meets it."""

    def main(self, *arguments: Any, **more: Any) -> Any:
        spell_out_any_letter()
        try:
            with errors_in_words():
                return super().main(*arguments, **more)
        except typer.Exit as end:
            sys.exit(end.exit_code)


app = typer.Typer(
    name="hf-endpoint",
    cls=_Commands,
    no_args_is_help=True,
    # Plain help: a command's options fit a screen.
    rich_markup_mode=None,
    # A traceback with the values of variables could show a key.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hf-endpoint {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_say_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Embed text through Hugging Face inference endpoints.

    hf-endpoint check http://127.0.0.1:8080 book.txt
    """


def _add(
    command: Any,
    short_help: str,
    statuses: str = "0 done, 1 wrong setting or file, 2 usage, 4 endpoint",
    name: str | None = None,
) -> None:
    add = app.command(name, cls=_Command, short_help=short_help, epilog=f"Exit status: {statuses}.")
    add(with_options(command))


_add(
    check,
    "Check an endpoint, and whether files fit it.",
    "0 ok, 1 wrong setting, 2 usage, 3 warnings, 4 endpoint",
)
_add(
    chunk,
    "Show how files are chunked; nothing is sent.",
    "0 ok, 1 wrong setting or file, 2 usage, 3 some not read",
)
_add(
    embed,
    "Embed files into a file of vectors.",
    "0 ok, 1 wrong setting, 2 usage, 3 some failed, 4 endpoint",
)
_add(put, "Store an endpoint under a name.")
_add(list_, "List the stored endpoints.", name="list")
_add(get, "Show the settings of an endpoint.")
_add(update, "Change the settings of an endpoint.")
_add(delete, "Delete an endpoint and its key.")
_add(serve, "Serve endpoints as Elastic's and OpenAI's APIs.")
_add(local, "Serve a small model on this machine.")
