"""Every console block of the docs' page on the command line is run, and says what stands there.

Commands follow a `$`. What comes after them is what they print, but for times, rates and what an
ellipsis stands for. A command that ends with `&` serves: here something is served already.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from langchain_hf_endpoint.local import LocalServer

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
    """Without what varies, and blanks at the ends of lines."""
    return "\n".join(_VARIES.sub("N", line.rstrip()) for line in output.rstrip().splitlines())


def pattern(expected: str) -> re.Pattern[str]:
    """What matches it, an ellipsis standing for anything."""
    return re.compile(".*".join(map(re.escape, lines(expected).split("…"))), re.DOTALL)


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are bash's")
def test_every_command_prints_what_the_page_says(local_server: LocalServer, tmp_path: Path) -> None:
    shutil.copy(BOOK, tmp_path)
    tools = tmp_path / ".tools"
    tools.mkdir()
    program = tools / "hf-endpoint"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m langchain_hf_endpoint.cli "$@"\n')
    program.chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    registry = str(tmp_path / ".tools" / "endpoints.db")
    environment = {**os.environ, "PATH": path, "HF_ENDPOINT_REGISTRY": registry, "COLUMNS": "80"}
    status, ran = 0, 0
    for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        for command, expected in commands(block):
            if command.endswith("&"):
                continue
            real = command.replace(URL, local_server.url)
            done = subprocess.run(
                ["bash", "-c", f"(exit {status}); {real}"],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            status, ran = done.returncode, ran + 1
            # The port is of another width: what stands under a column moves with it.
            printed = lines(done.stdout.replace(local_server.url.removeprefix("http://"), URL[7:]))
            squeezed = re.sub(" +", " ", printed)
            wanted = pattern(re.sub(" +", " ", expected))
            assert wanted.fullmatch(squeezed), (
                f"$ {command}\n{printed}\n--- the page says\n{expected}"
            )
    assert ran > 15
