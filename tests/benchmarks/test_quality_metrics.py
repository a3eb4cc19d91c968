"""The metrics of `benchmarks quality` on cases small enough to be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quality_metrics import interval, iou, merged, recall, shared, size, within

ANSWER = [(10, 20), (40, 50)]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([(5, 8), (0, 3), (2, 4)], [(0, 4), (5, 8)]),
        ([(0, 3), (3, 5)], [(0, 5)]),
        ([(0, 9), (2, 4), (3, 10)], [(0, 10)]),
    ],
)
def test_spans_are_merged(spans, expected):
    assert merged(spans) == expected


def test_characters_of_two_spans_count_twice_in_the_size():
    assert size([(0, 10), (5, 15)]) == 20


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], 0),
        ([(0, 10), (20, 40), (50, 60)], 0),
        ([(15, 45)], 10),
        ([(0, 12), (11, 14), (11, 14)], 4),
        ([(0, 100)], 20),
    ],
)
def test_shared_characters_count_once(found, expected):
    assert shared(ANSWER, found) == shared(found, ANSWER) == expected


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        (20, [(100, 120)]),
        (50, [(100, 150)]),
        (80, [(100, 150), (0, 30)]),
        (1_000, [(100, 150), (0, 60), (20, 70)]),
    ],
)
def test_the_best_spans_are_taken_up_to_so_many_characters(characters, expected):
    assert within(iter([(100, 150), (0, 60), (20, 70)]), characters) == expected


def test_recall_is_the_share_of_the_answer_that_was_found():
    assert recall(ANSWER, []) == 0
    assert recall(ANSWER, [(0, 15), (12, 15)]) == 0.25
    assert recall(ANSWER, [(40, 60), (0, 30)]) == 1
    assert recall([*ANSWER, (15, 20)], [(0, 30)]) == 0.5


def test_iou_counts_what_was_found_and_not_asked_for():
    assert iou([(10, 20)], [(10, 20)]) == 1
    assert iou([(10, 20)], [(20, 30)]) == 0
    assert iou([(10, 20)], [(15, 25)]) == pytest.approx(5 / 15)
    # 30 characters found, 5 of them twice, all 10 of the answer among them.
    assert iou([(10, 20)], [(0, 20), (15, 25)]) == pytest.approx(10 / 30)


def test_the_interval_holds_the_mean_and_narrows_with_the_number_of_questions():
    assert interval(np.full(30, 0.25)) == (0.25, 0.25)
    chance = np.random.default_rng(1)
    widths = []
    for count in (50, 5_000):
        low, high = interval(chance.normal(0.1, 1.0, count))
        assert low < 0.1 < high
        widths.append(high - low)
    # The standard error times 2 x 1.96.
    assert widths == pytest.approx([3.92 / 50**0.5, 3.92 / 5_000**0.5], rel=0.25)
