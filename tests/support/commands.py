"""How the tests of this folder run a command and read what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet
from typer.testing import CliRunner

from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.cli.app import app

if TYPE_CHECKING:
    from click.testing import Result

    from langchain_hf_endpoint.testing import ScriptedEndpoint


def run(*arguments: object, **more: object) -> Result:
    """Run `hf-endpoint` with these arguments, as a process that has learned nothing yet."""
    close_sessions()
    return CliRunner().invoke(app, [str(each) for each in arguments], **more)


def embed(
    source: Path | str,
    double: ScriptedEndpoint,
    output: Path,
    *more: str,
    status: int = 0,
    **options: str,
) -> dict[str, object] | None:
    """Run `embed`; its summary, where there is one."""
    done = run("embed", source, "-e", double.url, "-o", output, "--json", *more, **options)
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if done.stdout else None


def rows_of(output: Path) -> list[dict[str, object]]:
    """The rows of an output of any format, with their vectors under `embedding`."""
    if output.suffix == ".parquet":
        return pyarrow.parquet.read_table(output).to_pylist()
    if output.suffix == ".jsonl":
        return [json.loads(line) for line in output.read_text().splitlines()]
    names = Path(f"{output.with_suffix('')}.ids.jsonl").read_text().splitlines()
    matrix = np.load(output)
    assert len(names) == len(matrix)
    return [{**json.loads(name), "embedding": row} for name, row in zip(names, matrix)]  # noqa: B905


def vectors_of(output: Path) -> np.ndarray:
    """The vectors of an output, in order."""
    return np.stack([np.asarray(row["embedding"], np.float32) for row in rows_of(output)])
