"""Find sentences with NLTK's own tokenizer, over our tables and without its time limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nltk.tokenize.punkt import (
    PunktLanguageVars,
    PunktParameters,
    PunktSentenceTokenizer,
    PunktToken,
)

from langchain_hf_endpoint.chunking.fast_punkt import PunktPatterns

try:
    from nltk import redos
except ImportError:  # NLTK before 3.10.3 has no guard
    redos = None

if TYPE_CHECKING:
    from langchain_hf_endpoint.chunking.punkt_tables import PunktTables


class NltkPunkt:
    """Finds the sentences of a language; may be used from many threads at once.

    Args:
        tables: What was learnt of the language.
    """

    def __init__(self, tables: PunktTables) -> None:
        parameters = PunktParameters()
        parameters.abbrev_types = tables.abbreviations
        parameters.collocations = tables.collocations
        parameters.sent_starters = tables.sentence_starters
        parameters.ortho_context = _Contexts(tables.contexts)
        self._tokenizer = PunktSentenceTokenizer(
            parameters, lang_vars=_LanguageVars(), token_cls=_Token
        )

    def sentence_starts(self, text: str) -> list[int]:
        """The offsets at which the sentences of a text start, ascending, the first excepted."""
        return [start for start, _ in self._tokenizer.span_tokenize(text)][1:]


def patterns() -> PunktPatterns:
    """The regular expressions of the NLTK that is installed."""
    variables = _LanguageVars()
    return PunktPatterns(
        candidates=re.compile(variables.period_context_re().pattern, re.VERBOSE),
        tokens=re.compile(variables._word_tokenizer_re().pattern, re.VERBOSE),  # noqa: SLF001
        closing=re.compile(variables.re_boundary_realignment.pattern, re.MULTILINE),
        initial=_Token._RE_INITIAL,  # noqa: SLF001
        number=_Token._RE_NUMERIC,  # noqa: SLF001
    )


class _Contexts(dict[str, int]):
    """Unknown words have no flags. NLTK's own table keeps every unknown word it is asked for."""

    def __missing__(self, _word: str) -> int:
        return 0


# NLTK 3.10.4 gives each use of a regular expression five seconds, counted over the processor time
# of all threads. A megabyte of text can need them, and so can any text while other threads compute;
# both end in a `TimeoutError`. These patterns are fixed and take time in proportion to the text, so
# the guard protects from nothing here. It is taken off our own objects only.
def _unguarded(pattern: Any) -> Any:
    if redos is not None and isinstance(pattern, redos.TimedPattern):
        return redos.compile(pattern, timeout=None)
    return pattern


class _LanguageVars(PunktLanguageVars):  # type: ignore[misc]
    re_boundary_realignment = _unguarded(PunktLanguageVars.re_boundary_realignment)

    def __init__(self) -> None:
        # Where the base class keeps what it compiles; it compiles nothing that is there already.
        self._re_period_context = _unguarded(self.period_context_re())
        self._re_word_tokenizer = _unguarded(self._word_tokenizer_re())


class _Token(PunktToken):  # type: ignore[misc]
    # The names that the base class looks up.
    _RE_ELLIPSIS = _unguarded(PunktToken._RE_ELLIPSIS)  # noqa: SLF001
    _RE_NUMERIC = _unguarded(PunktToken._RE_NUMERIC)  # noqa: SLF001
    _RE_INITIAL = _unguarded(PunktToken._RE_INITIAL)  # noqa: SLF001
    _RE_ALPHA = _unguarded(PunktToken._RE_ALPHA)  # noqa: SLF001
