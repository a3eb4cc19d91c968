"""Every console block of the docs' page on the command line is run, and says what stands there.

Commands follow a `$`. What comes after them is what they print, but for times, rates and what an
ellipsis stands for. A command that ends with `&` serves: here something is served already.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "command-line.md"
BOOK = ROOT / "examples" / "data" / "alice_in_wonderland.txt"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = "http://127.0.0.1:8080"
# What differs from run to run: 0.6 s, 18 a second, 15 ms, (10 to 45 in 5).
_VARIES = re.compile(r"[\d,.]+(?= (?:s|ms|a second)\b)|(?<=\()[\d,]+ to [\d,]+(?= in \d)")


def commands(block: str) -> list[tuple[str, str]]:
    """Each command of a block, and what it prints."""
    _, *parts = re.split(r"^\$ ", block, flags=re.MULTILINE)
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def lines(output: str) -> str:
    """Without what varies, blanks at the ends of lines, and what is logged without a terminal."""
    shown = [line.rstrip() for line in output.rstrip().splitlines() if " INFO " not in line]
    return "\n".join(_VARIES.sub("N", line) for line in shown)


def pattern(expected: str) -> re.Pattern[str]:
    """What matches it, an ellipsis standing for anything."""
    return re.compile(".*".join(map(re.escape, lines(expected).split("…"))), re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], tuple[str, int]]:
    """Runs a command after one that ended with a status; gives what it printed, and its status."""
    tools = tmp_path / ".tools"
    tools.mkdir()
    program = tools / "hf-endpoint"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m langchain_hf_endpoint.cli "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HF_ENDPOINT_REGISTRY", str(tools / "endpoints.db"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(command: str, status: int) -> tuple[str, int]:
        if command.startswith("hf-endpoint ") and not set(command) & set("|&<>$;*"):
            # In this process: it starts in no time.
            close_sessions()
            _, *arguments = shlex.split(command)
            done = CliRunner().invoke(app, arguments, prog_name="hf-endpoint")
            return done.output, done.exit_code
        script = ["bash", "-c", f"(exit {status}); {command}"]
        both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        ran = subprocess.run(script, **both, text=True, timeout=120, check=False)
        return ran.stdout, ran.returncode

    return run


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are bash's")
def test_every_command_prints_what_the_page_says(local_server, shell, tmp_path) -> None:
    shutil.copy(BOOK, tmp_path)
    status, ran = 0, 0
    for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        for command, expected in commands(block):
            if command.endswith("&"):
                continue
            printed, status = shell(command.replace(URL, local_server.url), status)
            ran += 1
            printed = lines(printed.replace(local_server.url.removeprefix("http://"), URL[7:]))
            # The port is of another width, and what stands under a column moves with it.
            wanted = pattern(re.sub(" +", " ", expected))
            same = wanted.fullmatch(re.sub(" +", " ", printed))
            assert same, f"$ {command}\n{printed}\n--- the page says\n{expected}"
    assert ran > 15
