"""Cut a text into chunks as the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_hf_endpoint._validation import hidden, wrong_type
from langchain_hf_endpoint.chunking.counting import LONGEST_CHUNK, is_short
from langchain_hf_endpoint.chunking.windows import sentence_windows, word_windows
from langchain_hf_endpoint.errors import InputError, SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint.chunking.tokens import TokenBound
    from langchain_hf_endpoint.chunking.windows import Reach, WordWindow
    from langchain_hf_endpoint.chunking.words import Words

_LONG = 50_000  # characters
_DEFAULTS = ChunkingSettings()


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text, from the first character of a word to the last character of a word.

    Attributes:
        text: The piece itself: ``source[start:end]``, with no blank before or after it.
        start: Offset of its first character in the source, in code points (as Python counts).
        end: Offset after its last character.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedChunk(Chunk):
    """A part of a text and its embedding. Two are equal only if they are the same object.

    Attributes:
        text: The chunk, an exact substring of its text.
        start: Its first character's offset in the text.
        end: The offset behind its last character: ``source[start:end] == text``.
        embedding: Float32, shape ``(dimensions,)``.
        text_index: Which of the texts passed it is a part of.
    """

    embedding: NDArray[np.float32]
    text_index: int

    def __repr__(self) -> str:
        """The chunk, and of its vector the size and the length: a debugger asks often."""
        vector = self.embedding
        length = float(vector @ vector) ** 0.5
        return (
            f"EmbeddedChunk(text={self.text!r}, start={self.start}, end={self.end}, "
            f"embedding=<{vector.size} x {vector.dtype}, length {length:.4g}>, "
            f"text_index={self.text_index})"
        )


def chunk(
    text: str, settings: ChunkingSettings | Mapping[str, object] | None = None
) -> list[Chunk]:
    """Cut a text into chunks of at most ``max_chunking_size`` words.

    With ``max_chunk_tokens``, of at most so many tokens too: as the ``tokenizer`` of the settings
    counts them, else as they are estimated.

    A word is a run of characters between blanks, exactly as ``str.split()`` has it; a run that is
    more than a word, in scripts that are written without blanks, longer than 255 characters, or
    longer than 63 after another such one, counts as many. Every word of the text is in at least
    one chunk, and the chunks are in the order of the text. Takes time and memory in proportion to
    the text's length, whatever the text.

    Args:
        text: Any string; lone surrogates and control characters do no harm.
        settings: How to cut; a mapping is checked as `ChunkingSettings` is. Default: sentences,
            at most 250 words a chunk, one sentence of overlap.

    Returns:
        The chunks; none for an empty or blank text.

    Raises:
        SettingsError: A setting is wrong, or its ``language`` has no trained table on this machine,
            or ``max_chunk_tokens`` is ``auto``, which takes a server.
        MissingExtraError: A ``tokenizer`` is set, and the package tokenizers not installed.
        InputError: The text is no string.
    """
    chosen = as_settings(settings)
    if chosen.max_chunk_tokens is None:
        return cut(text, chosen, None)
    from langchain_hf_endpoint.chunking.tokenizer_file import bound_here  # noqa: PLC0415 - numpy

    return cut(text, chosen, bound_here(chosen))


def cut(text: str, settings: ChunkingSettings, bound: TokenBound | None) -> list[Chunk]:
    """Cut a text as `chunk` does, into chunks that keep within a bound in tokens too.

    With the strategy ``none`` a text that is over the bound is cut as with ``sentence``, without
    an overlap and without a bound in words.
    """
    if not isinstance(text, str):
        raise InputError(f"a text must be a string, not {type(text).__name__}")
    size = settings.max_chunking_size
    if (size is None or is_short(text, size)) and (bound is None or bound.holds(text)):
        return _whole(text)
    from langchain_hf_endpoint.chunking.words import Words  # noqa: PLC0415 - numpy loads late

    words = Words.of(text)
    if bound is None or not len(words):
        spans = words.spans(_windows(text, words, settings), LONGEST_CHUNK)
        return [Chunk(text[start:end], start, end) for start, end in spans]
    from langchain_hf_endpoint.chunking.tokens import MeasuredText  # noqa: PLC0415 - as above

    measured = MeasuredText.of(text, words, bound)
    reach = measured.reach(size or len(words))
    spans = words.spans(_windows(text, words, settings, reach), LONGEST_CHUNK)
    return [Chunk(text[start:end], start, end) for start, end in measured.fitting(spans)]


def is_one_chunk(text: str, settings: ChunkingSettings, bound: TokenBound | None = None) -> bool:
    """Whether `cut` would return the text as it is, which is what happens to most."""
    size = settings.max_chunking_size
    return (
        len(text.strip()) == len(text) > 0
        and (size is None or is_short(text, size))
        and (bound is None or bound.holds(text))
    )


def takes_long(texts: Sequence[str], settings: ChunkingSettings) -> bool:
    """Whether an event loop would feel that these are cut; a separator may take long anyway."""
    return settings.strategy == "recursive" or sum(map(len, texts)) > _LONG


def as_settings(settings: ChunkingSettings | Mapping[str, object] | None) -> ChunkingSettings:
    """Settings as a user may give them -> the checked object; None stands for the defaults.

    Raises:
        SettingsError: A field is unknown, or its value is not allowed.
    """
    if settings is None:
        return _DEFAULTS
    if isinstance(settings, Mapping):
        return ChunkingSettings(**hidden("", settings))
    if problems := wrong_type("chunking_settings", settings, ChunkingSettings):
        raise SettingsError(*problems)
    return settings


def _whole(text: str) -> list[Chunk]:
    """The text without its outer blanks as one chunk; none if nothing is left."""
    body = text.strip()
    if not body:
        return []
    start = len(text) - len(text.lstrip())
    return [Chunk(body, start, start + len(body))]


def _windows(
    text: str, words: Words, settings: ChunkingSettings, reach: Reach | None = None
) -> list[WordWindow]:
    count, size = len(words), settings.max_chunking_size or len(words)
    if count <= size and (reach is None or not count or reach(0) >= count):
        return [(0, count)][:count]
    if settings.strategy == "word":
        return word_windows(count, size, settings.overlap or 0, reach)
    if settings.strategy == "recursive":
        from langchain_hf_endpoint.chunking.recursive import recursive_windows  # noqa: PLC0415 - as above

        return recursive_windows(text, words, settings.separators or (), size, reach)
    from langchain_hf_endpoint.chunking.punkt import sentence_starts  # noqa: PLC0415 - NLTK, too

    ends = words.sentence_ends(sentence_starts(text, settings.language or "english"))
    overlapping = bool(settings.sentence_overlap)
    return sentence_windows(ends, size, overlapping=overlapping, reach=reach)
