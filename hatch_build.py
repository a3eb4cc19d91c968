"""Make the README's links absolute for PyPI, which shows the page without the repository."""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

FILES = "https://github.com/langchain-hf-endpoint/langchain-hf-endpoint/blob/main/"
RELATIVE = re.compile(r"\]\((?!https?:|#)")


class ReadmeForPyPI(MetadataHookInterface):
    """Hatchling calls it when it reads the project's metadata."""

    def update(self, metadata: dict[str, object]) -> None:
        """Set the readme, which `pyproject.toml` names as dynamic."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        page = RELATIVE.sub(f"]({FILES}", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": page}
