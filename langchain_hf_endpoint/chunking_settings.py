"""Which fields of chunking_settings go together, their defaults and their ranges."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint._validation import Problem

_CODES = {
    "czech": "cs ces cze", "danish": "da dan", "dutch": "nl nld dut", "english": "en eng",
    "estonian": "et est", "finnish": "fi fin", "french": "fr fra fre", "german": "de deu ger",
    "greek": "el ell gre", "italian": "it ita", "malayalam": "ml mal",
    "norwegian": "no nor nb nob nn nno", "polish": "pl pol", "portuguese": "pt por",
    "russian": "ru rus", "slovene": "sl slv", "spanish": "es spa", "swedish": "sv swe",
    "turkish": "tr tur",
}  # fmt: skip
_LANGUAGE_OF_CODE = {code: name for name, codes in _CODES.items() for code in codes.split()}
PUNKT_LANGUAGES = tuple(_CODES)
"""The languages that NLTK's sentence tokenizer (punkt) was trained on."""

_OTHER_NAME_OF_SIZE = "max_chunk_size"
IN_PLACE_OF_FIELDS = {_OTHER_NAME_OF_SIZE: "max_chunking_size", "separator_group": "separators"}
"""What may be given, and in place of which field."""
USUAL_SIZE, _USUAL_OVERLAP = 250, 100
SEPARATOR_GROUPS = {
    "plaintext": (r"(?<!\n)\n\n(?!\n)", r"(?<!\n)\n(?!\n)"),
    "markdown": (
        *(rf"\n{'#' * level} " for level in range(1, 7)),
        *(rf"\n^(?![^\S\n]*$).*\n{mark}{{1,}}\n" for mark in "-="),
    ),
}
"""Elastic's groups of separators; what its ``\\s*$`` means is the line itself."""
DEFAULTS: Mapping[str, Mapping[str, int | str | tuple[str, ...]]] = {
    "sentence": {"max_chunking_size": USUAL_SIZE, "sentence_overlap": 1, "language": "english"},
    "word": {"max_chunking_size": USUAL_SIZE, "overlap": _USUAL_OVERLAP},
    "recursive": {"max_chunking_size": USUAL_SIZE, "separators": SEPARATOR_GROUPS["plaintext"]},
    "none": {},
}
"""The fields that go with each strategy."""
SMALLEST_CHUNK = {"sentence": 20, "word": 10, "recursive": 10}
_LARGEST_CHUNK = 300
_MOST_SEPARATORS, _LONGEST_SEPARATOR, _MOST_REPEATS = 50, 500, 1000
_REPEATS = re.compile(r"\\.|\{([0-9]*),?([0-9]*)\}|(?P<verbose>\(\?[a-zA-Z01]*x)", re.DOTALL)
FEWEST_TOKENS = 8
"""What `max_chunk_tokens` may be at least."""


def chunking_fields(fields: dict[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The fields with the defaults of their strategy, and what is wrong with them."""
    strategy = fields.get("strategy", "sentence")
    is_known = isinstance(strategy, str) and strategy in DEFAULTS
    # First of all, under the names that were given.
    problems = _of_other_strategies(strategy, fields) if is_known else []
    problems += [*_take_either_size(fields), *_take_separators(fields)]
    if isinstance(fields.get("language"), str):
        code = re.split("[-_]", fields["language"].lower())[0]  # of ISO 639, such as pt-BR
        fields["language"] = _LANGUAGE_OF_CODE.get(code, fields["language"])
    if not is_known:
        return fields, problems
    fields = _with_defaults(strategy, fields)
    return fields, [*problems, *_out_of_range(strategy, fields)]


def _take_either_size(fields: dict[str, Any]) -> list[Problem]:
    """Take either name of the size: Elastic's pages use one, its product the other."""
    size = fields.pop(_OTHER_NAME_OF_SIZE, None)
    if size is None:
        return []
    if "max_chunking_size" in fields:
        both = "max_chunking_size and max_chunk_size are two names of one field; give one of them"
        return [(_OTHER_NAME_OF_SIZE, both)]
    fields["max_chunking_size"] = size
    return []


def _of_other_strategies(strategy: str, fields: dict[str, Any]) -> list[Problem]:
    """Take out the fields of the other strategies and name them."""
    allowed = DEFAULTS[strategy].keys()
    others = set().union(*DEFAULTS.values()) - allowed
    given = [name for name, value in fields.items() if value is not None]
    foreign = [name for name in given if IN_PLACE_OF_FIELDS.get(name, name) in others]
    for name in foreign:
        del fields[name]
    has = ", ".join(sorted(allowed)) or "no other field"
    return [(name, f"does not go with strategy {strategy!r}, which has {has}") for name in foreign]


def _with_defaults(strategy: str, fields: dict[str, Any]) -> dict[str, Any]:
    values = {**DEFAULTS[strategy], **fields}
    if "max_chunking_size" not in fields and _is_integer(fields.get("max_chunk_tokens")):
        values.pop("max_chunking_size", None)  # the size is given, in tokens
    size = values.get("max_chunking_size")
    if strategy == "word" and "overlap" not in fields and _is_integer(size):
        values["overlap"] = usual_overlap(size)
    return values


def usual_overlap(size: int | None) -> int:
    """The words that chunks of strategy ``word`` share where at most their size is given."""
    return _USUAL_OVERLAP if size is None else max(0, min(_USUAL_OVERLAP, size // 2))


def _out_of_range(strategy: str, fields: dict[str, Any]) -> list[Problem]:
    """Check the ranges that depend on another field; wrong types are left to pydantic."""
    size, overlap = fields.get("max_chunking_size"), fields.get("overlap")
    problems: list[Problem] = []
    most_overlap, half = _LARGEST_CHUNK // 2, "half of the largest max_chunking_size"
    if _is_integer(size):
        smallest = SMALLEST_CHUNK[strategy]
        if smallest <= size <= _LARGEST_CHUNK:
            most_overlap, half = size // 2, f"half of max_chunking_size ({size})"
        else:
            allowed = f"{smallest} to {_LARGEST_CHUNK} words for strategy {strategy!r}"
            if size > _LARGEST_CHUNK:
                allowed += "; larger chunks are what max_chunk_tokens is for, without this field"
            problems.append(("max_chunking_size", f"{size} is not allowed: must be {allowed}"))
    if _is_integer(overlap) and not 0 <= overlap <= most_overlap:
        allowed = f"0 to {most_overlap}, {half}"
        problems.append(("overlap", f"{overlap} is not allowed: must be {allowed}"))
    return problems


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _take_separators(fields: dict[str, Any]) -> list[Problem]:
    """Put a group's separators in its place, as Elastic does, and check those that were given."""
    group, given = fields.pop("separator_group", None), fields.get("separators")
    if group is None and given is None:
        return []
    if group is not None:
        if given is not None:
            return [("separator_group", "give either separators or separator_group, not both")]
        if not isinstance(group, str) or group.lower() not in SEPARATOR_GROUPS:
            only = " or ".join(SEPARATOR_GROUPS)
            return [("separator_group", f"is not allowed: must be {only}")]
        fields["separators"] = SEPARATOR_GROUPS[group.lower()]
        return []
    if not isinstance(given, (list, tuple)) or not 1 <= len(given) <= _MOST_SEPARATORS:
        del fields["separators"]
        return [("separators", f"must be a list of 1 to {_MOST_SEPARATORS} regular expressions")]
    fields["separators"] = tuple(given)
    problems = [(f"separators.{index}", _fault_of(one)) for index, one in enumerate(given)]
    problems = [(field, fault) for field, fault in problems if fault]
    if problems:
        del fields["separators"]
    return problems


def _fault_of(separator: object) -> str:
    """Why this is no separator; empty where it is one."""
    import regex  # noqa: PLC0415 - rarely needed

    if not isinstance(separator, str) or not 0 < len(separator) <= _LONGEST_SEPARATOR:
        return f"must be a string of 1 to {_LONGEST_SEPARATOR} characters"
    if _repeats(separator) > _MOST_REPEATS:
        most = f"{_MOST_REPEATS:,} times, all counts such as {{2,5}} multiplied"
        return f"repeats too much: at most {most}, and no {{ along with the flag x"
    try:
        regex.compile(separator, regex.MULTILINE)
    except Exception as error:  # noqa: BLE001 - its compiler raises more than `regex.error`
        return f"is no regular expression that can be used: {error}"
    return ""


def _repeats(separator: str) -> float:
    """All counts of repeats multiplied, which says how large it may become when compiled.

    Those in ``[...]`` count too, since a comment can make anything look like that. The flag x can
    hide a count among blanks and comments, so with it any count is too much.
    """
    product, verbose = 1.0, False
    for found in _REPEATS.finditer(separator):
        verbose = verbose or found["verbose"] is not None
        product *= max(1.0, *(float(count or 1) for count in found.groups()[:2]))
    return math.inf if verbose and "{" in separator else product
