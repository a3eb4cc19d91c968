"""Which chunks let a question find what answers it: QUALITY.md."""

from __future__ import annotations

import csv
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import quality_metrics as metrics
from benchmarks.quality_contenders import CONTENDERS, spans
from benchmarks.quality_vectors import Vectors
from benchmarks.records import say
from benchmarks.splitters import nltk_data
from benchmarks.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from benchmarks.quality_contenders import Contender
    from benchmarks.quality_metrics import Span

    Similar = NDArray[np.float32]

_SET = "https://github.com/brandonstarxel/chunking_evaluation"
WRITTEN = Path(__file__).parent / "QUALITY.md"
BUDGETS = (4_000, 8_000)
BEST = 5
WORDS = 1_000  # of a document
_AT_BUDGETS = tuple(f"recall at {budget:,}" for budget in BUDGETS)
_FIGURES = (*_AT_BUDGETS, f"IoU@{BEST}", f"recall@{BEST}")
_DOCUMENTS = ("sentence 250/1", "sentence 60/0, auto")
_PACKAGES = ("langchain-text-splitters", "chonkie", "llama-index-core", "haystack-ai", "nltk")
_HEAD = f"""# How well texts are found

Written by `python -m benchmarks quality --data DIR`; not edited by hand. The set is that of
[Evaluating Chunking Strategies for Retrieval]({_SET}):
{{questions}} questions on {{texts}} texts of {{characters:,}} characters in all, each with the
exact spans that answer it. Everything is embedded by the local model,
{{model}}.
All chunks of all texts are ranked for each question by their cosine to it; figures are means over
the questions, with a standard error of up to {{error:.3f}}.

{{day}}; {{packages}}.

## Chunks

- **{_AT_BUDGETS[0]}**, **{_AT_BUDGETS[1]}**: the share of the answer's characters within the best
  chunks that have so many characters together. The last of them is cut there, so that all
  contenders show the same number of characters; what two chunks share is shown twice.
- **IoU@{BEST}**: characters of the answer within the best {BEST} chunks, of all those of the answer
  and of these chunks.
- **recall@{BEST}**: the share of the answer's characters within the best {BEST} chunks, be they
  short or long.
"""


@dataclass(frozen=True)
class Corpora:
    """The set, its texts one after the other.

    Attributes:
        texts: Where each text begins, and the text.
        questions: What is asked.
        references: The spans that answer each question.
    """

    texts: list[tuple[int, str]]
    questions: list[str]
    references: list[list[Span]]


@dataclass(frozen=True)
class Result:
    """What a contender came to.

    Attributes:
        contender: Who.
        lengths: The characters of each chunk.
        figures: The values of each of `_FIGURES`, one a question.
    """

    contender: Contender
    lengths: NDArray[np.int64]
    figures: dict[str, NDArray[np.float64]]

    def mean(self, figure: str) -> float:
        """The mean over the questions."""
        return float(self.figures[figure].mean())

    def error(self, figure: str) -> float:
        """The mean's standard error."""
        values = self.figures[figure]
        return float(values.std(ddof=1) / values.size**0.5)


def read(folder: Path) -> Corpora:
    """The texts, anywhere below a folder, and the questions in it."""
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["corpus_id"] for row in rows))
    files = {file.stem: file for file in folder.rglob("*.md")}
    texts = [files[name].read_text(encoding="utf-8") for name in names]
    begins = list(accumulate(map(len, texts), initial=0))[:-1]
    begin_of = dict(zip(names, begins, strict=True))
    references = []
    for row in rows:
        begin, answers = begin_of[row["corpus_id"]], json.loads(row["references"])
        places = [(begin + one["start_index"], begin + one["end_index"]) for one in answers]
        references.append(places)
    questions = [row["question"] for row in rows]
    return Corpora(list(zip(begins, texts, strict=True)), questions, references)


def write(folder: Path) -> None:
    """Measure everything and write the report."""
    os.environ["NLTK_DATA"] = str(nltk_data())
    corpora = read(folder)
    with Vectors() as vectors:
        asked = vectors.of(corpora.questions)
        results = []
        for contender in CONTENDERS:
            say(contender.name)
            results.append(judged(contender, corpora, vectors, asked))
        documents = list(_documents(corpora, vectors, asked))
        head = _HEAD.format(
            questions=len(asked),
            texts=len(corpora.texts),
            characters=sum(len(text) for _, text in corpora.texts),
            model=vectors.model,
            error=max(one.error(_AT_BUDGETS[0]) for one in results),
            day=datetime.now(UTC).strftime("%Y-%m-%d"),
            packages=", ".join(f"{package} {version(package)}" for package in _PACKAGES),
        )
    parts = [head, _table_of_chunks(results), _verdicts(results), *documents]
    WRITTEN.write_text("\n".join(parts), encoding="utf-8")
    say(f"written: {WRITTEN}")


def judged(contender: Contender, corpora: Corpora, vectors: Vectors, asked: Similar) -> Result:
    """The chunks of all texts, ranked for each question by their vectors' product with its own."""
    cut = contender.make(vectors)
    pieces, texts = [], []
    for begin, text in corpora.texts:
        for start, end in spans(cut, text):
            texts.append(text[start:end])
            pieces.append((begin + start, begin + end))
    similar = asked @ vectors.of(texts).T
    rows = []
    for references, row in zip(corpora.references, similar, strict=True):
        found = [pieces[place] for place in np.argsort(-row, kind="stable")]
        best = found[:BEST]
        shown = (metrics.within(found, budget) for budget in BUDGETS)
        recalls = [metrics.recall(references, spans) for spans in (*shown, best)]
        rows.append([*recalls[:-1], metrics.iou(references, best), recalls[-1]])
    figures = dict(zip(_FIGURES, np.array(rows).T, strict=True))
    return Result(contender, np.array([*map(len, texts)]), figures)


def _table_of_chunks(results: Iterable[Result]) -> str:
    rows = [
        [
            f"**ours, {one.contender.name}**" if one.contender.is_ours else one.contender.name,
            f"{one.lengths.size:,}",
            f"{one.lengths.mean():,.0f}",
            *(f"{one.mean(figure):.3f}" for figure in _FIGURES),
        ]
        for one in sorted(results, key=lambda one: -one.mean(_AT_BUDGETS[0]))
    ]
    return table(("cut by", "chunks", "characters each", *_FIGURES), rows)


def _verdicts(results: Sequence[Result]) -> str:
    """The best of ours beside the best of the others."""
    lines = []
    for figure in _AT_BUDGETS:
        ranked = sorted(results, key=lambda one: -one.mean(figure))
        ours, other = (
            next(one for one in ranked if one.contender.is_ours is own) for own in (True, False)
        )
        differences = ours.figures[figure] - other.figures[figure]
        low, high = metrics.interval(differences)
        lines.append(
            f"- **{figure}**: ours, {ours.contender.name}, {ours.mean(figure):.3f}; of the others "
            f"{other.contender.name}, {other.mean(figure):.3f}: {differences.mean():+.3f} "
            f"({low:+.3f} to {high:+.3f})"
        )
    about = (
        "The best of ours and of the others, and by how much they differ on the same questions\n"
        "(in 95 % of samples of these). Chance favours ours, of which there are more:"
    )
    return f"{about}\n\n" + "\n".join(lines) + "\n"


def _documents(corpora: Corpora, vectors: Vectors, asked: Similar) -> Iterable[str]:
    """Whole documents instead of chunks: one vector each in several ways, or their best chunk."""
    import pytrec_eval

    yield (
        f"## Documents\n\nThe texts in documents of {WORDS:,} words: which of them holds the "
        "answer? nDCG@10 by pytrec_eval.\n"
    )
    places: list[Span] = []
    texts: list[str] = []
    for begin, text in corpora.texts:
        words = [word.span() for word in re.finditer(r"\S+", text)]
        for first in range(0, len(words), WORDS):
            start, end = words[first][0], words[first : first + WORDS][-1][1]
            places.append((begin + start, begin + end))
            texts.append(text[start:end])
    right = {
        str(number): {
            str(name): 1 for name, place in enumerate(places) if metrics.shared(references, [place])
        }
        for number, references in enumerate(corpora.references)
    }
    judge = pytrec_eval.RelevanceEvaluator(right, {"ndcg_cut.10"})

    def ndcg(similar: Similar) -> str:
        run = {
            str(number): {str(name): float(one) for name, one in enumerate(row)}
            for number, row in enumerate(similar)
        }
        return f"{np.mean([one['ndcg_cut_10'] for one in judge.evaluate(run).values()]):.3f}"

    rows = [["one, of as much as the model reads", "-", ndcg(asked @ vectors.of(texts).T)]]
    for contender in CONTENDERS:
        if contender.name not in _DOCUMENTS:
            continue
        say(f"documents: {contender.name}")
        rows.append(
            [
                "one, `embed_documents`",
                contender.name,
                ndcg(asked @ vectors.of(texts, contender.settings).T),
            ]
        )
        cut = contender.make(vectors)
        pieces = [[text[start:end] for start, end in spans(cut, text)] for text in texts]
        starts = list(accumulate(map(len, pieces), initial=0))[:-1]
        similar = asked @ vectors.of([one for some in pieces for one in some]).T
        rows.append(
            [
                "one a chunk, the best counts",
                contender.name,
                ndcg(np.maximum.reduceat(similar, starts, axis=1)),
            ]
        )
    yield table(("vectors of a document", "cut by", "nDCG@10"), rows)
