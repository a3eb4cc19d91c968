"""A cache of chunks over real sockets: what is sent, what comes back, and what is never used."""

import asyncio
import copy
import json
import logging
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import cache_writers
import numpy as np
import pytest
from arrivals import are_right, numbered, texts_of
from langchain_core.load import dumps
from langchain_core.stores import InMemoryByteStore
from thoroughness import amount

from langchain_hf_endpoint import (
    ChunkCache,
    HFEndpointEmbeddings,
    InputError,
    ModelChangedError,
    SettingsError,
    get_embedding_usage,
)
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.cache import CACHE
from langchain_hf_endpoint.ray import EmbedChunks, EmbedTexts
from langchain_hf_endpoint.sqlite_files import Connections
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

BOOK = Path(__file__).parents[2] / "examples" / "data" / "alice_in_wonderland.txt"
WIDTH = 384


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vectors.cache"


def sent(double):
    """The texts that arrived since this was asked last, but those by which the model is known."""
    texts = texts_of(double.requests)
    double.forget()
    return {text for text in texts if not text.startswith(CANARIES)}


CANARIES = ("How long is a vector?", "The pilot counted", "Grüne Äpfel")


@pytest.fixture(params=["file", "store"])
def cache(request, path):
    return path if request.param == "file" else InMemoryByteStore()


# What is sent


def test_what_was_embedded_is_not_sent_again(drive, tei_double, connect, cache):
    texts = numbered(100)
    embeddings = connect(cache=cache)
    assert are_right(drive.documents(embeddings, texts), texts)
    assert sent(tei_double) == set(texts)
    assert are_right(drive.documents(embeddings, texts), texts)
    assert are_right(drive.array(embeddings, texts[::-1]), texts[::-1])
    assert [each.text for each in drive.stream(embeddings, texts)] == texts
    assert are_right([each[0].embedding for each in drive.chunks(embeddings, texts)], texts)
    assert len(tei_double.arrivals) == 0
    both = [*numbered(10, "another"), *texts, *numbered(90, "other")]
    assert are_right(drive.array(embeddings, both), both)
    # Only what is missing, in full batches; each has one text more, by which the model is told.
    assert sorted(len(one.texts) for one in tei_double.requests) == [8, 32, 32, 32]
    assert sent(tei_double) == set(both) - set(texts)


def test_lists_and_arrays_have_the_same_numbers_found_or_received(drive, connect, path):
    embeddings = connect(cache=path)
    received = drive.documents(embeddings, numbered(3))
    assert received == drive.documents(embeddings, numbered(3))
    assert received == drive.array(embeddings, numbered(3)).tolist()
    assert type(received[0][0]) is float


def test_one_sentence_of_a_book_that_is_edited_costs_its_chunks_alone(tei_double, connect, path):
    book = BOOK.read_text(encoding="utf-8")
    embeddings = connect(cache=path, max_concurrent_requests=4)
    before = embeddings.embed_chunks([book])[0]
    assert len(sent(tei_double)) > 100
    for old, new in (
        ("tired of sitting by her sister", "tired indeed of standing by her sister"),
        ("Alice opened the door and found", "She pushed at the door, and found"),
        ("`Who are YOU?' said the Caterpillar.", "`And who are YOU?' asked the Caterpillar."),
    ):
        assert book.count(old) == 1
        after = embeddings.embed_chunks([book.replace(old, new)])[0]
        assert 1 <= len(sent(tei_double)) <= 2
        assert len(after) == len(before)


@pytest.mark.parametrize("embed", [EmbedTexts, EmbedChunks])
def test_a_partition_that_is_tried_again_costs_no_request(tei_double, connect, path, embed):
    partition = {"text": np.array(numbered(70), dtype=object)}
    actor = embed(connect(cache=path))
    first = actor(partition)
    tei_double.forget()
    again = pickle.loads(pickle.dumps(actor))(partition)
    assert np.array_equal(first["embedding"], again["embedding"])
    assert len(tei_double.arrivals) == 0


def test_another_process_finds_what_this_one_kept(drive, tei_double, connect, cache):
    drive.documents(connect(cache=cache), numbered(40))
    close_sessions()  # all that a process has learned
    tei_double.forget()
    assert are_right(drive.documents(connect(cache=cache), numbered(40)), numbered(40))
    [asked] = tei_double.requests  # which model it is
    assert {text[:10] for text in asked.texts} == {text[:10] for text in CANARIES}


def test_queries_are_kept_where_that_is_asked_for(drive, tei_double, connect, path):
    usual = connect(cache=path)
    drive.query(usual, "a question")
    drive.query(usual, "a question")
    assert [entry.texts for entry in tei_double.requests] == [("a question",)] * 2
    tei_double.forget()
    kept = connect(cache=ChunkCache(path, queries=True))
    first = drive.query(kept, "a question")
    assert drive.query(kept, "a question") == first
    assert sent(tei_double) == {"a question"}
    tei_double.configure(rejects="refused")
    with pytest.raises(InputError):
        drive.query(kept, "refused")


def test_prompts_and_settings_make_other_entries(tei_double, connect, path):
    texts = numbered(3)
    connect(cache=path).embed_documents(texts)
    sent(tei_double)
    for task, expected in (
        ({"document_prompt": "d: "}, {f"d: {text}" for text in texts}),
        ({"normalize": False}, set(texts)),
        ({"truncate": False}, set(texts)),
        ({"dimensions": 32}, set(texts)),
        ({"document_prompt": ""}, set()),
    ):
        for rest in (expected, set()):
            connect(cache=path, task_settings=task).embed_documents(texts)
            assert sent(tei_double) == rest, task


def test_a_server_that_cuts_texts_elsewhere_makes_other_entries(tei_double, connect, path):
    texts = numbered(3)
    for most, expected in ((512, set(texts)), (256, set(texts)), (512, set())):
        tei_double.configure(max_input_length=most)
        close_sessions()
        connect(cache=path).embed_documents(texts)
        assert sent(tei_double) == expected


def test_what_fails_is_not_kept_and_the_rest_is(drive, tei_double, connect, path):
    texts = numbered(40)
    tei_double.configure(rejects="text 7")
    embeddings = connect(cache=path)
    for _ in range(2):
        with pytest.raises(Exception, match="text 7"):
            drive.documents(embeddings, texts)
    tei_double.forget()
    tei_double.configure(rejects="")
    assert are_right(drive.documents(embeddings, texts), texts)
    assert sent(tei_double) == {"text 7"}


def test_usage_counts_what_was_found(drive, tei_double, connect, cache):
    embeddings = connect(cache=cache)
    drive.array(embeddings, numbered(40))
    with get_embedding_usage() as usage:
        drive.array(embeddings, numbered(60))
        drive.array(embeddings, numbered(60))
    assert (usage.cache_hits, usage.inputs_sent) == (100, 21)


# int8


def test_int8_takes_a_quarter_of_the_space_and_is_handed_out_as_it_is_kept(drive, connect, path):
    store = InMemoryByteStore()
    texts = numbered(50)
    first = drive.array(connect(cache=ChunkCache(store, dtype="int8")), texts)
    again = drive.array(connect(cache=ChunkCache(store, dtype="int8")), texts)
    assert np.array_equal(first, again)
    right = np.stack([expected_vector(text) for text in texts])
    assert (first * right).sum(axis=1).min() > 0.9995
    assert np.linalg.norm(first, axis=1) == pytest.approx(1, abs=1e-5)
    kept = [len(store.store[key]) for key in store.yield_keys() if "models" not in key]
    assert max(kept) <= WIDTH + 8
    # Whoever asks for all of the precision gets it.
    assert are_right(drive.array(connect(cache=store), texts), texts)
    assert drive.array(connect(cache=ChunkCache(store, dtype="int8")), ["zeros"]).any()


# Another model


def test_nothing_is_used_of_another_model_behind_the_url(drive, path):
    texts = numbered(20)

    def vectors(model):
        with ScriptedEndpoint(plan=None) as double:
            double.configure(**model)
            embeddings = HFEndpointEmbeddings(url=double.url, cache=path)
            return drive.array(embeddings, texts), sent(double)

    assert vectors({})[1] == set(texts)
    assert vectors({})[1] == set()
    narrow, asked = vectors({"dimensions": 64})
    assert asked == set(texts)
    assert narrow.shape == (20, 64)
    assert vectors({})[1] == set()  # the first is back
    assert vectors({"dimensions": 64})[1] == set()


@pytest.mark.parametrize("swap", [faults.swapped(), faults.swapped(0.9)])
def test_nothing_is_kept_of_a_model_that_slips_in_while_a_call_runs(
    drive, tei_double, connect, cache, swap
):
    embeddings = connect(cache=cache, max_batch_size=8, max_concurrent_requests=1)
    texts = numbered(40)
    tei_double.script(None, None, None, swap)
    with pytest.raises(ModelChangedError):
        drive.array(embeddings, texts)
    tei_double.forget()
    close_sessions()
    assert are_right(drive.array(embeddings, texts), texts)
    assert 0 < len(sent(tei_double)) < len(texts)


# Stores that fail, values that are wrong


class Broken(InMemoryByteStore):
    """Fails as it is told."""

    def __init__(self, *, reads=False, writes=False):
        super().__init__()
        self.reads, self.writes, self.tried = reads, writes, 0

    def mget(self, keys):
        self.tried += 1
        if self.reads:
            raise ConnectionError("Redis is away, hf_abcdefghijklmnopqrstuvwxyzabcdefgh")
        return super().mget(keys)

    def mset(self, key_value_pairs):
        if self.writes:
            raise OSError(28, "No space left on device")
        super().mset(key_value_pairs)


@pytest.mark.parametrize("how", [{"reads": True}, {"writes": True}])
def test_a_store_that_fails_is_said_once_and_calls_go_on(drive, connect, caplog, how):
    store = Broken(**how)
    embeddings = connect(cache=store)
    for _ in range(3):
        assert are_right(drive.documents(embeddings, numbered(100)), numbered(100))
    [said] = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert "calls go on without it" in said.getMessage()
    assert "hf_abc" not in said.getMessage()
    assert store.tried <= 2  # it is left alone for a while


SPOILED = {
    "a bit": lambda value: value[:50] + bytes([value[50] ^ 1]) + value[51:],
    "cut": lambda value: value[:-1],
    "longer": lambda value: value + b"\0",
    "empty": lambda _: b"",
    "no bytes": lambda value: value.hex(),
    "zeros": lambda value: bytes(len(value)),
    "of a narrower vector": lambda value: value[:200],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_value_that_is_not_whole_is_none(drive, tei_double, connect, spoil):
    store, texts = InMemoryByteStore(), numbered(10)
    drive.array(connect(cache=store), texts)
    sent(tei_double)
    for key in store.yield_keys():
        store.store[key] = spoil(store.store[key])
    assert are_right(drive.array(connect(cache=store), texts), texts)
    assert sent(tei_double) == set(texts)


def test_values_under_the_keys_of_others_are_none(drive, connect):
    store, texts = InMemoryByteStore(), numbered(10)
    drive.array(connect(cache=store), texts)
    keys = [key for key in store.yield_keys() if "models" not in key]
    values = [store.store[key] for key in keys]
    store.store.update(zip(keys, values[1:] + values[:1], strict=True))
    assert are_right(drive.array(connect(cache=store), texts), texts)


@pytest.mark.parametrize("values", [lambda keys: [], lambda keys: [b"x"] * (len(keys) + 1)])
def test_a_store_that_answers_other_than_asked_is_not_believed(drive, connect, values):
    store, texts = InMemoryByteStore(), numbered(10)
    embeddings = connect(cache=store)
    drive.array(embeddings, texts)
    store.mget = values
    assert are_right(drive.array(embeddings, texts), texts)


# The file


def test_neither_texts_nor_key_stand_in_the_file_which_its_owner_alone_can_open(connect, path):
    embeddings = connect(cache=path, api_key="hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNaRy")
    embeddings.embed_documents(["a very secret text"])
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"secret" not in file.read_bytes()
        assert b"CaNaRy" not in file.read_bytes()


@pytest.mark.parametrize("kind", ["text", "open", "folder", "registry", "link"])
def test_a_file_that_cannot_be_one_is_refused_at_once(path, kind):
    if kind == "text":
        path.write_text("no database" * 1000)
        path.chmod(0o600)
    elif kind == "open":
        path.touch()
        path.chmod(0o644)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(path.with_name("elsewhere"))
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE other (x)")
        connection.close()
        path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"\[cache\]"):
        HFEndpointEmbeddings(url="http://127.0.0.1:9", cache=path)


def test_the_mode_of_another_programs_file_is_nothing_to_change(path):
    path.write_text("root:x:0:0:root:/root:/bin/bash\n")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match=r"is no cache\. Give the path of a cache") as raised:
        HFEndpointEmbeddings(url="http://127.0.0.1:9", cache=path)
    assert "chmod" not in str(raised.value)


def test_a_cache_whose_mode_was_changed_is_told_of_while_it_is_in_use(connect, path):
    connect(cache=path).embed_query("A text.")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match=r"can open it\. Run: chmod 600 .*"):
        ChunkCache(path)


def test_a_cache_in_memory_is_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="InMemoryByteStore"):
        ChunkCache(":memory:")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("wrong", [5, True, {}, object()])
def test_what_is_no_cache_is_named(wrong):
    with pytest.raises(SettingsError, match=r"\[cache\] must be a path, a LangChain BaseStore"):
        HFEndpointEmbeddings(url="http://127.0.0.1:9", cache=wrong)
    with pytest.raises(SettingsError, match=r"\[cache\] .*float32 and int8"):
        ChunkCache(InMemoryByteStore(), dtype="float16")


def test_a_path_that_no_system_has_and_one_of_no_folder_are_named(path, monkeypatch):
    with pytest.raises(SettingsError, match=r"\[cache\] .*embedded null"):
        ChunkCache(f"{path}\0")
    monkeypatch.chdir(path.parent)
    path.parent.rmdir()
    with pytest.raises(SettingsError, match=r"\[cache\] x cannot be found: the working directory"):
        ChunkCache("x")


def test_a_file_that_is_deleted_is_made_anew(drive, tei_double, connect, path):
    embeddings, texts = connect(cache=path), numbered(5)
    drive.documents(embeddings, texts)
    for file in path.parent.iterdir():
        file.unlink()
    sent(tei_double)
    for rest in (set(texts), set()):
        assert are_right(drive.documents(embeddings, texts), texts)
        assert sent(tei_double) == rest


def test_a_pickle_whose_file_cannot_be_opened_elsewhere_goes_on_without_it(
    tmp_path, connect, caplog
):
    folder = tmp_path / "here"
    folder.mkdir()
    content = pickle.dumps(connect(cache=folder / "vectors.cache"))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    elsewhere = pickle.loads(content)
    assert are_right(elsewhere.embed_documents(numbered(3)), numbered(3))
    assert "calls go on without it" in caplog.text


def test_a_dump_leaves_it_out_and_copies_share_it(connect, path):
    embeddings = connect(cache=path)
    assert "cache" not in dumps(embeddings)
    assert str(path) not in repr(embeddings)
    assert copy.deepcopy(embeddings).cache is embeddings.cache
    loaded = pickle.loads(pickle.dumps(connect(cache=ChunkCache(path, dtype="int8", queries=True))))
    assert (loaded.cache.dtype, loaded.cache.queries) == ("int8", True)


def test_many_threads_and_loops_share_one_file(tei_double, connect, path):
    embeddings = connect(cache=path)
    right = []

    def work(number):
        texts = numbered(60)[number:]
        vectors = asyncio.run(embeddings.aembed_array(texts)) if number % 2 else None
        right.append(
            are_right(embeddings.embed_array(texts) if vectors is None else vectors, texts)
        )

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 12
    tei_double.forget()
    work(0)
    assert len(tei_double.arrivals) == 0


def test_while_another_program_holds_the_file_one_waits_and_not_each_in_turn(connect, path):
    embeddings = connect(cache=path)
    embeddings.embed_documents(["warm"])
    store, tried, right = embeddings.cache.store, [], []
    write = store.mset

    def mset(pairs):
        tried.append(pairs)
        write(pairs)

    store.mset = mset

    def work(number):
        texts = [f"new {number}"]
        right.append(are_right(embeddings.embed_documents(texts), texts))

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert right == [True] * 4
    assert len(tried) == 1


def test_another_program_is_waited_for_a_second(path):
    ChunkCache(path)
    with Connections(str(path), CACHE).reading() as connection:
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (1000,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_file_whose_writers_are_killed_holds_what_came_out_and_nothing_wrong(tmp_path):
    kills = amount(10, 200)
    command = [sys.executable, cache_writers.__file__, str(tmp_path), str(kills), "3"]
    run = subprocess.run(command, capture_output=True, check=False, text=True, timeout=1800)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["done"] > 4 * kills
