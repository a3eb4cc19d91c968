"""ARCHITECTURE.md draws the tree that is there, and names layers, files and names that exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks import structure

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "langchain_hf_endpoint"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^  (\S+)", re.MULTILINE)
FOLDER = re.compile(r"^([\w/]+/)\n((?:  .*\n)+)", re.MULTILINE)
FILE = re.compile(r"\*\*([\w/]+\.py)\*\*")
DECISION = re.compile(r"^\| [^|]+ \| `([\w/]+\.py)` \| `([\w/]+\.py)` \|$", re.MULTILINE)
STARTS = {"__init__.py", "__main__.py"}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def has_modules(folder: Path) -> bool:
    return folder.is_dir() and any(folder.glob("*.py"))


def defined_in(file: Path) -> set[str]:
    """Classes and functions, and their methods as `Class.method`."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
            names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, kinds)}
    return names


def test_the_tree_is_the_one_that_is_there():
    drawn = INDENTED.findall(BLOCK.findall(section("The tree"))[0])
    modules = {path.name for path in PACKAGE.glob("*.py")}
    folders = {f"{path.name}/" for path in PACKAGE.iterdir() if has_modules(path)}
    assert sorted(drawn) == sorted(modules | folders)


def test_every_file_of_every_folder_is_drawn_and_no_other():
    block = BLOCK.findall(section("The tree"))[1]
    drawn = {
        f"{folder}{file}"
        for folder, files in FOLDER.findall(block)
        for file in INDENTED.findall(files)
    }
    there = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.parent != PACKAGE and path.name not in STARTS
    }
    assert sorted(drawn - there) == []
    assert sorted(there - drawn) == []


def test_the_layers_are_those_of_import_linter():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert BLOCK.findall(section("The layers"))[0].splitlines() == layers


def test_every_name_of_the_walk_is_defined_in_the_file_before_it():
    walk = section("One call")
    assert re.findall(r"^(\d+)\. ", walk, re.MULTILINE) == [str(step) for step in range(1, 11)]
    names: set[str] = set()
    for file, name in re.findall(r"\*\*([\w/]+\.py)\*\*|`([\w.]+)`", walk):
        if file:
            names = defined_in(PACKAGE / file)
        else:
            assert name in names, name


def test_every_decision_has_a_file_and_tests():
    rows = DECISION.findall(section("Where is it decided that …"))
    assert len(rows) > 30
    for file, tests in rows:
        assert (PACKAGE / file).exists(), file
        assert (ROOT / "tests" / tests).exists(), tests
    assert section("Where is it decided that …").count("\n| ") == len(rows) + 1


def test_the_measures_are_printed():
    command = [sys.executable, "-m", "benchmarks", "structure"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    sys.stdout.write(done.stdout)  # seen with `pytest -rP`
    assert len(done.stdout.splitlines()) == 14


def test_the_tree_keeps_its_bounds():
    measures = structure.of_the_tree() + structure.of_the_imports()
    assert [measure for measure in measures if not measure.held] == []


def test_a_circle_would_be_found():
    imports = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert structure.circles(imports) == [["a", "b", "c"]]
