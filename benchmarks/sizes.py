"""How much an installation takes on the disk: the package, and what each extra adds to it.

Added up from the files of the distributions that are installed here, with the bytecode that pip
compiles. What is missing of an extra is named. Nothing is timed.
"""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "langchain-hf-endpoint"


def megabytes(names: set[str]) -> float:
    """What these distributions take."""
    return sum(map(_bytes_of, map(distribution, names))) / 1e6


def needed(extra: str = "") -> tuple[set[str], set[str]]:
    """The distributions that the package needs with an extra: those installed, those missing."""
    found: set[str] = set()
    missing: set[str] = set()
    waiting = [(PACKAGE, extra)]
    asked = set()
    while waiting:
        asked.add(wanted := waiting.pop())
        name, with_extra = wanted
        try:
            of = distribution(name)
        except PackageNotFoundError:
            missing.add(name)
            continue
        found.add(name)
        for requirement in map(Requirement, of.requires or ()):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": one}) for one in ("", with_extra)):
                required = canonicalize_name(requirement.name)
                more = {(required, one) for one in ("", *requirement.extras)}
                waiting += more - asked
    return found, missing


def _bytes_of(installed: Distribution) -> int:
    files = (Path(str(installed.locate_file(file))) for file in installed.files or ())
    return sum(file.stat().st_size for file in files if file.exists())


def show() -> None:
    """Print them."""
    base, _ = needed()
    print(f"{'the package':<14}{megabytes(base):>5.0f} MB")
    for extra in distribution(PACKAGE).metadata.get_all("Provides-Extra") or ():
        found, missing = needed(extra)
        words = f"; not installed here: {', '.join(sorted(missing))}" if missing else ""
        print(f"{f'[{extra}]':<14}{megabytes(found - base):>5.0f} MB more{words}")
