"""Every public method over real sockets, against a server that answers as TEI does."""

import itertools
import logging
from collections import Counter

import numpy as np
import pytest
from arrivals import most_at_once
from driving import DRIVES
from thoroughness import in_pairs

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    EndpointPausedError,
    HFEndpointEmbeddings,
    ProtocolError,
    TransportError,
    chunk,
)
from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults
from langchain_hf_endpoint.testing.vectors import RAW_LENGTH

WORDS = ("amber", "birch", "cedar", "dune", "elm", "fjord", "grove", "heath", "isle", "juniper")
VERSIONS = ["1.2.3", "1.8.3", "1.9.3"]
EACH_VERSION = pytest.mark.parametrize("version", VERSIONS)


def _text(number, words):
    """A text of so many words, like no other."""
    return " ".join([f"{number}:"] + [WORDS[(number * 7 + n) % 10] for n in range(words - 1)])


def _texts(count, most=30):
    return [_text(number, 1 + number * 37 % most) for number in range(count)]


def _expected(texts, **options):
    return np.stack([expected_vector(text, **options) for text in texts])


def _sizes(double):
    return [len(entry.texts) for entry in double.requests]


def _statuses(double):
    return Counter(entry.status for entry in double.requests)


def test_three_thousand_texts_of_mixed_lengths_come_back_in_their_order(drive, tei_double, connect):
    tei_double.configure(seconds_per_text=0.0001)
    texts = _texts(3000, most=200)
    vectors = drive.documents(connect(), texts)
    assert all(type(vector) is list for vector in vectors)
    assert type(vectors[0][0]) is float
    assert np.array_equal(np.asarray(vectors, np.float32), _expected(texts))
    assert _statuses(tei_double) == {200: 94}


@pytest.mark.parametrize("path", ["", "/embed", "/v1/embeddings", "/v1", "/embeddings"])
def test_an_array_holds_what_the_lists_hold_over_every_route(drive, connect, path):
    texts = _texts(100)
    array = drive.array(connect(path), texts)
    assert (array.dtype, array.shape) == (np.float32, (100, 384))
    assert np.array_equal(array, _expected(texts))
    assert np.array_equal(np.asarray(drive.documents(connect(path), texts), np.float32), array)
    assert drive.query(connect(path), texts[7]) == pytest.approx(array[7].tolist(), abs=1e-7)


def test_texts_that_are_the_same_are_sent_once(drive, tei_double, connect):
    distinct = _texts(100)
    texts = [distinct[number * 31 % 100] for number in range(1000)]
    assert np.array_equal(drive.array(connect(), texts), _expected(texts))
    arrived = Counter(text for entry in tei_double.arrivals for text in entry.texts)
    assert arrived == Counter(distinct)


def test_chunks_that_two_texts_share_are_sent_once(drive, tei_double, connect):
    chunking = {"strategy": "word", "max_chunking_size": 20, "overlap": 0}
    embeddings = connect(chunking_settings=chunking)
    head = _text(1, 20)
    texts = [f"{head} {_text(2, 20)}", f"{head} {_text(3, 20)}", head]
    result = drive.chunks(embeddings, texts)
    assert [[part.text for part in parts] for parts in result] == [
        [head, _text(2, 20)],
        [head, _text(3, 20)],
        [head],
    ]
    arrived = Counter(text for entry in tei_double.arrivals for text in entry.texts)
    assert arrived == Counter([head, _text(2, 20), _text(3, 20)])


CHUNKING = {
    "sentence": {"strategy": "sentence", "max_chunking_size": 40, "sentence_overlap": 1},
    "word": {"strategy": "word", "max_chunking_size": 50, "overlap": 10},
    "none": {"strategy": "none"},
}


def _prose(number):
    """Sentences with blanks of all kinds between and around them."""
    sentences = [_text(number * 100 + n, 3 + n * 5 % 17).capitalize() + "." for n in range(30)]
    return "\n \t" + "  \n".join(sentences) + " \n"


@pytest.mark.parametrize("chunking", CHUNKING.values(), ids=CHUNKING.keys())
def test_chunks_are_exact_pieces_of_their_text_with_the_vector_of_that_piece(
    drive, connect, chunking
):
    texts = [_prose(1), "short", _prose(2)]
    result = drive.chunks(connect(chunking_settings=chunking), texts)
    assert len(result) == 3
    for index, (text, parts) in enumerate(zip(texts, result, strict=True)):
        assert len(parts) == len(chunk(text, chunking))
        for part in parts:
            assert text[part.start : part.end] == part.text
            assert part.text_index == index
            assert (part.embedding.dtype, part.embedding.shape) == (np.float32, (384,))
            assert np.array_equal(part.embedding, expected_vector(part.text))
    if chunking["strategy"] != "none":
        assert min(len(result[0]), len(result[2])) > 3


def _pooled(text, chunking, *, normalize):
    """The mean of the chunks' vectors by words, computed anew."""
    parts = chunk(text, chunking)
    total = sum(
        count_words(part.text) * expected_vector(part.text, normalize=normalize).astype(np.float64)
        for part in parts
    )
    mean = total / sum(count_words(part.text) for part in parts)
    return mean / np.linalg.norm(mean) if normalize else mean


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("strategy", ["sentence", "word"])
def test_a_long_text_gets_the_mean_of_its_chunks_weighted_by_words(
    drive, connect, strategy, normalize
):
    texts = [_prose(1), "short and whole", _prose(2) + "人人生而自由。" * 60]
    chunking = CHUNKING[strategy]
    embeddings = connect(chunking_settings=chunking, task_settings={"normalize": normalize})
    vectors = np.asarray(drive.documents(embeddings, texts))
    expected = [_pooled(text, chunking, normalize=normalize) for text in texts]
    assert np.allclose(vectors, expected, atol=1e-6)
    assert np.allclose(drive.array(embeddings, texts), expected, atol=1e-6)
    if normalize:
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    else:
        assert np.linalg.norm(vectors[1]) == pytest.approx(RAW_LENGTH, abs=1e-5)
        assert np.linalg.norm(vectors[0]) < 0.9 * RAW_LENGTH


@pytest.mark.parametrize("strategy", ["sentence", "word"])
@pytest.mark.parametrize(
    "text",
    ["data:image/png;base64," + "iVBORw0KGgoAAAANSUhE" * 135_000, "one" + " " * 2_700_000 + "two"],
    ids=["base64", "blanks"],
)
def test_no_text_is_too_large_for_the_server(tei_double, connect, strategy, text):
    embeddings = connect(chunking_settings={"strategy": strategy})
    assert len(embeddings.embed_documents([text])) == 1
    assert {entry.status for entry in tei_double.requests} == {200}


def test_shorter_vectors_are_had_by_asking(drive, connect):
    embeddings = connect(task_settings={"dimensions": 64})
    texts = _texts(10)
    assert np.array_equal(drive.array(embeddings, texts), _expected(texts, dimensions=64))
    assert embeddings.dimensions == 64


def test_a_query_is_never_chunked_and_the_server_cuts_it(drive, tei_double, connect):
    query = _text(5, 2000)
    vector = drive.query(connect(), query)
    assert np.array_equal(np.float32(vector), expected_vector(" ".join(query.split()[:510])))
    [entry] = tei_double.requests
    assert entry.texts == (query,)


@EACH_VERSION
def test_every_version_of_tei_is_understood(drive, tei_double, connect, version):
    tei_double.configure(version=version)
    texts = [*_texts(70), _text(1, 600)]
    none = {"strategy": "none"}
    vectors = drive.array(connect(chunking_settings=none), texts)
    assert np.array_equal(vectors[:70], _expected(texts[:70]))
    # Truncation is asked for in so many words, whatever the version's default.
    assert np.array_equal(vectors[70], expected_vector(" ".join(texts[70].split()[:510])))
    assert set(_statuses(tei_double)) == {200}


@EACH_VERSION
def test_a_text_that_is_too_long_fails_alone_where_it_may_not_be_cut(
    drive, tei_double, connect, version
):
    tei_double.configure(version=version)
    embeddings = connect(chunking_settings={"strategy": "none"}, task_settings={"truncate": False})
    texts = _texts(40)
    texts[20] = _text(20, 600)
    with pytest.raises(EmbeddingError, match="must have less than 512 tokens") as caught:
        drive.array(embeddings, texts)
    assert caught.value.failures.keys() == {20}
    assert caught.value.failures[20].index == 20
    assert all(
        np.array_equal(vector, expected_vector(texts[n]))
        for n, vector in caught.value.completed.items()
    )
    assert len(caught.value.completed) == 39


@pytest.mark.parametrize("limit", [8, 128])
def test_the_batch_limit_is_learned_from_info(drive, tei_double, connect, limit):
    tei_double.configure(max_client_batch_size=limit)
    texts = _texts(300)
    assert np.array_equal(drive.array(connect(), texts), _expected(texts))
    assert max(_sizes(tei_double)) == limit
    assert len(_sizes(tei_double)) == -(-300 // limit)
    assert [entry.path for entry in tei_double.arrivals].count("/info") == 1


@in_pairs(drive=DRIVES, version=VERSIONS, path=["", "/v1/embeddings"], indirect=["drive"])
def test_the_batch_limit_is_learned_from_the_refusal_where_there_is_no_info(
    drive, tei_double, connect, version, path
):
    tei_double.configure(version=version, max_client_batch_size=8)
    tei_double.script(faults.answer(404), path="/info")
    texts = _texts(100)
    assert np.array_equal(drive.array(connect(path), texts), _expected(texts))
    assert max(_sizes(tei_double)[1:]) == 8
    assert _statuses(tei_double)[422 if version == "1.9.3" else 413] == 1


def test_bodies_over_the_servers_limit_are_split_and_the_limit_is_remembered(
    drive, tei_double, connect
):
    tei_double.configure(payload_limit=100_000)
    embeddings = connect(chunking_settings={"strategy": "none"})
    texts = [_text(number, 400) + " " + "x" * 8000 for number in range(64)]
    drive.query(embeddings, "find the route")
    result = drive.array(embeddings, texts)
    assert np.array_equal(result, _expected(texts))
    refused = _statuses(tei_double)[413]
    assert 1 <= refused <= 6
    drive.array(embeddings, [f"other {text}" for text in texts])
    assert _statuses(tei_double)[413] == refused


@pytest.mark.parametrize("permits", [64, 40, 10])
def test_the_servers_permits_are_never_exceeded(drive, tei_double, connect, permits):
    tei_double.configure(max_concurrent_requests=permits, seconds_per_request=0.01)
    texts = _texts(640)
    embeddings = connect()
    assert np.array_equal(drive.array(embeddings, texts), _expected(texts))
    log = tei_double.requests
    assert {entry.status for entry in log} == {200}
    assert max(entry.texts_in_flight for entry in log) <= permits
    if permits == 64:
        assert most_at_once(log) == 2


def test_max_concurrent_requests_is_never_exceeded(drive, tei_double, connect):
    tei_double.configure(seconds_per_request=0.01)
    embeddings = connect(max_concurrent_requests=3, max_batch_size=4)
    texts = _texts(200)
    drive.array(embeddings, texts)
    assert most_at_once(tei_double.requests) == 3


def test_a_server_that_is_overloaded_gets_everything_a_little_later(drive, tei_double, connect):
    tei_double.configure(max_concurrent_requests=64, seconds_per_request=0.01)
    tei_double.script(faults.answer(404), path="/info")  # so that the permits are not known
    texts = _texts(640)
    assert np.array_equal(drive.array(connect(), texts), _expected(texts))
    statuses = _statuses(tei_double)
    assert statuses[429] >= 1
    assert statuses[200] == 20


def test_a_cold_start_is_waited_for(drive, tei_double, connect):
    tei_double.script(faults.cold_start(0.7), path="/info")
    texts = _texts(40)
    assert np.array_equal(drive.array(connect(), texts), _expected(texts))
    statuses = Counter(entry.status for entry in tei_double.arrivals)
    assert statuses[503] >= 1
    assert statuses[503] <= 10


def test_a_paused_endpoint_is_an_error_at_once(drive, tei_double, connect):
    tei_double.script(faults.paused(), path="/info")
    with pytest.raises(EndpointPausedError, match="Resume it"):
        drive.documents(connect(), _texts(100))
    assert len(tei_double.arrivals) == 2


def test_the_key_opens_the_door(drive, tei_double, connect):
    tei_double.configure(api_key="the-key")
    texts = _texts(40)
    assert np.array_equal(drive.array(connect(api_key="the-key"), texts), _expected(texts))
    before = len(tei_double.arrivals)
    for settings in ({"api_key": "another"}, {}):
        with pytest.raises(AuthenticationError) as caught:
            drive.documents(connect(**settings), texts)
        assert caught.value.failures.keys() == set(range(40))
    assert len(tei_double.arrivals) == before + 4


def test_prompts_go_before_every_input_by_text_or_by_name(drive, tei_double, connect):
    tei_double.configure(prompts={"query": "q: ", "document": "d: "})
    by_text = connect(task_settings={"query_prompt": "q: ", "document_prompt": "d: "})
    by_name = connect(
        task_settings={"query_prompt_name": "query", "document_prompt_name": "document"}
    )
    for embeddings in (by_text, by_name):
        [document] = drive.documents(embeddings, ["a text"])
        assert np.array_equal(np.float32(document), expected_vector("d: a text"))
        query = drive.query(embeddings, "a text")
        assert np.array_equal(np.float32(query), expected_vector("q: a text"))
    arrived = [entry.texts[0] for entry in tei_double.requests]
    assert arrived == ["d: a text", "q: a text", "a text", "a text"]


@EACH_VERSION
def test_an_unknown_prompt_name_is_said_to_be_one(drive, tei_double, connect, version):
    tei_double.configure(version=version, prompts={"query": "q: "})
    embeddings = connect(task_settings={"document_prompt_name": "qeury"})
    if version == "1.2.3":  # which knows no such field
        return
    with pytest.raises(ValueError, match=r'Available prompts: \["query"') as caught:
        drive.documents(embeddings, _texts(100))
    assert caught.value.completed == {}
    assert len(tei_double.requests) == 1


def test_an_e5_model_that_info_names_gets_its_prompts(drive, tei_double, connect, caplog):
    tei_double.configure(model_id="intfloat/multilingual-e5-small")
    embeddings = connect()
    with caplog.at_level(logging.INFO, "langchain_hf_endpoint"):
        drive.documents(embeddings, ["a text", _text(1, 600)])
        drive.query(embeddings, "a question")
    arrived = [text for entry in tei_double.requests for text in entry.texts]
    assert all(text.startswith("passage: ") for text in arrived[:-1])
    assert len(arrived) == 5
    assert arrived[-1] == "query: a question"
    said = [record for record in caplog.records if "multilingual-e5-small" in record.message]
    assert [record.levelname for record in said] == ["INFO"]


def _null_rows(asked):
    """What serde makes of NaN: a zero vector that was normalised, or an overflow in fp16."""
    if not any("NULL" in text for text in asked.texts):
        return None
    rows = [
        [None] * 384 if "NULL" in text else expected_vector(text).tolist() for text in asked.texts
    ]
    if asked.path == "/":
        return faults.answer(200, rows)
    return faults.answer(200, {"data": [{"index": n, "embedding": r} for n, r in enumerate(rows)]})


def test_a_row_of_nulls_is_an_error_for_its_text_and_no_other(drive):
    texts = _texts(96)
    texts[40] = "NULL " + texts[40]
    with ScriptedEndpoint(plan=_null_rows) as server:
        embeddings = HFEndpointEmbeddings(url=server.url)
        drive.query(embeddings, "it works")
        with pytest.raises(ProtocolError, match="null at position 0") as caught:
            drive.array(embeddings, texts)
    assert caught.value.failures.keys() == {40}
    assert len(caught.value.completed) == 95
    assert all(
        np.array_equal(vector, expected_vector(texts[n]))
        for n, vector in caught.value.completed.items()
    )


FAULTS = {
    "reset": faults.reset(),
    "cut": faults.reset("body"),
    "cut in the headers": faults.reset("head"),
    "hang": faults.hang(),
    "500": faults.answer(500, {"error": "boom"}, {"retry-after": "0"}),
    "429": faults.answer(429, headers={"retry-after": "0"}),
    "502 page": faults.answer(502, "<html>Bad Gateway</html>"),
}


@in_pairs(drive=DRIVES, fault=FAULTS, path=["", "/v1/embeddings"], indirect=["drive"])
def test_a_fault_is_survived_with_the_right_vectors(drive, tei_double, connect, fault, path):
    texts = _texts(100)
    embeddings = connect(path, timeout=0.5)
    drive.query(embeddings, "find the route")
    tei_double.script(FAULTS[fault])
    assert np.array_equal(drive.array(embeddings, texts), _expected(texts))
    assert len(tei_double.requests) == 1 + 4 + 1


def test_a_server_that_hangs_for_ever_is_a_transport_error(drive, tei_double, connect):
    tei_double.script(*[faults.hang()] * 100)
    embeddings = connect("/v1/embeddings", timeout=0.2, max_wait=0.0)
    with pytest.raises(TransportError, match=r"no complete reply within 0\.2 s"):
        drive.query(embeddings, "one text")


def _counting(texts, taken):
    for text in texts:
        taken.append(text)
        yield text


def test_a_stream_gives_every_chunk_in_order(drive, connect):
    texts = [_prose(n) if n % 10 == 0 else _text(n, 1 + n % 20) for n in range(300)]
    embeddings = connect(chunking_settings=CHUNKING["sentence"])
    chunks = drive.stream(embeddings, iter(texts))
    expected = [
        (index, part)
        for index, text in enumerate(texts)
        for part in chunk(text, CHUNKING["sentence"])
    ]
    assert [(one.text_index, one.start, one.end, one.text) for one in chunks] == [
        (index, part.start, part.end, part.text) for index, part in expected
    ]
    assert all(np.array_equal(one.embedding, expected_vector(one.text)) for one in chunks)


def test_a_stream_looks_ahead_no_further_than_it_needs_to(drive, connect):
    taken, ahead = [], []
    embeddings = connect(max_batch_size=4)
    texts = (_text(n, 1 + n % 9) for n in range(800))
    chunks = drive.stream(
        embeddings,
        _counting(texts, taken),
        each=lambda one: ahead.append(len(taken) - one.text_index),
    )
    assert [one.text_index for one in chunks] == list(range(800))
    # 16 batches of 4 are gathered to be sorted; 64 may be unfinished behind a slow one.
    assert max(ahead) <= 4 * (16 + 64) + 1


def test_a_stream_whose_source_fails_gives_all_that_came_before(drive, connect):
    def texts():
        yield from _texts(100)
        raise LookupError("the file is gone")

    seen = []
    with pytest.raises(LookupError, match="the file is gone"):
        drive.stream(connect(max_batch_size=8), texts(), each=seen.append)
    assert [one.text for one in seen] == _texts(100)
    assert all(np.array_equal(one.embedding, expected_vector(one.text)) for one in seen)


def test_a_stream_without_end_may_be_left(drive, tei_double, connect):
    taken = []
    endless = (_text(n, 5) for n in itertools.count())
    chunks = drive.stream(connect(max_batch_size=4), _counting(endless, taken), most=100)
    assert [one.text_index for one in chunks] == list(range(100))
    assert len(taken) < 500
    # Nothing of it goes on but what was in flight.
    sent = len(tei_double.arrivals)
    drive.query(connect(), "and now?")
    assert len(tei_double.arrivals) <= sent + 1 + 64


def test_one_failed_text_of_a_stream_is_left_out(drive, tei_double, connect):
    tei_double.configure(rejects="REJECT")
    texts = _texts(100)
    texts[31] = "REJECT " + texts[31]
    seen = []
    with pytest.raises(EmbeddingError, match="tokenizer error") as caught:
        drive.stream(connect(), iter(texts), each=seen.append)
    assert caught.value.failures.keys() == {31}
    assert [one.text_index for one in seen] == [n for n in range(100) if n != 31]


def test_describe_tells_what_the_server_is(drive, tei_double, connect):
    tei_double.configure(max_client_batch_size=64, dimensions=128)
    embeddings = connect()
    told = drive.describe(embeddings.endpoint)
    assert (told.server, told.version, told.dialect) == ("tei", "1.9.3", "tei")
    assert (told.dimensions, told.max_batch_size, told.max_input_tokens) == (128, 64, 512)
    assert (told.model_id, told.max_concurrent_inputs) == ("scripted/endpoint", 512)
    assert embeddings.dimensions == 128
