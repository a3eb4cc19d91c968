"""Inputs that broke a law once, or come close to it: see ``fuzz.py``, which finds them."""

from __future__ import annotations

from pathlib import Path

import pytest
from laws import LAWS

CASES = [
    pytest.param(law, path, id=f"{law}-{path.name}")
    for law in LAWS
    for path in sorted((Path(__file__).parent / "cases" / law).iterdir())
]


@pytest.mark.parametrize(("law", "path"), CASES)
def test_case(law, path):
    LAWS[law](path.read_bytes())
