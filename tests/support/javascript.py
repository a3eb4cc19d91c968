"""Run programs in JavaScript with packages of npm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(sys.prefix) / "node"


def run_node(script: Path, packages: str, **environment: str) -> Any:
    """What a script prints, as JSON.

    Args:
        script: Its file.
        packages: What it needs, each with or without a version (`name@9`), separated by blanks;
            they are fetched from npm once.
        environment: What the script is told.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not here; Debian: apt-get install nodejs npm")
    wanted = packages.split()
    names = [name[: name.find("@", 1)] if "@" in name[1:] else name for name in wanted]
    if not all((FOLDER / "node_modules" / name).exists() for name in names):
        FOLDER.mkdir(exist_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--silent", *wanted]
        subprocess.run(command, cwd=FOLDER, check=True, timeout=300)
    full = {**os.environ, "NODE_PATH": str(FOLDER / "node_modules"), **environment}
    command = [node, str(script)]
    run = subprocess.run(command, env=full, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
