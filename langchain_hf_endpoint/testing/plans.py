"""Draw the fault that a request meets: by chance, but the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint.testing.faults import Asked, Fault


class Plan(Protocol):
    """Anything that says what a request meets: a function, or a `FaultPlan`."""

    def __call__(self, asked: Asked) -> Fault | None:
        """The fault for this request, None for the right answer. Called in order of arrival."""


class FaultPlan:
    """Faults with probabilities, drawn by a seed.

    What a request meets depends on the seed, on its texts and on how often just these were asked
    for before. It does not depend on the order in which requests arrive: a run of a concurrent
    client is repeated by its seed.

    Args:
        seed: Any number or text.
        chances: Each fault's probability; together at most 1. The rest are right answers.
        most_in_a_row: After so many faults for the same texts they get the right answer, so that
            a client that tries again for long enough gets everything. None: they may fail for ever.
        on_info: Whether ``GET /info`` meets faults too.

    Raises:
        ValueError: The probabilities are negative, or add up to more than 1.
    """

    def __init__(
        self,
        seed: int | str,
        chances: Mapping[Fault, float],
        *,
        most_in_a_row: int | None = 3,
        on_info: bool = False,
    ) -> None:
        if min(chances.values(), default=0.0) < 0 or sum(chances.values()) > 1 + 1e-9:
            raise ValueError(
                "the probabilities of the faults must be 0 or more, together at most 1"
            )
        self._seed = seed
        self._chances = dict(chances)
        self._most_in_a_row = most_in_a_row
        self._on_info = on_info
        self._asked: Counter[tuple[str, ...]] = Counter()
        self._in_a_row: Counter[tuple[str, ...]] = Counter()

    def __repr__(self) -> str:
        chances = ", ".join(f"{fault.kind} {share:g}" for fault, share in self._chances.items())
        return f"<FaultPlan {self._seed!r}: {chances}>"

    def __call__(self, asked: Asked) -> Fault | None:
        """Draw for one request."""
        if asked.method == "GET" and not self._on_info:
            return None
        key = (asked.method, *sorted(asked.texts))
        self._asked[key] += 1
        fault = None
        if self._in_a_row[key] != self._most_in_a_row:
            fault = self._draw(f"{self._seed}/{self._asked[key]}/{key}")
        self._in_a_row[key] = 0 if fault is None else self._in_a_row[key] + 1
        return fault

    def _draw(self, seed: str) -> Fault | None:
        point = random.Random(seed).random()  # noqa: S311 - no secret
        for fault, share in self._chances.items():
            point -= share
            if point < 0:
                return fault
        return None
