"""What a usual run of the tests leaves out: `make test THOROUGH=1` has all of it."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

IS_THOROUGH = bool(os.environ.get("THOROUGH"))


def amount(usual: int, thorough: int) -> int:
    """How much of something there is: examples, texts or seeds."""
    return thorough if IS_THOROUGH else usual


def in_pairs(*, indirect: Iterable[str] = (), **values: Iterable[Any]) -> pytest.MarkDecorator:
    """Parametrize by so few combinations that any two values are together in one of them."""
    lists = [list(each) for each in values.values()]
    chosen = every = list(itertools.product(*(range(len(each)) for each in lists)))
    if not IS_THOROUGH:
        chosen, missing = [], set().union(*map(_pairs, every))
        while missing:
            chosen.append(max(every, key=lambda row: len(missing & _pairs(row))))
            missing -= _pairs(chosen[-1])
    rows = [[each[at] for each, at in zip(lists, row, strict=True)] for row in chosen]
    return pytest.mark.parametrize(tuple(values), rows, indirect=list(indirect))


def _pairs(row: Iterable[int]) -> set[Any]:
    return set(itertools.combinations(enumerate(row), 2))
