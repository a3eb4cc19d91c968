"""What `get_embedding_usage` says that calls cost, beside the log of the server."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import gzip
import pickle
import threading
from contextlib import suppress
from importlib import resources

import pytest
from arrivals import numbered

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    SettingsError,
    get_embedding_usage,
)
from langchain_hf_endpoint.testing import faults

METHODS = ["documents", "array", "chunks", "stream"]
CHUNKING = {"strategy": "word", "max_chunking_size": 10, "overlap": 0}


def assert_billed(usage, server):
    """All that the server's log has, and no more."""
    assert usage.requests == len(server.arrivals)
    assert usage.inputs_sent == sum(len(one.texts) for one in server.arrivals)
    assert usage.tokens == sum(one.tokens for one in server.arrivals) > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_figures_of_a_call_are_those_of_the_servers_log(drive, tei_double, connect, method):
    texts = [*numbered(70), *numbered(20), "a word " * 20]
    with get_embedding_usage() as usage:
        getattr(drive, method)(connect(chunking_settings=CHUNKING), texts)
    assert_billed(usage, tei_double)
    assert (usage.texts, usage.chunks) == (91, 94)
    assert usage.repeats_saved == 23  # of 40 words in four chunks three are like the first
    assert usage.inputs_sent == 71
    assert usage.seconds > 0
    assert not usage.retries


@pytest.mark.parametrize("path", ["", "/embed", "/v1/embeddings"])
def test_a_query_is_counted_on_every_route(drive, tei_double, connect, path):
    with get_embedding_usage() as usage:
        drive.query(connect(path), "how many words are these?")
    assert_billed(usage, tei_double)
    assert (usage.texts, usage.chunks, usage.inputs_sent) == (1, 1, 1)
    assert usage.tokens == 7


def test_what_openai_says_it_counted_is_taken(drive, tei_double, connect):
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}],
        "usage": {"prompt_tokens": 1234, "total_tokens": 1234},
    }
    tei_double.script(faults.answer(200, answer))
    with get_embedding_usage(price_per_million_tokens=0.5) as usage:
        drive.query(connect("/v1/embeddings", dialect="openai"), "a question")
    assert usage.tokens == 1234
    assert usage.cost == pytest.approx(1234 / 2_000_000)


def test_where_an_answer_does_not_say_the_tokens_are_not_known(drive, tei_double, connect):
    tei_double.script(faults.answer(200, [[1.0, 0.0]]))
    with get_embedding_usage(price_per_million_tokens=1) as usage:
        drive.query(connect("/embed", dialect="tei"), "a question")
    assert usage.tokens is None
    assert usage.cost is None


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """The file of the local model."""
    packed = resources.files("langchain_hf_endpoint.local") / "data" / "tokenizer.json.gz"
    file = tmp_path_factory.mktemp("model") / "tokenizer.json"
    file.write_bytes(gzip.decompress(packed.read_bytes()))
    return str(file)


def test_what_no_server_says_a_tokenizer_counts(drive, tei_double, connect, tokenizer):
    tei_double.script(faults.answer(200, [[1.0, 0.0]]), faults.answer(200, [[1.0, 0.0]]))
    embeddings = connect("/embed", dialect="tei", chunking_settings={"tokenizer": tokenizer})
    with get_embedding_usage() as usage:
        drive.query(embeddings, "How long is a vector?")
        drive.documents(embeddings, ["Unbelievable!"])
    assert usage.tokens == usage.tokens_counted == 8 + 4  # with [CLS] and [SEP]


def test_a_tokenizer_that_cannot_be_read_ends_no_call(drive, tei_double, connect):
    tei_double.script(faults.answer(200, [[1.0, 0.0]]))
    embeddings = connect("/embed", dialect="tei", chunking_settings={"tokenizer": "/no/such/file"})
    with get_embedding_usage() as usage:
        drive.query(embeddings, "a question")
    assert usage.tokens is None


def test_retries_are_told_by_cause(drive, tei_double, connect):
    tei_double.script(
        faults.answer(503, headers={"retry-after": "0"}),
        faults.answer(429, headers={"retry-after": "0"}),
        faults.answer(500, headers={"retry-after": "0"}),
        faults.answer(429, headers={"retry-after": "0"}),
    )
    with get_embedding_usage() as usage:
        drive.documents(connect(), numbered(3))
    assert usage.retries == {"not_ready": 1, "rate_limited": 2, "server": 1}
    assert_billed(usage, tei_double)
    assert usage.figures()["retries"] == 4


def test_texts_that_fail_are_counted_too(drive, tei_double, connect):
    tei_double.configure(rejects="REJECT")
    with get_embedding_usage() as usage, pytest.raises(EmbeddingError):
        drive.documents(connect(), [*numbered(20), "REJECT this"])
    assert_billed(usage, tei_double)
    assert usage.inputs_sent > 21


def test_of_blocks_within_each_other_all_count(drive, tei_double, connect):
    embeddings = connect()
    with get_embedding_usage() as outer:
        drive.documents(embeddings, numbered(3))
        with get_embedding_usage() as inner:
            drive.query(embeddings, "a question")
    drive.query(embeddings, "another one")
    assert (outer.texts, inner.texts) == (4, 1)
    assert outer.requests == inner.requests + 2  # /info, and the documents


def test_what_is_outside_of_the_block_is_not_counted(drive, tei_double, connect):
    embeddings = connect()
    drive.documents(embeddings, numbered(3))
    with get_embedding_usage(price_per_hour=1) as usage:
        pass
    assert set(usage.figures().values()) == {0}


def test_a_stream_counts_where_it_was_begun(tei_double, connect):
    embeddings = connect()
    with get_embedding_usage() as usage:
        begun = embeddings.stream_chunks(numbered(100))
        next(begun)
    with get_embedding_usage() as later:
        list(begun)
    assert usage.texts == 100
    assert_billed(usage, tei_double)
    assert later.texts == later.requests == 0


def test_a_thread_counts_where_it_runs_in_a_copy_of_the_context(tei_double, connect):
    embeddings = connect()
    with get_embedding_usage() as usage:
        run = contextvars.copy_context().run
        thread = threading.Thread(target=run, args=(embeddings.embed_documents, numbered(5)))
        thread.start()
        thread.join()
    assert usage.texts == 5
    assert_billed(usage, tei_double)


async def test_tasks_count_in_the_context_in_which_they_were_made(tei_double, connect):
    embeddings = connect()

    async def embed(count):
        with get_embedding_usage() as own:
            await embeddings.aembed_documents(numbered(count))
        return own

    with get_embedding_usage() as usage:
        first, second = await asyncio.gather(embed(3), embed(4))
    assert (first.texts, second.texts, usage.texts) == (3, 4, 7)
    assert first.requests + second.requests == usage.requests == len(tei_double.arrivals)
    assert max(first.seconds, second.seconds) <= usage.seconds < first.seconds + second.seconds


def test_waits_of_several_requests_at_once_count_once(drive, tei_double, connect):
    embeddings = connect(rate_limit={"requests_per_minute": 240}, max_batch_size=1)
    with get_embedding_usage(price_per_hour=3600) as usage:
        drive.documents(embeddings, numbered(8))
    assert 0.1 < usage.limiter_wait_seconds <= usage.seconds
    assert usage.cold_start_wait_seconds == usage.retry_wait_seconds == 0
    assert usage.cost == pytest.approx(usage.seconds)


def test_the_description_of_an_endpoint_is_counted(drive, tei_double, connect):
    with get_embedding_usage() as usage:
        drive.describe(connect().endpoint)
    assert_billed(usage, tei_double)


def test_what_a_cache_had_is_told_and_not_billed(drive, tei_double, connect, tmp_path):
    embeddings = HFEndpointEmbeddings(endpoint=connect().endpoint, cache=tmp_path / "vectors.db")
    drive.documents(embeddings, numbered(10))
    tei_double.forget()
    with get_embedding_usage() as usage:
        drive.documents(embeddings, numbered(12))
    assert usage.cache_hits == 10
    assert usage.inputs_sent == 2 + 1  # by which the model is told
    assert_billed(usage, tei_double)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda usage: pickle.loads(pickle.dumps(usage))]
)
def test_a_copy_has_the_figures_so_far(tei_double, connect, copied):
    tei_double.script(faults.server_error(503))
    with get_embedding_usage(price_per_hour=1) as usage:
        stream = connect(max_batch_size=1).stream_chunks(numbered(3))
        next(stream)
        seconds = usage.seconds
        other = copied(usage)
        before, kept = other.figures(), other.seconds
        list(stream)
    assert usage.texts == 3
    assert other.figures() == before
    assert seconds <= kept <= usage.seconds
    assert usage.retries.total() == 1
    assert usage.retries is not other.retries
    assert other.price_per_hour == 1


@pytest.mark.parametrize("price", ["x", -1, float("nan"), float("inf"), 10**400, True])
@pytest.mark.parametrize("name", ["price_per_million_tokens", "price_per_hour"])
def test_what_is_no_price_is_refused_at_once(name, price):
    with pytest.raises(SettingsError, match=rf"\[{name}\] must be a number, 0 or more"):
        get_embedding_usage(**{name: price}).__enter__()


@pytest.mark.parametrize("rejects", ["", "one"])
def test_the_text_that_goes_along_with_one_that_is_to_be_kept_counts(
    drive, tei_double, connect, tmp_path, rejects
):
    tei_double.configure(rejects=rejects)
    embeddings = connect(cache=tmp_path / "vectors.cache")
    with get_embedding_usage() as usage, suppress(EmbeddingError):
        drive.documents(embeddings, ["one"])
    assert_billed(usage, tei_double)
    if not rejects:
        assert usage.inputs_sent == 3 + 2
