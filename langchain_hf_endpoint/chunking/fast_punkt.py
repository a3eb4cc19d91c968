"""Find NLTK's sentences on strings, more than ten times as fast as NLTK does.

NLTK makes objects of the words around every full stop and passes them through three generators.
Nearly always that only shows that the word before is an ordinary one, which takes a single look-up.
Here the ordinary case costs just that, and every other case goes through NLTK's own rules
(https://www.nltk.org/api/nltk.tokenize.punkt.html), written for strings.
"""

from __future__ import annotations

from itertools import pairwise, repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from langchain_hf_endpoint.chunking.punkt_tables import PunktTables

# Flags of the tables: how a word was seen. With a capital: at the start of a sentence (1 << 1),
# within one (1 << 2), at an unknown place (1 << 3); with a small letter: the same (1 << 4, 5, 6).
_CAPITAL, _CAPITAL_WITHIN = 0b0001110, 0b0000100
_SMALL, _SMALL_AT_START = 0b1110000, 0b0010000

_NUMBER = "##number##"  # how the tables write any number
_SENTENCE_ENDS = frozenset(".?!")
_IS_SENTENCE_END = np.array([chr(code) in _SENTENCE_ENDS for code in range(128)])
_NEVER_FIRST = frozenset(";:,.!?")


class PunktPatterns(NamedTuple):
    """NLTK's regular expressions."""

    # A mark that may end a sentence; its group ``next_tok`` is the word that follows, if a blank
    # is in between, ``after_tok`` that word and the blank, or the closing mark.
    candidates: re.Pattern[str]
    # The parts of a line: words with their full stop, other marks on their own.
    tokens: re.Pattern[str]
    # Quotes and brackets that still belong to the sentence that has ended before them.
    closing: re.Pattern[str]
    initial: re.Pattern[str]  # a single letter with a full stop
    number: re.Pattern[str]  # a number, with its full stop if it has one


class FastPunkt:
    """Finds the sentences of a language; may be used from many threads at once.

    Args:
        tables: What was learnt of the language.
        patterns: Those of the NLTK whose results are wanted.
    """

    def __init__(self, tables: PunktTables, patterns: PunktPatterns) -> None:
        self._tables = tables
        self._patterns = patterns
        # A full stop after any other word of two letters or more ends the sentence.
        self._doubtful = tables.abbreviations | {first for first, *_ in tables.collocations}
        self._may_close = frozenset(filter(patterns.closing.match, map(chr, range(1 << 16))))

    def sentence_starts(self, text: str) -> list[int]:
        """The offsets at which the sentences of a text start, ascending, the first excepted."""
        begins: list[int] = []
        begin = -1  # of the sentence at hand, before closing marks are moved
        decided: dict[str, bool] = {}  # for this text only: what it holds may be private
        doubtful, may_close = self._doubtful, self._may_close
        for start, mark, match in self._candidates(text):
            word = text[start:mark]
            # A single letter may be an initial; what is no word has rules of its own.
            if text[mark] == "." and not (
                mark > start + 1 and word.isalpha() and word.lower() not in doubtful
            ):
                context = f"{word}.{match['after_tok']}"
                ends = decided.get(context)
                if ends is None:
                    ends = decided[context] = self._holds_break(context)
                if not ends:
                    continue
            stop = mark + 1
            if begin >= 0:
                is_usual = text[begin] not in may_close
                begins.append(begin if is_usual else self._after_closing(text, begin, stop))
            following = match.start("next_tok")
            begin = stop if following < 0 else following
        if begin >= 0:
            stop = len(text.rstrip())
            begin = self._after_closing(text, begin, stop)
            # Of the last one there may be nothing left; each other has the mark at its end.
            if begin < stop:
                begins.append(begin)
        return begins

    def _after_closing(self, text: str, start: int, stop: int) -> int:
        """Where a sentence starts if the closing marks at its start belong to the one before."""
        closing = self._patterns.closing.match(text, start, stop)
        return closing.end() if closing else start

    def _candidates(self, text: str) -> Iterator[tuple[int, int, re.Match[str]]]:
        """The start of the word before each mark that may end a sentence, and the mark.

        Of marks that are parted by no blank, only the last one counts, with the word before the
        first one; except that a first one which has no word before it counts too.
        """
        # Of the same length, so that places stay. NLTK looks for these blanks alone here.
        spaced = text
        for blank in "\t\n\r\v\f":
            spaced = spaced.replace(blank, " ")
        word = mark = 0
        held: re.Match[str] | None = None
        for match in self._matches(text):
            place = match.start()
            start = spaced.rfind(" ", mark + 1, place) + 1 or word
            if held and mark <= start:
                yield word, mark, held
            word, mark, held = start, place, match
        if held:
            yield word, mark, held

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        """The matches of `candidates`, each of which is one mark and what is seen behind it."""
        candidates = self._patterns.candidates
        if not text.isascii():
            return candidates.finditer(text)
        # To look for marks is most of what the expression takes.
        codes = np.frombuffer(text.encode("ascii"), np.uint8)
        places = np.flatnonzero(_IS_SENTENCE_END.take(codes)).tolist()
        return filter(None, map(candidates.match, repeat(text), places))

    def _holds_break(self, context: str) -> bool:
        """Whether a sentence ends after any token of a text but the last."""
        find = self._patterns.tokens.findall
        tokens = [token for line in context.split("\n") for token in find(line)]
        return any(self._ends_sentence(*pair) for pair in pairwise(tokens))

    def _ends_sentence(self, token: str, following: str) -> bool:
        """Whether a sentence ends after a token, in view of the next one."""
        # The rules of the second pass of NLTK, numbered as in the paper of Kiss and Strunk.
        alone = self._ends_alone(token)
        if not token.endswith("."):
            return alone
        kind = _without_stop(self._kind(token))
        next_kind = self._kind(following)
        if self._ends_alone(following):
            next_kind = _without_stop(next_kind)
        # 4.1.2: words that go together.
        if (kind, next_kind) in self._tables.collocations:
            return False
        starts = self._starts_sentence(following, next_kind)
        capital = following[0].isupper()
        # 4.3: an initial, as in "J. Bach": a word that is only known with a capital is taken for a
        # name.
        if self._patterns.initial.match(token):
            known_small = self._tables.contexts.get(next_kind, 0) & _SMALL
            name = starts is None and capital and not known_small
            return alone and starts is not False and not name
        # 4.2: an abbreviation or an ellipsis, which may end a sentence as well: by how the next
        # word was seen (4.1.1), or because it often starts sentences (4.1.3).
        if not alone:
            return bool(starts) or (capital and next_kind in self._tables.sentence_starters)
        # 4.3: a number ends none if the next word is seen not to start one.
        return not (kind == _NUMBER and starts is False)

    def _ends_alone(self, token: str) -> bool:
        """Whether a sentence ends after a token as far as the token itself shows."""
        if token in _SENTENCE_ENDS:
            return True
        if not token.endswith(".") or token.endswith(".."):
            return False
        word = token[:-1].lower()
        abbreviations = self._tables.abbreviations
        return word not in abbreviations and word.rpartition("-")[2] not in abbreviations

    def _starts_sentence(self, token: str, kind: str) -> bool | None:
        """Whether a sentence starts with a token, by how the word was seen; None: may be."""
        if token in _NEVER_FIRST:
            return False
        seen = self._tables.contexts.get(kind, 0)
        if token[0].isupper() and seen & _SMALL and not seen & _CAPITAL_WITHIN:
            return True
        if token[0].islower() and (seen & _CAPITAL or not seen & _SMALL_AT_START):
            return False
        return None

    def _kind(self, token: str) -> str:
        """The word that the tables know a token as."""
        return self._patterns.number.sub(_NUMBER, token.lower())


def _without_stop(kind: str) -> str:
    return kind[:-1] if len(kind) > 1 and kind[-1] == "." else kind
