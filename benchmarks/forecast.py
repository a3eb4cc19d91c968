"""What `hf-endpoint embed --dry-run --probe` says of the time, beside the time a run then takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.capacity import KINDS, Kind
from benchmarks.children import ROOT, child_environment
from benchmarks.serving import Server

SECONDS = float(os.environ.get("SECONDS_EACH", "20"))
_MOST_A_SECOND = 8_000  # texts that the command reads, sends and writes
_WORDS = " of some words for each text"


def show() -> None:
    """Print seconds, told and taken, for each kind of server of `benchmarks.capacity`."""
    print(f"{'':<40}{'told':>8}{'took':>8}{'ratio':>8}")
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            told, took = _both(kind, server, Path(folder))
            print(f"{kind.name:<40}{told:>8.1f}{took:>8.1f}{told / took:>8.2f}", flush=True)


def _both(kind: Kind, server: Server, folder: Path) -> tuple[float, float]:
    """Seconds that the dry run says, and those that the run then takes."""
    count = int(min(kind.capacity(0, SECONDS), _MOST_A_SECOND * SECONDS))
    source = folder / "texts.jsonl"
    with source.open("w") as file:
        file.writelines(f'{{"text":"{number}{_WORDS}"}}\n' for number in range(count))
    output = folder / f"{kind.name}.npy".replace(" ", "-")
    command = [source, "-e", server.url, "-o", output, "--rpm", 100_000_000]
    behaviour = replace(kind.behaviour, alike=True)
    server.behave(behaviour)
    told = _said(*command, "--probe")["server_seconds"]
    server.behave(behaviour)
    return told, _said(*command)["usage"]["seconds"]


def _said(*arguments: object) -> dict[str, Any]:
    """What `hf-endpoint embed` prints as JSON, run in a process of its own."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "langchain_hf_endpoint.cli",
            "embed",
            *map(str, arguments),
            "--json",
        ],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said
