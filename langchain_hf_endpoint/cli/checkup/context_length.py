"""Which part of texts is over the model's window, and so in no vector.

A character is lost where it is beyond the window in every chunk that holds it: what one chunk
loses at its end, the next may have at its beginning. It knows offsets. It must not ask anybody.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.cli.checkup.report import WindowUse

if TYPE_CHECKING:
    from langchain_hf_endpoint._protocols import Tokens
    from langchain_hf_endpoint.cli.checkup.token_usage import Piece

_ENOUGH_WORDS = 20  # of a chunk, to tell how many tokens its words have
_ROUND = 10
_LARGEST = 300
_ODD = 2  # times as many tokens a word as usual: one chunk of base64 must not make all others small


class Measure:
    """Adds up chunks, in the order of their texts.

    Args:
        window: Tokens that the model reads of an input.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._counts: list[int] = []
        self._characters = self._kept = self._texts = 0
        self._text_index: int | None = None
        self._end = self._kept_end = 0
        self._tokens_per_word: list[float] = []
        self._marks = 0

    @property
    def chunks(self) -> int:
        """Chunks added."""
        return len(self._counts)

    def add(self, piece: Piece, tokens: Tokens, prompt: str, seen: str) -> None:
        """Enter a chunk.

        Args:
            piece: It comes after those before it.
            tokens: Its own, and those of the prompt before it.
            prompt: The text that was put before it.
            seen: What was tokenized, the prompt included.
        """
        one = piece.chunk
        if piece.text_index != self._text_index:
            self._text_index, self._end, self._kept_end = piece.text_index, 0, 0
            self._texts += 1
        kept_end = one.start + min(len(one.text), self._kept_of(tokens, prompt, seen))
        self._characters += max(0, one.end - max(one.start, self._end))
        self._kept += max(0, kept_end - max(one.start, self._kept_end))
        self._end, self._kept_end = max(self._end, one.end), max(self._kept_end, kept_end)
        self._counts.append(tokens.count)
        self._marks = max(self._marks, tokens.marks)
        words = count_words(one.text)
        if words >= _ENOUGH_WORDS:
            self._tokens_per_word.append(len(tokens.ends) / words)

    def _kept_of(self, tokens: Tokens, prompt: str, seen: str) -> int:
        """How many characters of a chunk the model reads."""
        room = max(0, self._window - tokens.marks)
        if len(tokens.ends) <= room:
            return len(seen) - len(prompt)
        if not room:
            return 0
        end, last = tokens.ends[room - 1], tokens.ends[-1]
        if end is None or last is None:
            return max(0, len(seen) * room // len(tokens.ends) - len(prompt))
        raw = seen.encode()
        # A prompt that the server puts there by name is counted in its offsets, but is not in ours.
        end -= max(0, last - len(raw))
        return max(0, len(raw[: max(0, end)].decode(errors="ignore")) - len(prompt))

    def result(self, *, is_whole: bool) -> WindowUse:
        """What came out."""
        over = sum(count > self._window for count in self._counts)
        return WindowUse(
            window=self._window,
            texts=self._texts,
            chunks=len(self._counts),
            over=over,
            median=median(self._counts or [0]),
            longest=max(self._counts, default=0),
            characters=self._characters,
            lost=self._characters - self._kept,
            lost_share=1 - self._kept / max(1, self._characters),
            is_whole=is_whole,
            fitting_size=self._fitting_size() if over else None,
        )

    def _fitting_size(self) -> int | None:
        """Words that fit where words have many tokens, rounded down."""
        if not self._tokens_per_word:
            return None
        usual = median(self._tokens_per_word)
        many = max(tokens for tokens in self._tokens_per_word if tokens <= _ODD * usual)
        words = int((self._window - self._marks) / many)
        return min(_LARGEST, words // _ROUND * _ROUND) or None
