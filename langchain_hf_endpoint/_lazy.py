"""A module that is loaded when something of it is first used."""

from __future__ import annotations

import importlib


class LazyModule:
    """Stands for a module until it is needed, so that defining a pipeline does not load httpx."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        return getattr(importlib.import_module(self._name), attribute)
