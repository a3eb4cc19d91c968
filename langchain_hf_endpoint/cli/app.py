"""The commands. Add one: write it in a file of its own and name it here."""

from __future__ import annotations

import typer

from langchain_hf_endpoint.cli import embed
from langchain_hf_endpoint.cli.serving import local, serve

app = typer.Typer(
    name="hf-endpoint",
    help="Embed text through Hugging Face inference endpoints.",
    no_args_is_help=True,
    # Plain help: a command's options fit a screen of 80 columns by 24 lines.
    rich_markup_mode=None,
    # A traceback with the values of variables could show a key.
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
app.command(epilog=embed.EPILOG)(embed.embed)
app.command()(serve)
app.command()(local)
