"""What a visitor of the repository or of its page on PyPI meets first."""

from __future__ import annotations

import re
import shlex
import tarfile
from pathlib import Path

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from trove_classifiers import classifiers

ROOT = Path(__file__).parents[2]
PROJECT = "https://github.com/langchain-hf-endpoint/langchain-hf-endpoint"
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
FRONT = [
    "CONTRIBUTING.md",
    "ARCHITECTURE.md",
    "AGENTS.md",
    "SECURITY.md",
    ".github/pull_request_template.md",
]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def workflow(name):
    loaded = yaml.safe_load(read(f".github/workflows/{name}.yml"))
    return {**loaded, "on": loaded[True]}  # YAML 1.1 reads "on" as true


def test_continuous_integration_runs_ci_run():
    described = workflow("ci")
    assert {"push", "pull_request", "workflow_call"} <= described["on"].keys()
    steps = described["jobs"]["all"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert described["permissions"] == {"contents": "read"}


def test_continuous_integration_runs_every_python_that_the_package_names():
    jobs = workflow("ci")["jobs"]
    [setup] = [step for step in jobs["all"]["steps"] if "setup-python" in step.get("uses", "")]
    ran = {setup["with"]["python-version"], *jobs["tests"]["strategy"]["matrix"]["python"]}
    named = set(re.findall(r'"Programming Language :: Python :: (3\.\d+)"', read("pyproject.toml")))
    assert ran == named


def test_a_release_is_checked_and_published_without_a_stored_token():
    described = workflow("release")
    jobs = described["jobs"]
    assert jobs["check"]["uses"] == "./.github/workflows/ci.yml"
    assert jobs["build"]["needs"] == "check"
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "permissions" not in jobs["build"]
    assert "secrets." not in read(".github/workflows/release.yml")
    assert jobs["publish"]["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert "with" not in jobs["publish"]["steps"][-1]  # no password


@pytest.mark.parametrize("form", ["bug", "feature"])
def test_an_issue_form_has_what_github_requires(form):
    described = yaml.safe_load(read(f".github/ISSUE_TEMPLATE/{form}.yml"))
    assert {"name", "description", "body"} <= described.keys()
    for field in described["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert "value" in field["attributes"] or {"id"} <= field.keys()
        assert "value" in field["attributes"] or "label" in field["attributes"]


def test_the_hooks_before_a_commit_are_what_lint_runs():
    [repository] = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    entries = {" ".join(shlex.split(hook["entry"])[:2]) for hook in repository["hooks"]}
    lint = read("Makefile").split("\nlint:", 1)[1].split("\n\n", 1)[0]
    for entry in entries:
        assert entry.replace(".venv/bin/", "$(BIN)/") in lint
    assert len(entries) == lint.count("$(BIN)/")


@pytest.mark.parametrize("name", FRONT)
def test_a_page_names_make_targets_and_files_that_there_are(name):
    text = read(name)
    targets = set(TARGET.findall(read("Makefile")))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    for link in LINK.findall(text):
        assert (ROOT / link).exists(), link
    for path in re.findall(r"`((?:tests|docs|langchain_hf_endpoint|\.ci)/[\w./-]*)`", text):
        assert (ROOT / path).exists(), path


def test_the_metadata_lead_to_the_project():
    section = read("pyproject.toml").split("[project.urls]\n", 1)[1].split("\n\n", 1)[0]
    urls = dict(re.findall(r'^(\w+) = "([^"]+)"$', section, re.MULTILINE))
    assert {"Homepage", "Documentation", "Changelog", "Source", "Issues"} <= urls.keys()
    for url in urls.values():
        assert url.startswith(PROJECT)
        _, _, path = url.partition("/main/")
        assert (ROOT / path).exists()


def test_every_classifier_is_one_of_pypi():
    block = read("pyproject.toml").split("classifiers = [", 1)[1].split("]", 1)[0]
    named = re.findall(r'"([^"]+)"', block)
    assert named == sorted(named)
    assert set(named) <= classifiers


def test_the_source_distribution_holds_what_a_test_run_needs(tmp_path):
    [built] = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(built) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/index.md",
        "tests/conftest.py",
        "Makefile",
        "zensical.toml",
        "hatch_build.py",
        "benchmarks/RESULTS.md",
        "examples/quickstart.py",
        ".ci/run",
    ):
        assert needed in names
