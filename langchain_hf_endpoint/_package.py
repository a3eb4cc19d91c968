"""What is loaded when it is first used, and what is said where it is not installed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_hf_endpoint.errors import MissingExtraError

__version__ = "0.1.0"


class LazyModule:
    """Stands for a module until it is needed, so that defining a pipeline does not load httpx."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)  # found without us from now on
        return value


def lazy_names(
    package: str, rooms: Mapping[str, str], *, what: str, extra: str
) -> Callable[[str], object]:
    """A package's ``__getattr__`` for names whose modules need the packages of an extra.

    Args:
        package: Its ``__name__``.
        rooms: Each name's module, within the package.
        what: What needs the extra, as the error says it.
        extra: The extra.
    """

    def getattr_(name: str) -> object:
        room = rooms.get(name)
        if room is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(f"{package}.{room}"), name)
        except ModuleNotFoundError as error:
            raise missing_extra(what, extra, error) from error

    return getattr_


def missing_extra(what: str, extra: str, error: ImportError) -> MissingExtraError:
    """The error for a failed import of what an extra brings."""
    # Not with the package: its import takes a millisecond without what the errors need.
    from langchain_hf_endpoint.errors import MissingExtraError  # noqa: PLC0415

    return MissingExtraError(
        f"{what} needs a package that is not here: {error.name}",
        advice=f'Install it with pip install "langchain-hf-endpoint[{extra}]".',
    )
