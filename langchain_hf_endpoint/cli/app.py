"""The commands. Add one: write it in a file of its own and name it here."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

from langchain_hf_endpoint.cli.check import EPILOG as CHECK_EPILOG
from langchain_hf_endpoint.cli.check import check
from langchain_hf_endpoint.cli.chunk import chunk
from langchain_hf_endpoint.cli.embed import EPILOG as EMBED_EPILOG
from langchain_hf_endpoint.cli.embed import embed
from langchain_hf_endpoint.cli.exits import EPILOG
from langchain_hf_endpoint.cli.put import put, update
from langchain_hf_endpoint.cli.registered import delete, get, list_
from langchain_hf_endpoint.cli.serving import local, serve


class _Command(TyperCommand):
    """A command whose arguments are named in the line of usage alone."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # click's context, or typer's own copy
        """``[OPTIONS] NAME FILES... [CONFIG]``, whichever version of click draws it."""
        pieces = ["[OPTIONS]"]
        for argument in self.get_params(ctx):
            if argument.param_type_name == "argument":
                name = (argument.name or "").upper() + ("..." if argument.nargs == -1 else "")
                pieces.append(name if argument.required else f"[{name}]")
        return pieces


app = typer.Typer(
    name="hf-endpoint",
    help="Embed text through Hugging Face inference endpoints.",
    no_args_is_help=True,
    # Plain help: a command's options fit a screen.
    rich_markup_mode=None,
    # A traceback with the values of variables could show a key.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
app.command(cls=_Command, epilog=EPILOG)(put)
app.command(cls=_Command, epilog=EPILOG)(get)
app.command("list", cls=_Command, epilog=EPILOG)(list_)
app.command(cls=_Command, epilog=EPILOG)(update)
app.command(cls=_Command, epilog=EPILOG)(delete)
app.command(cls=_Command, epilog=CHECK_EPILOG)(check)
app.command(cls=_Command, epilog=EPILOG)(chunk)
app.command(cls=_Command, epilog=EMBED_EPILOG)(embed)
app.command(cls=_Command, epilog=EPILOG)(serve)
app.command(cls=_Command, epilog=EPILOG)(local)
