"""The wheel holds all it needs: used from elsewhere, without a network, it chunks and embeds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REACHED_OUT = 77

CUT_OFF = f"""
import ipaddress, os, sys

def is_here(address):
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode()
    try:
        return host in (None, "", "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

def cut(event, args):
    place = {{"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0,
             "socket.gethostbyname": 0, "urllib.Request": None}}.get(event, -1)
    if place == -1 or (place is not None and is_here(args[place])):
        return
    if place == 1 and isinstance(args[1], (str, bytes)):
        return  # a socket of this machine's own, in the file system
    os.write(2, f"it reaches out: {{event}} {{args}}".encode())
    os._exit({REACHED_OUT})

sys.addaudithook(cut)
"""
"""Every Python that starts in its reach, children included, ends where it looks beyond loopback."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel has, and with nothing else of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    (folder / "site" / "sitecustomize.py").write_text(CUT_OFF)
    return folder / "site"


def _run(installed, script):
    home = installed.parent / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    head = f"""
import langchain_hf_endpoint as package
assert package.__file__.startswith({str(installed)!r}), package.__file__
"""
    run = subprocess.run(
        [sys.executable, "-c", head + script],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return run, [str(path.relative_to(home)) for path in home.rglob("*")]


def test_the_network_is_cut(installed):
    for script in (
        'import socket; socket.create_connection(("192.0.2.1", 80), 1)',
        'import socket; socket.getaddrinfo("raw.githubusercontent.com", 443)',
        'import nltk; nltk.download("punkt_tab")',
    ):
        run, _ = _run(installed, script)
        assert run.returncode == REACHED_OUT, run.stderr


def test_every_language_is_chunked_by_what_the_package_brings(installed):
    run, left = _run(
        installed,
        """
from langchain_hf_endpoint import HFEndpointTextSplitter, chunk
text = "Dr. Smith went home. " * 200
for language in ("english", "german", "french", "polish", "greek"):
    settings = {"strategy": "sentence", "language": language}
    assert len(HFEndpointTextSplitter(settings).split_text(text)) > 1
assert len(chunk(text, {"strategy": "word"})) > 1
for name in package.__all__:
    getattr(package, name)
""",
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert left == [], left


def test_the_embedded_server_brings_its_model(installed):
    run, left = _run(
        installed,
        """
from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint.local import LocalServer
with LocalServer() as server:
    [vector] = HFEndpointEmbeddings(url=server.url).embed_documents(["A text. " * 300])
assert len(vector) == 384
""",
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert left == [], left


def test_the_wheel_has_the_licences_the_types_and_no_tests(installed):
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*")}
    assert "langchain_hf_endpoint/py.typed" in files
    names = {name.rpartition("/")[2] for name in files if ".dist-info/licenses/" in name}
    assert names >= {"LICENSE", "NOTICE"}
    assert {name.partition("/")[0] for name in files if not name.endswith(".dist-info")} == {
        "langchain_hf_endpoint",
        "sitecustomize.py",
        *(name.partition("/")[0] for name in files if ".dist-info" in name),
    }


def test_the_links_of_the_readme_work_on_pypi(installed):
    [metadata] = installed.glob("*.dist-info/METADATA")
    description = metadata.read_text(encoding="utf-8").partition("\n\n")[2]
    assert description.startswith("# langchain-hf-endpoint")
    links = re.findall(r"\]\(([^)]+)\)", description)
    assert len(links) > 30
    for link in links:
        assert link.startswith(("https://", "#")), link
    files = [link.partition("/blob/main/")[2] for link in links if "/blob/main/" in link]
    assert files
    for file in files:
        assert (ROOT / file).exists(), file
