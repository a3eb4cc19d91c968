"""Run a model on onnxruntime: text to token ids, token ids to a vector.

Each input is run by itself, on one thread, and several at once: on two cores that is as fast as
batches for short texts (200 a second) and faster for long ones (25 a second of 200 words against
18 in batches of 4), and since int8 weights scale a whole batch at once, it is what makes a text's
vector the same whatever it is sent with.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from langchain_hf_endpoint.local.errors import LocalServerError, importing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from langchain_hf_endpoint.local.files import ModelFiles, ModelInfo


class Token(NamedTuple):
    """One token of a text; places are in UTF-8 bytes, None for a special token."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class Model:
    """A loaded model. May be used from many threads.

    Attributes:
        info: What it is, its dimensions read from the graph.

    Raises:
        MissingExtraError: onnxruntime or tokenizers is not installed.
        LocalServerError: The files are no embedding model.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._session = _session(files.onnx)
        self._tokenizer = _tokenizer(files.tokenizer)
        self._pool_first = files.pool_first
        self._inputs = {each.name for each in self._session.get_inputs()}
        self.info: ModelInfo = replace(files.info, dimensions=_dimensions(self._session))

    def tokens(self, text: str, *, special: bool = True) -> list[Token]:
        """The tokens of a text, uncut; those at the ends only where ``special`` holds."""
        encoding = self._tokenizer.encode(text, add_special_tokens=special)
        raw = text.encode()
        place = _byte_places(text)
        return [
            Token(number, word, True, None, None)  # noqa: FBT003 - a field, named above
            if marked
            else Token(number, _part(raw, place[a], place[b]), False, place[a], place[b])  # noqa: FBT003
            for number, word, marked, (a, b) in zip(
                encoding.ids,
                encoding.tokens,
                encoding.special_tokens_mask,
                encoding.offsets,
                strict=True,
            )
        ]

    def ids(self, text: str, *, cut: bool, keep_end: bool = False) -> list[int]:
        """The token ids of a text, cut to the model's limit if so wished.

        Args:
            text: Any text.
            cut: Leave out what is over the limit; else the ids may be more than it.
            keep_end: Cut the beginning instead of the end.
        """
        most, size = self.info.max_input_tokens, self.info.max_input_characters
        if cut and len(text) > size:
            text = text[-size:] if keep_end else text[:size]
        ids: list[int] = self._tokenizer.encode(text).ids
        if not cut or len(ids) <= most:
            return ids
        # [CLS] … [SEP]: both ends stay, as the library's own truncation has it.
        return ids[:1] + ids[-(most - 1) :] if keep_end else ids[: most - 1] + ids[-1:]

    def text_of(self, ids: list[int]) -> str:
        """The text of token ids, as far as this model's tokenizer knows them."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def embed(self, ids: list[int]) -> NDArray[np.float32]:
        """The pooled vector of one input, as long as the model makes it."""
        row = np.array([ids], dtype=np.int64)
        given = {
            "input_ids": row,
            "attention_mask": np.ones_like(row),
            "token_type_ids": np.zeros_like(row),
        }
        feed = {name: array for name, array in given.items() if name in self._inputs}
        # Mean pooling without a mask: no input is padded.
        states: NDArray[np.float32] = self._session.run(None, feed)[0][0]
        vector: NDArray[np.float32]
        vector = states[0] if self._pool_first else states.mean(axis=0, dtype=np.float32)
        return vector


def _session(onnx: bytes) -> Any:
    # Else newer versions keep a device id in the home folder and report to Microsoft.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with importing():
        import onnxruntime  # noqa: PLC0415 - of the extra
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it keeps the largest input's memory for every thread
    options.log_severity_level = 3
    # Threads that spin while they wait take the processors from those that work: in a trial on two
    # busy cores 48 texts a second against 124.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base of their own
        raise LocalServerError(f"onnxruntime cannot load the model: {error}") from error


def _tokenizer(content: bytes) -> Any:
    with importing():
        from tokenizers import Tokenizer  # noqa: PLC0415 - of the extra
    tokenizer = Tokenizer.from_buffer(content)
    # The file pads every text to 128 tokens, and cuts it there.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _dimensions(session: Any) -> int:
    shape = session.get_outputs()[0].shape
    token_level = 3
    if len(shape) != token_level or not isinstance(shape[-1], int):
        raise LocalServerError(
            f"the model's first output has the shape {shape}, not [batch, tokens, dimensions]",
            advice="Export it as a feature extraction model, which answers last_hidden_state.",
        )
    return shape[-1]


def _byte_places(text: str) -> list[int] | range:
    """For each character, where its UTF-8 bytes begin; one more for the end."""
    if text.isascii():
        return range(len(text) + 1)
    places = [0]
    for character in text:
        places.append(places[-1] + len(character.encode()))
    return places


def _part(raw: bytes, start: int, stop: int) -> str:
    return raw[start:stop].decode(errors="replace")
