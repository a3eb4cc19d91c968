"""Cut runs without blanks into pieces of about a word's length, at which a chunk may be cut.

A run between blanks that is longer than a word can be, or has more than a word of a script that is
written without blanks, is cut: never within what a reader takes for one character
(https://www.unicode.org/reports/tr29/, extended grapheme clusters), always where a sentence of that
script ends. What of such a run is of other scripts stays one word if it is short enough for one.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import numpy as np

from langchain_hf_endpoint.chunking.scripts import (
    BLANK_ENDS,
    FEWEST_PER_WORD,
    LONGEST_ALONE,
    LONGEST_WORD,
    PUNCTUATION,
    STOPS,
    UNSPACED,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The weight of the characters of a word together. Of 60, that of a single one is a whole number in
# every script: 32, 30, 24, 15 or 12.
_WORD = 60
_LONGEST_CLUSTER = 32  # Unicode's stream-safe format has no longer ones (UAX 15)

_ScalarT = TypeVar("_ScalarT", bound=np.generic)

# What is known of a code point. No boundary before those that join the one before, none after those
# that join the next; flags are pairs of regional indicators.
(
    _KNOWN,
    _UNSPACED,
    _PUNCTUATION,
    _JOINS_BEFORE,
    _JOINS_NEXT,
    _FLAG,
    _STOP,
    _ASCII_STOP,
    _CLOSING,
    _BLANK_ENDS,
    _POINT,
    _DIGIT,
) = (1 << bit for bit in range(12))

# Python knows no grapheme clusters (UAX 29): what its categories do not tell is listed here. GB9:
# joiners, skin tones, tags of flags, halfwidth sound marks.
_JOINING = ((0x200C, 0x200D), (0x1F3FB, 0x1F3FF), (0xE0020, 0xE007F), (0xFF9E, 0xFF9F))
# GB9a: vowels that stand beside their consonant and are no marks.
_SPACING_VOWELS = ((0x0E33, 0x0E33), (0x0EB3, 0x0EB3))
# GB6 to GB8: letters within a syllable of Hangul, and those that begin one.
_LATER_JAMO = ((0x1160, 0x11FF), (0xD7B0, 0xD7FB))
_FIRST_JAMO = ((0x1100, 0x115F), (0xA960, 0xA97C))
# GB9b: signs that belong to what follows them.
_PREPENDED = (
    *((0x0600, 0x0605), (0x06DD, 0x06DD), (0x070F, 0x070F), (0x0890, 0x0891), (0x08E2, 0x08E2)),
    *((0x0D4E, 0x0D4E), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x111C2, 0x111C3)),
    *((0x113D1, 0x113D1), (0x1193F, 0x1193F), (0x11941, 0x11941), (0x11A3A, 0x11A3A)),
    *((0x11A84, 0x11A89), (0x11D46, 0x11D46), (0x11F02, 0x11F02)),
)
# GB9c: the combining class of the mark that joins two consonants. Two of the class join nothing.
_VIRAMA = 9
_NO_JOINERS = (0x0E3A, 0x103A)

# Filled with what texts hold, as they come. Threads that meet a character at once write the same.
_TRAITS = np.zeros(0x110000, np.uint16)
_WEIGHTS = np.full(0x110000, round(_WORD / FEWEST_PER_WORD), np.uint8)
_IS_UNSPACED = np.zeros(0x110000, np.bool_)
for _first, _last, _per_word in UNSPACED:
    _WEIGHTS[_first : _last + 1] = round(_WORD / _per_word)
    _IS_UNSPACED[_first : _last + 1] = True
_LOWEST = UNSPACED[0][0]


_Codes: TypeAlias = "NDArray[np.uint8] | NDArray[np.uint32]"


class Units(NamedTuple):
    """The words of a text.

    A character that counts as several words is the first of them; the others are empty.
    """

    starts: NDArray[np.intp]  # offset of the first character of every word, ascending
    ends: NDArray[np.intp]  # offset after the last character of every word
    # Offsets at which sentences start, as the marks of these scripts show them.
    sentences: NDArray[np.intp]
    ended: bool  # whether a sentence ends with the text


def over_long(lengths: NDArray[np.intp], before: int) -> NDArray[np.bool_]:
    """Which runs are longer than a word can be, so that they count by their lengths.

    Args:
        lengths: Characters of each run.
        before: Those of the run before the first one; 0 where there is none.
    """
    follows_one = np.append(before, lengths[:-1]) > LONGEST_WORD
    mask: NDArray[np.bool_] = lengths > np.where(follows_one, LONGEST_WORD, LONGEST_ALONE)
    return mask


def needs_units(codes: _Codes, lengths: NDArray[np.intp], before: int) -> bool:
    """Whether any run between blanks is more than a word.

    Args:
        codes: The text's code points; as bytes where all are ASCII.
        lengths: Characters of each run.
        before: Those of the run before the first one.
    """
    if not len(lengths):
        return False
    if int(lengths.max()) > LONGEST_WORD and over_long(lengths, before).any():
        return True
    if codes.dtype == np.uint8 or int(codes.max()) < _LOWEST:
        return False
    return bool(_IS_UNSPACED.take(codes, mode="clip").any())


def units(
    codes: _Codes,
    starts: NDArray[np.intp],
    ends: NDArray[np.intp],
    *,
    before: int,
    after_sentence: bool,
) -> Units:
    """Cut the runs of a text that are more than a word.

    Args:
        codes: The text's code points; as bytes where all are ASCII.
        starts: Where its runs start; one at least.
        ends: Where they end.
        before: Characters of the run before the first one.
        after_sentence: Whether a sentence has ended before the text.
    """
    count = len(codes)
    places = np.arange(count)
    traits = _traits(codes)
    inside = _flags_of_runs(count, starts, ends)
    is_long = over_long(ends - starts, before)
    # Widened before anything is added up: the sums would overflow a byte.
    weights = _WEIGHTS.take(codes).astype(np.intp)
    of_script = _flags_of_runs(
        count, *_heavier_than_a_word(starts, ends, np.where(traits & _UNSPACED, weights, 0))
    )
    is_cut = of_script | _flags_of_runs(count, starts[is_long], ends[is_long])

    may_start = _cluster_starts(traits, inside, places)
    # Characters of these scripts and what stands between them; a mark is of its letter's kind.
    joint = (traits & (_UNSPACED | _PUNCTUATION)) > 0
    joint = joint[_last_of(may_start, places)]
    sentence, ended = _sentence_starts(traits, inside, of_script, joint, after_sentence)
    sentence &= may_start

    # Parts: whole runs that are words, and what of the others is of one kind and one sentence.
    begins = np.zeros(count, np.bool_)
    begins[starts] = True
    begins |= is_cut & may_start & (sentence | (joint != _before(joint, first=False)))
    firsts = np.flatnonzero(begins)
    stops = np.minimum(np.append(firsts[1:], count), ends[np.searchsorted(ends, firsts, "right")])
    by_length = is_cut[firsts] & (joint[firsts] | (stops - firsts > LONGEST_WORD))

    # What stays a whole word weighs nothing, and so is not cut.
    weights *= _flags_of_runs(count, firsts[by_length], stops[by_length])
    passed = np.cumsum(weights) - weights  # before each character
    since = passed - passed[_last_of(begins, places)]
    # A word begins wherever the weight since the beginning of its part passes another whole word.
    edges = begins | (since // _WORD > _before(since // _WORD, first=0))
    edges &= inside

    # What would be cut within a cluster is cut after it.
    allowed = np.append(np.flatnonzero(may_start | ~inside), count)
    moved = allowed[np.searchsorted(allowed, np.flatnonzero(edges))]
    moved = moved[inside[np.minimum(moved, count - 1)] & (moved < count)]
    following = np.append(moved[1:], count)
    return Units(
        moved,
        np.minimum(following, ends[np.searchsorted(ends, moved, "right")]),
        np.flatnonzero(sentence),
        ended,
    )


def cluster_starts(text: str) -> NDArray[np.intp]:
    """Where what a reader takes for one character starts."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    count = len(codes)
    inside = np.ones(count, np.bool_)
    return np.flatnonzero(_cluster_starts(_traits(codes), inside, np.arange(count)))


def _traits(codes: _Codes) -> NDArray[np.uint16]:
    """What is known of each character; what is met for the first time is looked up."""
    traits = _TRAITS.take(codes)
    if not traits.all():
        for code in np.unique(codes[traits == 0]).tolist():
            _TRAITS[code] = _traits_of(code)
        traits = _TRAITS.take(codes)
    return traits


def _traits_of(code: int) -> int:
    character = chr(code)
    category = unicodedata.category(character)
    joins_next = (
        unicodedata.combining(character) == _VIRAMA and code not in _NO_JOINERS
    ) or _within(code, _FIRST_JAMO, _PREPENDED, ((0x200D, 0x200D),))
    found = {
        _KNOWN: True,
        _UNSPACED: bool(_IS_UNSPACED[code]),
        _PUNCTUATION: _within(code, PUNCTUATION),
        _JOINS_BEFORE: category.startswith("M")
        or _within(code, _JOINING, _SPACING_VOWELS, _LATER_JAMO),
        _JOINS_NEXT: joins_next,
        _FLAG: _within(code, ((0x1F1E6, 0x1F1FF),)),
        _STOP: character in STOPS,
        _ASCII_STOP: character in "!?",
        _CLOSING: category in ("Pe", "Pf") or character in "\"'!?",
        _BLANK_ENDS: _within(code, BLANK_ENDS),
        _POINT: character == "\N{FULLWIDTH FULL STOP}",
        _DIGIT: category == "Nd",
    }
    return sum(trait for trait, is_so in found.items() if is_so)


def _within(code: int, *ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= code <= last for some in ranges for first, last in some)


def _cluster_starts(
    traits: NDArray[np.uint16], inside: NDArray[np.bool_], places: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether each character is the first of a cluster.

    In one that has no end those are that no mark holds, and every 32nd of its marks.
    """
    before = _before(traits, first=0)
    is_flag = (traits & _FLAG) > 0
    flags_before = places - _last_of(~is_flag | ~_before(is_flag, first=False), places)
    joins = (traits & _JOINS_BEFORE) > 0
    # A virama joins the next letter over the marks that stand between them.
    virama = np.maximum.accumulate(np.where(joins & ((traits & _JOINS_NEXT) > 0), places, -1))
    letter = np.maximum.accumulate(np.where(joins, -1, places))
    conjoins = _before(virama > letter, first=False) | ((before & _JOINS_NEXT) > 0)
    # The second of each pair of regional indicators joins the first (GB12, GB13).
    joins |= is_flag & (flags_before % 2 == 1)
    within = inside & _before(inside, first=False)
    number = np.cumsum(~(within & (joins | conjoins)))
    is_long = np.bincount(number)[number] > _LONGEST_CLUSTER
    joins = within & (joins | (conjoins & ~is_long))
    length = places - _last_of(~joins, places)
    starts: NDArray[np.bool_] = inside & (length % _LONGEST_CLUSTER == 0)
    return starts


def _sentence_starts(
    traits: NDArray[np.uint16],
    inside: NDArray[np.bool_],
    of_script: NDArray[np.bool_],
    joint: NDArray[np.bool_],
    after_sentence: bool,
) -> tuple[NDArray[np.bool_], bool]:
    """Where a sentence has ended before a character: after its stops and what closes with them."""
    places = np.arange(len(traits))
    is_stop = of_script & ((traits & _STOP) > 0)
    # Only behind these scripts: the ? of a URL and the ! of code end no sentence.
    is_stop |= of_script & ((traits & _ASCII_STOP) > 0) & _before(joint & of_script, first=False)
    next_is_blank = np.append(~inside[1:], False)
    is_stop |= ((traits & _BLANK_ENDS) > 0) & next_is_blank
    # A fullwidth full stop between digits is a decimal point.
    between_digits = (traits[:-1] & _POINT > 0) & (traits[1:] & _DIGIT > 0)
    is_stop[:-1] &= ~between_digits
    goes_on = is_stop | ~inside | ((traits & _CLOSING) > 0)
    last_stop = np.maximum.accumulate(np.where(is_stop, places, -1))
    last_other = np.maximum.accumulate(np.where(goes_on, -1, places))
    if after_sentence:
        ended = (last_stop > last_other) | (last_other < 0)
    else:
        ended = last_stop > last_other
    before = _before(ended, first=after_sentence)
    starts = inside & before & (~goes_on | ~_before(inside, first=False))
    return starts, bool(ended[-1])


def _before(values: NDArray[_ScalarT], *, first: int) -> NDArray[_ScalarT]:
    """What each character's neighbour to the left has."""
    shifted = np.empty_like(values)
    shifted[:1], shifted[1:] = first, values[:-1]
    return shifted


def _last_of(chosen: NDArray[np.bool_], places: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each character the place of the last chosen one, itself included; 0 where none was."""
    return np.maximum.accumulate(np.where(chosen, places, 0))


def _flags_of_runs(
    count: int, starts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether each character is in one of these runs, which do not overlap."""
    # Runs do not overlap, so that the sum is never more than 1: a byte a character is enough.
    changes = np.zeros(count + 1, np.int8)
    changes[starts] += 1
    changes[ends] -= 1
    return np.cumsum(changes[:-1], dtype=np.int8) > 0


def _heavier_than_a_word(
    starts: NDArray[np.intp], ends: NDArray[np.intp], weights: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The runs whose characters weigh more than a word together."""
    passed = np.append(0, np.cumsum(weights))
    is_heavy = passed[ends] - passed[starts] > _WORD
    return starts[is_heavy], ends[is_heavy]
