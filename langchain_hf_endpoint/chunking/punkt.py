"""Find the sentences of a text with Punkt (Kiss and Strunk, 2006).

https://doi.org/10.1162/coli.2006.32.4.485. Importing this module imports NLTK, which takes a fifth
of a second.
"""

from __future__ import annotations

from functools import cache
from itertools import islice, product
from typing import TYPE_CHECKING, NamedTuple

import nltk.data

from langchain_hf_endpoint.chunking.fast_punkt import FastPunkt
from langchain_hf_endpoint.chunking.nltk_punkt import NltkPunkt, patterns
from langchain_hf_endpoint.chunking.punkt_tables import load_tables

if TYPE_CHECKING:
    from langchain_hf_endpoint.chunking.punkt_tables import PunktTables


class _Finders(NamedTuple):
    """Two ways to the same sentences; no fast one where it is not known to be the same."""

    exact: NltkPunkt
    fast: FastPunkt | None


def sentence_starts(text: str, language: str) -> list[int]:
    """The offsets at which the sentences of a text start, ascending, the first excepted.

    They are those of ``nltk.tokenize.sent_tokenize`` of the NLTK that is installed. Versions of
    NLTK differ: for 3.10 a curly quote may close a sentence, for 3.9 not.

    Raises:
        SettingsError: There is no trained table for the language on this machine.
    """
    finders = _finders(language)
    # NLTK's regular expressions and its string methods do not agree on what these four are.
    confusing = any(separator in text for separator in "\x1c\x1d\x1e\x1f")
    if finders.fast is None or confusing:
        return finders.exact.sentence_starts(text)
    return finders.fast.sentence_starts(text)


@cache
def _finders(language: str) -> _Finders:
    # FastPunkt follows NLTK's rules as they were when it was written: a later NLTK may have others.
    tables = load_tables(language, nltk.data.path)
    exact, fast = NltkPunkt(tables), FastPunkt(tables, patterns())
    sample = _sample(tables)
    agree = exact.sentence_starts(sample) == fast.sentence_starts(sample)
    return _Finders(exact, fast if agree else None)


def _sample(tables: PunktTables) -> str:
    """A text that asks for each of Punkt's rules, to notice an NLTK that has others."""
    seen_alike = {flags: word for word, flags in tables.contexts.items()}
    second = [*islice(seen_alike.values(), 24), *sorted(tables.sentence_starters)[:2], "xyzzy", "7"]
    shortened = sorted(tables.abbreviations)[-2:]
    first = ["J", "3", "xyzzy", "a..", "x).", *shortened, f"x-{shortened[0]}"]
    pairs = [
        *product(first, [*second, *(word.capitalize() for word in second)]),
        *sorted(tables.collocations)[-2:],
    ]
    marks = "Ah! !! (So?) \"Oh.\" 'No,' [3]. Well.[3] -- Yes!-- “On?” «Fin.» . . . f(x)?)! End."
    return " ".join([*(f"{one}. {other}" for one, other in pairs), marks])
