"""What a topic yields: rows of repeated figures, which know their median and their spread."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.children import SCRATCH

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        quick: A minute or two in all, for development; the figures say little.
        runs: Rounds in which all contenders take their turns.
    """

    quick: bool = False
    runs: int = 3

    def of(self, full: int, quick: int) -> int:
        """A number that depends on it."""
        return quick if self.quick else full


@dataclass
class Row:
    """One contender in one setting.

    Attributes:
        subject: The contender.
        setting: In which it was measured; one that a topic has several of.
        figures: Each figure's values, one a run.
        note: What the contender really does, or what is to be known of the setting.
        error: What it failed with.
    """

    subject: str
    setting: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""
    error: str = ""

    def add(self, values: Mapping[str, Any]) -> None:
        """Enter a run's figures, or its error."""
        if error := values.get("error"):
            self.error = error
            return
        for name, value in values.items():
            self.figures.setdefault(name, []).append(value)

    def median(self, figure: str) -> float:
        """The median over the runs; NaN where there is none."""
        values = self.figures.get(figure)
        return statistics.median(values) if values else float("nan")

    def spread(self, figure: str) -> tuple[float, float]:
        """The least and the greatest value."""
        values = self.figures.get(figure) or [float("nan")]
        return min(values), max(values)


@dataclass
class Topic:
    """All rows of a topic, with the conditions they were measured under."""

    name: str
    conditions: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0

    def row(self, subject: str, setting: str = "") -> Row:
        """The row of a contender in a setting; made where there is none."""
        for row in self.rows:
            if (row.subject, row.setting) == (subject, setting):
                return row
        self.rows.append(Row(subject, setting))
        return self.rows[-1]

    def of(self, setting: str) -> list[Row]:
        """All rows of a setting."""
        return [row for row in self.rows if row.setting == setting]

    def settings(self) -> list[str]:
        """The settings, in order."""
        return list(dict.fromkeys(row.setting for row in self.rows))

    def save(self) -> None:
        """Write it where the report finds it."""
        SCRATCH.mkdir(exist_ok=True)
        path = SCRATCH / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def saved(name: str) -> Topic | None:
    """A topic as it was last measured; None where it never was."""
    path = SCRATCH / f"{name}.json"
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in content.pop("rows")]
    return Topic(**content, rows=rows)


def say(words: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')}  {words}", flush=True)
