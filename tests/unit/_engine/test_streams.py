"""Streams of texts whose batches end in an unlucky order."""

import asyncio
import threading
import time
from functools import partial
from itertools import chain, count

import pytest
from driving import DRIVES
from scripted_server import answer, inputs_of, numbered, rejects, vector, vectors

from langchain_hf_endpoint import EmbeddingError
from langchain_hf_endpoint.chunking import chunks

SLOW = "the slow one, which is the longest"


class _HoldsOneUp:
    """Answers everything at once but `SLOW`, which it answers when nothing else comes any more."""

    def __init__(self):
        self._latest = time.monotonic()

    def _is_quiet(self):
        return time.monotonic() - self._latest > 1.0

    def serve(self, request):
        if SLOW in inputs_of(request):
            while not self._is_quiet():
                time.sleep(0.01)
        self._latest = time.monotonic()
        return vectors(request)

    async def aserve(self, request):
        if SLOW in inputs_of(request):
            await asyncio.to_thread(self.serve, request)
        return self.serve(request)


@pytest.fixture
def held_up(drive, server, make):
    """Embeddings whose server holds up one text."""
    slow = _HoldsOneUp()
    server.behave(slow.aserve if drive is DRIVES["async"] else slow.serve)
    return make(max_batch_size=4, rate_limit={"requests_per_minute": 100_000})


def test_separators_are_looked_for_beside_the_event_loop(server, make, monkeypatch):
    server.behave(vectors)
    threads = []

    def cut(text, settings, bound):
        threads.append(threading.current_thread())
        return chunks.cut(text, settings, bound)

    monkeypatch.setattr("langchain_hf_endpoint._engine.planner.cut", cut)
    embeddings = make(chunking_settings={"strategy": "recursive", "max_chunking_size": 10})
    asyncio.run(embeddings.aembed_documents(["word " * 11]))
    assert threads
    assert threading.current_thread() not in threads


def test_a_stream_goes_on_after_it_waited_for_a_slow_batch(drive, held_up):
    texts = [SLOW, *numbered(1000)]
    chunks = drive.stream(held_up, iter(texts))
    assert [chunk.text_index for chunk in chunks] == list(range(1001))
    assert all(chunk.embedding.tolist() == vector(chunk.text) for chunk in chunks)


def test_a_stream_takes_in_no_more_while_it_waits_for_a_slow_batch(drive, held_up):
    taken = count()
    texts = (text for text in chain([SLOW], map("text {}".format, count())) if next(taken) >= 0)
    [first] = drive.stream(held_up, texts, most=1)
    assert first.text == SLOW
    # 16 batches of 4 are gathered to be sorted; 64 may be unfinished behind a slow one.
    assert 64 < next(taken) <= 4 * (16 + 64)


def test_a_stream_whose_source_ends_while_a_batch_is_slow_is_complete(drive, held_up):
    texts = [SLOW, *numbered(100)]
    chunks = drive.stream(held_up, iter(texts))
    assert [chunk.text for chunk in chunks] == texts


@pytest.mark.parametrize("length", [0, 1, 3, 4, 63, 64, 65, 255, 256, 257, 1500])
def test_a_stream_of_any_length_is_complete(drive, server, make, length):
    server.behave(vectors)
    embeddings = make(max_batch_size=4, rate_limit={"requests_per_minute": 100_000})
    chunks = drive.stream(embeddings, map(partial("{} {}".format, "text"), range(length)))
    assert [chunk.text for chunk in chunks] == numbered(length)


def test_where_the_source_breaks_the_texts_that_failed_before_are_named_by_the_context(
    drive, server, make
):
    server.behave(rejects("bad", answer(422, {"error": "no", "error_type": "Tokenizer"})))

    def texts():
        yield from ("good", "bad", "better")
        raise KeyError("the next one")

    out = []
    with pytest.raises(KeyError, match="the next one") as caught:
        drive.stream(make(), texts(), each=out.append)
    assert [chunk.text for chunk in out] == ["good", "better"]
    failed = caught.value.__context__
    assert isinstance(failed, EmbeddingError)
    assert list(failed.failures) == [1]
