"""Options of the chaos run, and its figures at the end of the session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FIGURES = "chaos"


def pytest_addoption(parser: pytest.Parser) -> None:
    """They are known where `tests/soak/chaos` is named on the command line."""
    group = parser.getgroup("chaos")
    group.addoption("--seed", type=int, help="run one scenario, the one of this seed")
    group.addoption("--scenarios", type=int, default=None, help="run so many; 100 by default")
    group.addoption("--first-seed", type=int, default=1, help="where their seeds begin")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was recorded, whichever process recorded it."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == FIGURES and getattr(report, "when", "") == "call":
                    terminalreporter.section("chaos")
                    for label, told in json.loads(value).items():
                        terminalreporter.write_line(f"{label}: {told}")
