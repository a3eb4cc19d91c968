"""`benchmarks quality` on a set of two short texts and vectors that are told."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.quality_contenders import Contender, spans

TEXTS = {"one": "Cats purr. Dogs bark.\n", "two": "Dogs bark. Cows moo."}
QUESTIONS = [("Who barks?", [(0, 10)], "two"), ("Who purrs?", [(0, 4), (5, 10)], "one")]
VECTORS = {"Who barks?": (1, 0), "Who purrs?": (0, 1), "Cats purr.": (0, 1)}
VECTORS |= {"Dogs bark.": (1, 0), "Cows moo.": (0.5, 0.5)}


class Told:
    def of(self, texts):
        return np.array([VECTORS[text] for text in texts], np.float32)


def sentences(text):
    start = 0
    for piece in text.split(". "):
        whole = piece.strip().removesuffix(".") + "."
        yield start, whole
        start += len(whole) + 1


@pytest.fixture
def corpora(tmp_path):
    (tmp_path / "corpora").mkdir()
    for name, text in TEXTS.items():
        (tmp_path / "corpora" / f"{name}.md").write_text(text)
    with (tmp_path / "questions_df.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "references", "corpus_id"])
        for question, places, name in QUESTIONS:
            found = [{"content": "", "start_index": a, "end_index": b} for a, b in places]
            rows.writerow([question, json.dumps(found), name])
    return quality.read(tmp_path)


def test_spans_count_from_the_first_text_on(corpora):
    assert corpora.questions == ["Who barks?", "Who purrs?"]
    assert corpora.texts == [(0, TEXTS["two"]), (20, TEXTS["one"])]
    assert corpora.references == [[(0, 10)], [(20, 24), (25, 30)]]


def test_chunks_of_all_texts_are_ranked_for_each_question(corpora):
    result = quality.judged(
        Contender("sentences", lambda _: sentences), corpora, Told(), Told().of(corpora.questions)
    )
    assert sorted(result.lengths) == [9, 10, 10, 10]
    assert result.mean("recall@5") == 1
    # All 39 characters are among the best five chunks, 10 and 9 of them of the answers.
    assert result.figures["IoU@5"] == pytest.approx([10 / 39, 9 / 39])


def test_a_piece_that_is_not_what_stands_there_is_refused():
    assert spans(lambda _: [(1, "bc"), (3, " \n")], "abc \n") == [(1, 3)]
    with pytest.raises(ValueError, match="not in the text at 0"):
        spans(lambda _: [(0, "bc")], "abc")
    with pytest.raises(ValueError, match="not in the text at -1"):
        spans(lambda _: [(-1, "c")], "abc")
