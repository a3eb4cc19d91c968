"""Count tokens on this machine: with a model's `tokenizer.json`, or as an estimate."""

from __future__ import annotations

import logging
import math
import re
import string
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint._package import missing_extra
from langchain_hf_endpoint.chunking.tokens import SAMPLES, TokenBound, TokenCounter, adds_up
from langchain_hf_endpoint.errors import SettingsError

if TYPE_CHECKING:
    from langchain_hf_endpoint.settings import ChunkingSettings

_logger = logging.getLogger("langchain_hf_endpoint")

_NAME = "chunking_settings.tokenizer"
_AT_ONCE = 1024  # texts that are given to the tokenizer in one go: each token takes 100 bytes
_LETTERS = string.ascii_letters.encode()
_TOKENS_PER_LETTER, _TOKENS_PER_ODD_LETTER = 0.25, 0.6
_ODD = re.compile(rb"[0-9][A-Za-z]|[A-Za-z][0-9]|[a-z][A-Z]")
_LONGEST_USUAL = 12  # letters of a word that a model may know as a whole


def bound_here(settings: ChunkingSettings) -> TokenBound | None:
    """How many tokens a chunk may have, counted on this machine; None where nothing bounds them.

    Raises:
        SettingsError: The bound is that of a server, or the file is no tokenizer.
        MissingExtraError: The package tokenizers is not installed.
    """
    tokens = settings.max_chunk_tokens
    if tokens is None:
        return None
    if not isinstance(tokens, int):
        problem = "'auto' is what a server says, and none is asked here: give a number"
        raise SettingsError(("max_chunk_tokens", problem))
    if settings.tokenizer is None:
        return TokenBound(tokens, estimating("no server is asked"))
    return TokenBound(tokens, counter_of_file(settings.tokenizer))


@lru_cache(maxsize=4)
def counter_of_file(name: str) -> TokenCounter:
    """What counts with a file, or that of a folder.

    Raises:
        SettingsError: There is no such file, or it is no tokenizer.
        MissingExtraError: The package tokenizers is not installed.
    """
    path = Path(name)
    try:
        return counter_of((path / "tokenizer.json" if path.is_dir() else path).read_bytes())
    except (OSError, ValueError) as error:  # a path may hold what no system has in one
        reason = getattr(error, "strerror", error)
        raise SettingsError((_NAME, f"{path} cannot be read: {reason}")) from error


def counter_of(content: bytes) -> TokenCounter:
    """Counts with the tokenizer that the content of a `tokenizer.json` describes."""
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise missing_extra("Counting tokens with a tokenizer.json", "local", error) from error
    try:
        tokenizer: Any = Tokenizer.from_buffer(content)
    except Exception as error:  # that package raises no narrower one
        raise SettingsError((_NAME, f"is no tokenizer.json that can be read: {error}")) from error
    # A file may say that every text is padded, and where it is cut.
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def count(texts: list[str]) -> list[int]:
        counts: list[int] = []
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE]
            some = [one.encode(errors="replace").decode() for one in some]
            encodings = tokenizer.encode_batch_fast(some, add_special_tokens=False)
            counts += map(len, encodings)
        return counts

    counter = TokenCounter(count, marks=tokenizer.num_special_tokens_to_add(is_pair=False))
    counter.adds_up = adds_up(dict(zip(SAMPLES, count(SAMPLES), strict=True)))
    return counter


@lru_cache(maxsize=1024)
def estimating(
    why: str, per_letter: float = 0.0, per_other: float = 0.0, *, blanks_count: bool = False
) -> TokenCounter:
    """Estimates tokens, which is said once for each reason; see `estimate`."""
    _logger.warning(
        "max_chunk_tokens: tokens are estimated from letters, rather too many than too few (%s). "
        "Set chunking_settings.tokenizer to the model's tokenizer.json to have them counted",
        why,
    )
    count = partial(estimate, per_letter=per_letter, per_other=per_other)
    return TokenCounter(count, marks=2, adds_up=not blanks_count, is_exact=False)


def estimate(texts: list[str], *, per_letter: float = 0.0, per_other: float = 0.0) -> list[int]:
    """Rather too many tokens than too few of words.

    Args:
        texts: The words.
        per_letter: Tokens of an ASCII letter as far as that was measured; one of four at least:
            English words have more letters to a token, but not the rare ones.
        per_other: Tokens of a character that is not ASCII; one at least, as a model has for what
            it does not know.
    """
    counts = []
    for text in texts:
        of_ascii = text.encode("ascii", "ignore")
        signs = len(of_ascii.translate(None, _LETTERS))
        letters = len(of_ascii) - signs
        # What no vocabulary has falls into pieces: long words, those of letters and digits, base64.
        is_odd = letters > _LONGEST_USUAL or _ODD.search(of_ascii)
        rate = max(_TOKENS_PER_LETTER, per_letter, _TOKENS_PER_ODD_LETTER if is_odd else 0)
        rest = letters * rate + (len(text) - len(of_ascii)) * max(1.0, per_other)
        counts.append(signs + math.ceil(rest))
    return counts
