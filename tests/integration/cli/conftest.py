"""Each command runs as for a user who has nothing yet."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


PACKAGE = "langchain_hf_endpoint"


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The path of a registry that is not there."""
    path = tmp_path / "of-the-user" / "endpoints.db"
    path.parent.mkdir()
    monkeypatch.setenv("HF_ENDPOINT_REGISTRY", str(path))
    return path


@pytest.fixture(autouse=True)
def _loggers_as_they_were():
    """`check` silences the library's loggers for the rest of its process, which here goes on."""
    loggers = [logging.getLogger(name) for name in (PACKAGE, f"{PACKAGE}._attempts")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
