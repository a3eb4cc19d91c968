"""Each command runs as for a user who has nothing yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The path of a registry that is not there."""
    path = tmp_path / "of-the-user" / "endpoints.db"
    path.parent.mkdir()
    monkeypatch.setenv("HF_ENDPOINT_REGISTRY", str(path))
    return path
