"""The commands. Add one: write it in a file of its own and name it here."""

from __future__ import annotations

import typer

from langchain_hf_endpoint.cli.serving import local, serve

app = typer.Typer(
    name="hf-endpoint",
    help="Embed text through Hugging Face inference endpoints.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with the values of variables could show a key.
    pretty_exceptions_show_locals=False,
)
app.command()(serve)
app.command()(local)
