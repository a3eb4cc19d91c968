"""Servers that others wrote, started here, or the user's own: `make test-servers URL=…`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr
from served import RERANKERS, SERVERS, Served, started, started_reranker

from langchain_hf_endpoint import get_embedding_usage
from langchain_hf_endpoint._session.session import close_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint import EmbeddingUsage, EndpointDescription

MOST_REQUESTS = 40  # to a user's endpoint
YOURS = "yours"


@dataclass
class Findings:
    """What is printed at the end of a run against a user's endpoint."""

    requests: int = 0
    told: dict[str, Any] = field(default_factory=dict)


_FINDINGS = pytest.StashKey[Findings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """They are known where `tests/compat/servers` is named on the command line."""
    group = parser.getgroup("servers")
    group.addoption("--url", help="the endpoint to ask, instead of servers that are started here")
    group.addoption("--model", help="which of its models, where it has several")
    group.addoption("--key-file", help="a file that has its key, and nothing else")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FINDINGS] = Findings()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test meets each server; one after the other, since two may be too much for a machine."""
    url = metafunc.config.getoption("--url")
    for fixture, names in (("served", SERVERS), ("reranking", RERANKERS)):
        if fixture in metafunc.fixturenames:
            chosen = names if url is None else (YOURS,)
            metafunc.parametrize(fixture, chosen, indirect=True, scope="session")


def _users(config: pytest.Config) -> Served:
    path = config.getoption("--key-file")
    key = SecretStr(Path(path).expanduser().read_text(encoding="utf-8").strip()) if path else None
    return Served(YOURS, config.getoption("--url"), key, config.getoption("--model"))


@pytest.fixture(scope="session")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server that embeds."""
    yield from _each(request, tmp_path_factory, started)


@pytest.fixture(scope="session")
def reranking(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server that reranks."""
    yield from _each(request, tmp_path_factory, started_reranker)


def _each(
    request: pytest.FixtureRequest, folders: pytest.TempPathFactory, start: Callable[..., Any]
) -> Iterator[Served]:
    if request.param == YOURS:
        yield _users(request.config)
    else:
        with start(request.param, folders.mktemp("server")) as served:
            yield served
    close_sessions()


@pytest.fixture(autouse=True)
def _nothing_left_over() -> None:
    """What was learned of a server stays, unlike elsewhere: a user's is not asked again."""


@pytest.fixture(scope="session")
def findings(request: pytest.FixtureRequest) -> Findings:
    """What is printed at the end."""
    return request.config.stash[_FINDINGS]


@pytest.fixture(scope="session")
def told(served: Served, findings: Findings) -> EndpointDescription:
    """What the server is, and whether a text has one vector there."""
    with get_embedding_usage() as usage:
        try:
            told = served.endpoint().describe(parity=True)
        finally:
            findings.requests += usage.requests
    names = ("host", "dialect", "server", "version", "model_id", "dimensions", "max_input_tokens")
    names += ("max_batch_size", "max_concurrent_inputs")
    findings.told = {name: getattr(told, name) for name in names}
    return told


@pytest.fixture
def usage(request: pytest.FixtureRequest, findings: Findings) -> Iterator[EmbeddingUsage]:
    """What the test has sent."""
    if request.config.getoption("--url") and findings.requests >= MOST_REQUESTS:
        pytest.skip(f"{findings.requests} requests have been sent, and that is enough")
    with get_embedding_usage() as usage:
        yield usage
    findings.requests += usage.requests


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what a user's endpoint is, and what it was asked."""
    if config.getoption("--url"):
        findings = config.stash[_FINDINGS]
        terminalreporter.section("your endpoint")
        for name, value in findings.told.items():
            terminalreporter.write_line(f"{name}: {'not said' if value is None else value}")
        terminalreporter.write_line(f"requests sent: {findings.requests}")
