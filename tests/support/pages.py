"""The README and the pages of the docs, and their Python blocks, run as a reader would.

A page whose blocks need more than the dependency group ``test`` says so in a comment,
``<!-- its code needs the dependency group stores -->``, and is run by the tests of that group.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warm_interpreter import WarmInterpreter

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PACKAGE = "langchain-hf-endpoint"
_GROUP = re.compile(r"^<!-- its code needs the dependency group (\S+) -->$", re.MULTILINE)
_INSTALL = re.compile(r"pip install ([^`\n]+)")
# What is imported from the package and needs one of its extras.
_EXTRA_OF = {
    "langchain_hf_endpoint.local": "local",
    "langchain_hf_endpoint.llama_index": "llama-index",
    "langchain_hf_endpoint.RedisRequestsPerMinuteLimiter": "redis",
    "langchain_hf_endpoint.gateway": "gateway",
}
# What a reader's machine has no use for here: keys, and a way to other machines.
_UNSET = (
    "HF_TOKEN",
    "HF_TOKEN_PATH",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACEHUB_API_TOKEN",
    "HF_ENDPOINT_REGISTRY",
    "ELASTICSEARCH_URL",
    "no_proxy",
)
_DEAD_PROXY = "http://127.0.0.1:9"


def blocks(page: Path) -> list[tuple[int, str]]:
    """The lines before each block, and its source."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in BLOCK.finditer(text)]


def program(page: Path) -> str:
    """The page's blocks as one program, each on the lines that it has on the page."""
    source = ""
    for line, block in blocks(page):
        source += "\n" * (line - source.count("\n")) + block
    return source


def group_of(page: Path) -> str:
    """The dependency group that the page's code needs."""
    found = _GROUP.search(page.read_text(encoding="utf-8"))
    return found[1] if found else "test"


def pages_of(group: str) -> list[Path]:
    """The pages with code that need this group."""
    return [page for page in PAGES if blocks(page) and group_of(page) == group]


def run(
    page: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    interpreter: WarmInterpreter | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the page's blocks in an interpreter of their own, in an empty folder.

    It is forked from `interpreter`, where there is one.
    """
    script = folder / f"{page.stem}.py"
    script.write_text(program(page), encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name not in _UNSET}
    variables = {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "HF_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "HTTP_PROXY": _DEAD_PROXY,
        "HTTPS_PROXY": _DEAD_PROXY,
        "NO_PROXY": "127.0.0.1,localhost",
        **(environment or {}),
    }
    if interpreter:
        return interpreter.run(script, folder, variables)
    return subprocess.run(
        [sys.executable, "-W", "default::ResourceWarning", str(script)],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def not_named(page: Path) -> list[str]:
    """What the page's code imports although no ``pip install`` of the page brings it."""
    named = _named(page)
    return sorted({name for name in _imported(page) if not _brought_by(name) & named})


def _named(page: Path) -> set[str]:
    """The packages and extras, ``[extra]``, that the page says to install, and what they bring."""
    named = {PACKAGE, "[]"}
    for found in _INSTALL.findall(page.read_text(encoding="utf-8")):
        for requirement in re.split(r"[\s\"')]+", found):
            name, _, extras = requirement.partition("[")
            named.add(_normal(re.split(r"[<>=~!]", name)[0]))
            if name in (".", PACKAGE):
                named |= {f"[{extra}]" for extra in extras.rstrip("]").split(",")}
    for required in metadata.requires(PACKAGE) or []:
        extra = re.search(r"extra == ['\"]([\w-]+)", required)
        if f"[{extra[1] if extra else ''}]" in named:
            named.add(_normal(re.split(r"[^\w.-]", required)[0]))
    return named


def _imported(page: Path) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(program(page))):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {f"{node.module}.{name.name}" for name in node.names}
    return imported


def _brought_by(imported: str) -> set[str]:
    """The packages or extras, any of which brings what is imported."""
    top = imported.partition(".")[0]
    for prefix, extra in _EXTRA_OF.items():
        if f"{imported}.".startswith(f"{prefix}."):
            return {f"[{extra}]"}
    if top in sys.stdlib_module_names or top == "langchain_hf_endpoint":
        return {PACKAGE}
    return {_normal(name) for name in _distributions().get(top, ())}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """The packages that bring each top-level module of this environment."""
    return metadata.packages_distributions()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
