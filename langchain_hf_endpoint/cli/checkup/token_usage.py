"""Chunks to their tokens, asked of the server a batch at a time.

It knows when the lack of an answer is one. It must not know what the tokens are for.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from langchain_hf_endpoint._engine.attempts import RetryState, send_once
from langchain_hf_endpoint._engine.retry_policy import WORTH_ANOTHER_TRY
from langchain_hf_endpoint._messages import Response
from langchain_hf_endpoint._protocols import explain, read_tokens, tokenize_request
from langchain_hf_endpoint.chunking import Chunk, chunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._protocols import Tokens
    from langchain_hf_endpoint.settings import ChunkingSettings

_CHARACTERS_PER_TOKEN = 250
"""TEI reads so many characters for each token of its window, and tokenizes no more of an input."""


class Piece(NamedTuple):
    """A chunk, and which text it is of."""

    text_index: int
    chunk: Chunk


def pieces_of(texts: Iterable[str], settings: ChunkingSettings) -> Iterator[Piece]:
    """The chunks of all texts, in order."""
    return chain.from_iterable(
        (Piece(index, one) for one in chunk(text, settings)) for index, text in enumerate(texts)
    )


def batches_of(pieces: Iterable[Piece], inputs: int, size: int) -> Iterator[list[Piece]]:
    """Batches of at most so many inputs and, unless one alone is larger, so many bytes."""
    batch: list[Piece] = []
    held = 0
    for piece in pieces:
        weight = len(piece.chunk.text.encode(errors="surrogatepass"))
        if batch and (len(batch) == inputs or held + weight > size):
            yield batch
            batch, held = [], 0
        batch.append(piece)
        held += weight
    if batch:
        yield batch


def seen_by_model(text: str, prompt: str, window: int) -> str:
    """What the server tokenizes of a chunk."""
    return (prompt + text)[: window * _CHARACTERS_PER_TOKEN]


def tokenize(texts: list[str], call: Call) -> Flow[list[Tokens] | None]:
    """The tokens of these texts; None where the server does not tell.

    Raises:
        HFEndpointError: The server cannot be reached, or is not ready even after `max_wait`.
    """
    request = tokenize_request(call.service.url, texts, call.options.prompt_name)
    attempts = RetryState(call)
    while request is not None:
        reply = yield from send_once(request, 0, call.service.timeout, call, attempts.seconds_left)
        if isinstance(reply, Response) and reply.status < 300:  # noqa: PLR2004 - a success
            return read_tokens(reply, len(texts))
        failure = explain(reply) if isinstance(reply, Response) else reply
        if failure is None or failure.cause not in WORTH_ANOTHER_TRY:
            return None
        pause = attempts.after(failure)
        if pause is None:
            raise call.error(failure, attempts.count)
        yield pause
    return None
