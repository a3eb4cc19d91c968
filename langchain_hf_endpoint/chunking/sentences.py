"""Which words end a sentence.

A sentence is NLTK's, found by Punkt (Kiss and Strunk, 2006,
https://doi.org/10.1162/coli.2006.32.4.485) with the table trained for the language; one of a script
that is written without blanks ends at that script's marks too, which Punkt does not know. It knows
how sentences of characters become sentences of words. It must not know how sentences are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from langchain_hf_endpoint.chunking.words import Words


def sentence_ends(text: str, words: Words, language: str) -> list[int]:
    """For each sentence, the index after its last word; ascending, without repeats.

    A word belongs to the sentence in which it starts. That matters where Punkt breaks within a
    word, as after the full stop of ``left.[3]``: the sentence ends after the whole word. A sentence
    in which no word starts is left out.

    Args:
        text: The text.
        words: The words of that text.
        language: A name of `PUNKT_LANGUAGES`.

    Raises:
        SettingsError: There is no trained table for the language on this machine.
    """
    # NLTK takes a fifth of a second to import: only a text that must be cut has to wait for it.
    from langchain_hf_endpoint.chunking.punkt import sentence_starts  # noqa: PLC0415

    begun = words.begun_before(sentence_starts(text, language))
    bounds = np.append(begun, len(words))  # ascending already
    if len(words.sentences):
        bounds = np.union1d(bounds, words.begun_before(words.sentences))
    ends: list[int] = bounds[np.diff(bounds, prepend=0) > 0].tolist()
    return ends
