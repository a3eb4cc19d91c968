"""The commands. Add one: write it in a file of its own and name it here."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from langchain_hf_endpoint._package import __version__
from langchain_hf_endpoint._secrets import without_perhaps_keys
from langchain_hf_endpoint._validation import in_our_words
from langchain_hf_endpoint.cli.check import EPILOG as CHECK_EPILOG
from langchain_hf_endpoint.cli.check import check
from langchain_hf_endpoint.cli.chunk import EPILOG as CHUNK_EPILOG
from langchain_hf_endpoint.cli.chunk import chunk
from langchain_hf_endpoint.cli.embed import EPILOG as EMBED_EPILOG
from langchain_hf_endpoint.cli.embed import embed
from langchain_hf_endpoint.cli.exits import EPILOG, errors_in_words
from langchain_hf_endpoint.cli.output import take_any_letter
from langchain_hf_endpoint.cli.put import put, update
from langchain_hf_endpoint.cli.registry import delete, get, list_
from langchain_hf_endpoint.cli.serve import local, serve


class _Command(TyperCommand):
    """A command whose arguments are named in the line of usage alone; it ends in words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read its options; what is wrong with one is told in our words, without a key."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = without_perhaps_keys(in_our_words(error.message))
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
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
        """Run one of them."""
        take_any_letter()
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


_Version = Annotated[
    bool,
    typer.Option(
        "--version", "-V", callback=_say_version, is_eager=True, help="Show the version and exit."
    ),
]


@app.callback()
def _common(*, version: _Version = False) -> None:
    """Embed text through Hugging Face inference endpoints.

    hf-endpoint check http://127.0.0.1:8080 book.txt
    """


_add = partial(app.command, cls=_Command, epilog=EPILOG)
# In the order in which someone new needs them.
_add(short_help="Check an endpoint, and whether files fit it.", epilog=CHECK_EPILOG)(check)
_add(short_help="Show how files are chunked; nothing is sent.", epilog=CHUNK_EPILOG)(chunk)
_add(short_help="Embed files into a file of vectors.", epilog=EMBED_EPILOG)(embed)
_add(short_help="Store an endpoint under a name.")(put)
_add("list", short_help="List the stored endpoints.")(list_)
_add(short_help="Show the settings of an endpoint.")(get)
_add(short_help="Change the settings of an endpoint.")(update)
_add(short_help="Delete an endpoint and its key.")(delete)
_add(short_help="Serve endpoints as Elastic's and OpenAI's APIs.")(serve)
_add(short_help="Serve a small model on this machine.")(local)
