"""The measures of the package's structure, beside the bounds that it is meant to keep.

Nothing is timed: sizes, imports, and what a warm call runs through, against a `ScriptedEndpoint`.
The calls are those of one text and of two, each after some of its kind on the same object.
"""

from __future__ import annotations

import ast
import io
import sys
import threading
import tokenize
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.children import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

NAME = "langchain_hf_endpoint"
PACKAGE = ROOT / NAME
_DIRECTIVES = ("# noqa", "# type:", "# pragma", "# fmt:")
_IGNORED = "__pycache__"
_WARM = 5  # calls before the one that is counted


@dataclass(frozen=True)
class Measure:
    """A figure of the package, and the bounds that it is meant to keep."""

    what: str
    value: float
    least: float
    most: float

    @property
    def held(self) -> bool:
        return self.least <= self.value <= self.most

    @property
    def bounds(self) -> str:
        if self.least == self.most:
            return f"{self.most:,g}"
        return f"at most {self.most:,g}" if not self.least else f"{self.least:,g} to {self.most:,g}"


def measures() -> list[Measure]:
    """All of them."""
    return [*of_the_tree(), *of_the_imports(), *of_the_lines(), *of_the_calls()]


def of_the_tree() -> list[Measure]:
    """What a reader meets first: the private modules and folders at the top."""
    private = [path for path in PACKAGE.glob("_[!_]*") if path.name != _IGNORED]
    folders = sum(path.is_dir() for path in private)
    return [
        Measure("private modules at the top", len(private) - folders, 0, 6),
        Measure("private folders at the top", folders, 4, 4),
    ]


def of_the_imports() -> list[Measure]:
    """Who may import whom, and whether modules import each other."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    [layers] = [contract for contract in contracts if contract["type"] == "layers"]
    return [
        Measure("layers", len(layers["layers"]), 8, 8),
        Measure("exceptions from the layers", len(layers.get("ignore_imports", ())), 0, 0),
        Measure("circles of modules", len(circles(imports_of_modules())), 0, 0),
    ]


def of_the_lines() -> list[Measure]:
    """How much there is to read."""
    sources = [path.read_text(encoding="utf-8") for path in modules().values()]
    lengths = [len(source.splitlines()) for source in sources]
    comments = sum(map(comment_lines, sources))
    return [
        Measure("Python files", len(sources), 0, 150),
        Measure("lines", sum(lengths), 0, 21_000),
        Measure("lines of the median file", median(lengths), 110, 150),
        Measure("lines of the longest file", max(lengths), 0, 400),
        Measure("comment lines, percent", round(100 * comments / sum(lengths), 1), 3, 6),
    ]


def of_the_calls() -> list[Measure]:
    """What the interpreter runs through: calls of our functions, and the files that hold them."""
    from langchain_hf_endpoint import HFEndpointEmbeddings
    from langchain_hf_endpoint.testing import ScriptedEndpoint

    with ScriptedEndpoint() as server, counting() as count:  # the server's thread is not counted
        embeddings = HFEndpointEmbeddings(url=server.url)
        query = count(lambda: embeddings.embed_query("Which text?"))
        documents = count(lambda: embeddings.embed_documents(["A text.", "Another one."]))
    return [
        Measure("embed_query, warm: calls", query[0], 0, 180),
        Measure("embed_query, warm: files", query[1], 0, 20),
        Measure("embed_documents of two texts, warm: calls", documents[0], 0, 220),
        Measure("embed_documents of two texts, warm: files", documents[1], 0, 24),
    ]


@contextmanager
def counting() -> Iterator[Callable[[Callable[[], object]], tuple[int, int]]]:
    """Gives what counts the calls and the files of a warm run of something.

    Threads that are started within are counted too. A generator that goes on is called anew.
    """
    files: list[str] = []
    is_on = False

    def note(frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        if is_on and event == "call" and file.startswith(f"{PACKAGE}/"):
            files.append(file)

    def count(run: Callable[[], object]) -> tuple[int, int]:
        nonlocal is_on
        for _ in range(_WARM):
            run()
        files.clear()
        is_on = True
        run()
        is_on = False
        return len(files), len(set(files))

    before, before_in_threads = sys.getprofile(), threading.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(before)
        threading.setprofile(before_in_threads)


def modules() -> dict[str, Path]:
    """Each module's file, by the module's name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of_modules() -> dict[str, set[str]]:
    """The modules that each module imports, at its head or within functions, or for its types."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        imported: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                longer = (f"{node.module}.{alias.name}" for alias in node.names)
                imported.update(one if one in known else node.module for one in longer)
        found[name] = (imported & known.keys()) - {name}
    return found


def circles(imports: Mapping[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or by others.

    A package's `__init__` is left out: it lists what its modules have.
    """
    graph = {
        name: {other for other in others if not _is_package(other)}
        for name, others in imports.items()
        if not _is_package(name)
    }
    reached = {name: _reached(graph, name) for name in graph}
    groups = {
        frozenset(other for other in reached[name] if name in reached[other])
        for name in graph
        if name in reached[name]
    }
    return sorted(sorted(group) for group in groups)


def _is_package(name: str) -> bool:
    return (ROOT / name.replace(".", "/")).is_dir()


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def comment_lines(source: str) -> int:
    """The lines with a comment for a reader: not for a tool."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(
        token.type == tokenize.COMMENT and not token.string.startswith(_DIRECTIVES)
        for token in tokens
    )


def show() -> None:
    """Print them."""
    for measure in measures():
        verdict = "" if measure.held else "  outside"
        print(f"{measure.what:<44}{measure.value:>8,g}  ({measure.bounds}){verdict}")
