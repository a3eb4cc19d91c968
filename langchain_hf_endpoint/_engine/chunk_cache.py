"""Find the vectors of inputs in a cache, and keep there what was received."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar, cast
from zlib import crc32

import numpy as np
import orjson

from langchain_hf_endpoint._engine.actions import UseStore
from langchain_hf_endpoint._engine.flow import embed_batch, takes_proof
from langchain_hf_endpoint._engine.model_fingerprint import (
    ModelFingerprint,
    embed_verified,
    verify_model,
)
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call, EmbeddingCall
    from langchain_hf_endpoint._engine.isolation import Outcome
    from langchain_hf_endpoint.cache import ChunkCache

RowT = TypeVar("RowT")

_PREFIX = "hf-endpoint/"
_VERSION = 2  # of keys and values
_KEY_BYTES = 24
_SUM_BYTES = 4
_WHOLE = 0x2144DF1C  # the CRC-32 of whatever ends with its own
_MOST_MODELS = 64


def look_up(
    inputs: Sequence[tuple[int, bytes]], call: EmbeddingCall[RowT]
) -> Flow[tuple[Sequence[int], Sequence[RowT]]]:
    """What the cache of a call has of some inputs: their numbers, and as many vectors.

    Raises:
        HFEndpointError: It is not the model any more that the call began with, or cannot be told.
    """
    cache = _cache_of(call)
    yield from verify_model(call)
    model = yield from _model(call)
    width = call.server.dimensions(call.task.dimensions)
    if not inputs or model is None or width is None:
        return (), ()
    keys = _keys([one for _, one in inputs], model, call)
    values = yield from _use(cache, keys)
    record = _record(cache, width)
    size = record.itemsize
    numbers: list[int] = []
    whole: list[bytes] = []
    for (number, _), key, value in zip(inputs, keys, values or (), strict=False):
        # What is not whole, of another key or of another width is as good as nothing.
        if isinstance(value, bytes) and len(value) == size and crc32(value, _seed(key)) == _WHOLE:
            numbers.append(number)
            whole.append(value)
    vectors = _unpacked(np.frombuffer(b"".join(whole), record))
    return numbers, call.vector_format.rows(vectors)


def way_to_embed(
    call: EmbeddingCall[RowT],
) -> Callable[[Sequence[bytes], EmbeddingCall[RowT]], Flow[list[Outcome[RowT]]]]:
    """As `embed_batch`, with what the call wants beside: its model alone, its cache."""
    if call.cache is not None:
        return embed_and_keep
    return embed_batch if call.expected_fingerprint is None else embed_verified


def embed_and_keep(inputs: Sequence[bytes], call: EmbeddingCall[RowT]) -> Flow[list[Outcome[RowT]]]:
    """As `embed_verified`; vectors are in the call's cache before they come out.

    They come out in the form in which they are kept. Those of a reply that did not show which
    model's they are come out, but are not kept.
    """
    outcomes = yield from embed_verified(inputs, call)
    model = yield from _model(call)
    if model is None:
        return outcomes
    cache, keys = _cache_of(call), _keys(inputs, model, call)
    pairs: list[tuple[str, bytes]] = []
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome.result, HFEndpointError):
            continue
        with np.errstate(over="ignore"):
            vectors = np.asarray(outcome.result, dtype=np.float32)
        if np.isfinite(vectors).all():  # else a number is beyond float32
            packed = _packed(vectors, cache)
            kept_as = keys[outcome.start : outcome.stop] if outcome.is_proven else ()
            for key, row in zip(kept_as, packed, strict=outcome.is_proven):
                body = row.tobytes()[:-_SUM_BYTES]
                pairs.append((key, body + crc32(body, _seed(key)).to_bytes(_SUM_BYTES, "little")))
            rows = call.vector_format.rows(_unpacked(packed))
            outcomes[number] = replace(outcome, result=rows)
    if pairs:
        yield from _use(cache, pairs=pairs)
    elif not takes_proof(len(inputs), call):
        cache.tell_of_no_use()
    return outcomes


def _cache_of(call: Call) -> ChunkCache:
    assert call.cache is not None  # noqa: S101 - nobody else comes here
    return call.cache


def _use(
    cache: ChunkCache, keys: Sequence[str] = (), pairs: Sequence[tuple[str, bytes]] = ()
) -> Flow[list[bytes | None] | None]:
    return cast("list[bytes | None] | None", (yield UseStore(cache, keys, pairs)))


def _model(call: Call) -> Flow[str | None]:
    """The cache's name for the model of the call; None where its store fails.

    It is the id of the fingerprint with which the model was met first: that of another process may
    differ a little. They stand in numbered places, since not all stores list their keys.
    """
    cache, fingerprint = _cache_of(call), call.expected_fingerprint
    if fingerprint is None:  # the call began in the moment of a failure
        return None
    name = fingerprint.id
    if name in cache.models:
        return cache.models[name]
    for number in range(_MOST_MODELS):
        place = f"{_PREFIX}models/{number}"
        held = yield from _use(cache, [place])
        if held == [None]:
            held = yield from _use(cache, [place], [(place, fingerprint.to_bytes())])
        if held is None:
            return None
        try:
            met = ModelFingerprint.from_bytes(held[0] or b"")
        except (TypeError, ValueError):
            continue  # what it was is not known
        if met.matches(fingerprint):
            name = met.id
            break
    cache.models[fingerprint.id] = name
    return name


def _keys(inputs: Sequence[bytes], model: str, call: Call) -> list[str]:
    """What the vectors of inputs, which have their prompt in them, are kept under."""
    asked, cache = call.options, _cache_of(call)
    most = call.server.max_input_tokens if asked.truncate else None  # the rest of a text is cut
    settings = (asked.prompt_name, asked.truncate, asked.normalize, asked.dimensions, most)
    begun = blake2b(orjson.dumps([_VERSION, model, cache.dtype, *settings]), digest_size=_KEY_BYTES)
    keys = []
    for one in inputs:
        of_input = begun.copy()
        of_input.update(one)
        keys.append(_PREFIX + of_input.hexdigest())
    return keys


def _seed(key: str) -> int:
    """Where the sum of a value begins, so that it is right under its own key alone."""
    return int(key[-8:], 16)


def _record(cache: ChunkCache, width: int) -> np.dtype[np.void]:
    number = "<f4" if cache.dtype == "float32" else "i1"
    return np.dtype([("scale", "<f4"), ("numbers", number, (width,)), ("sum", "<u4")])


def _packed(vectors: NDArray[np.float32], cache: ChunkCache) -> NDArray[np.void]:
    rows = np.ones(len(vectors), _record(cache, vectors.shape[1]))
    if cache.dtype == "float32":
        rows["numbers"] = vectors
        return rows
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    rows["numbers"] = numbers = np.rint(vectors / largest * 127)
    # So that it has the length of the vector.
    rows["scale"] = np.linalg.norm(vectors, axis=1) / np.maximum(np.linalg.norm(numbers, axis=1), 1)
    return rows


def _unpacked(rows: NDArray[np.void]) -> NDArray[np.float32]:
    vectors: NDArray[np.float32] = rows["numbers"] * rows["scale"][:, None]
    return vectors
