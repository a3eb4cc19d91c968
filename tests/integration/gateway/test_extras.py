"""The gateway and the command line say which extra they need."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules[{missing!r}] = None\n"


def run(code: str, missing: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(missing=missing) + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "prometheus_client"])
def test_without_its_extra_the_gateway_names_it(missing):
    done = run("from langchain_hf_endpoint.gateway import serve", missing)
    assert done.returncode == 1
    assert "MissingExtraError" in done.stderr
    assert 'pip install "langchain-hf-endpoint[gateway]"' in done.stderr


def test_without_its_extra_the_command_line_names_it():
    done = run("from langchain_hf_endpoint.cli import main; main()", "typer")
    assert done.returncode == 1
    assert 'pip install "langchain-hf-endpoint[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_without_the_gateways_extra_names_that():
    code = "import sys; sys.argv = ['hf-endpoint', 'serve', '--port', '0']\n"
    done = run(code + "from langchain_hf_endpoint.cli import main; main()", "uvicorn")
    assert done.returncode == 1
    assert 'pip install "langchain-hf-endpoint[gateway]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_package_loads_nothing_of_the_extras():
    code = (
        "import langchain_hf_endpoint.gateway, langchain_hf_endpoint.cli, sys\n"
        "print([name for name in ('starlette', 'uvicorn', 'prometheus_client', 'typer')"
        " if name in sys.modules])"
    )
    assert run(code, "nothing").stdout.strip() == "[]"
