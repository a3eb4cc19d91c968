"""What Ray's actors do with a batch: the classes alone, over the TEI double."""

import pickle

import numpy as np
import pytest
from arrivals import are_right, numbered

from langchain_hf_endpoint import HFEndpointEmbeddings, SettingsError
from langchain_hf_endpoint.ray import EmbedChunks, EmbedTexts
from langchain_hf_endpoint.testing import expected_vector


@pytest.fixture
def embeddings(tei_double):
    return HFEndpointEmbeddings(
        url=tei_double.url,
        chunking_settings={"strategy": "word", "max_chunking_size": 10, "overlap": 0},
    )


def test_each_text_gets_a_vector_beside_the_other_columns(embeddings):
    texts = numbered(5)
    batch = {"id": np.arange(5), "body": np.array(texts, dtype=object)}
    embed = EmbedTexts(embeddings, text_column="body", vector_column="vector")
    columns = embed(batch)
    assert list(columns) == ["id", "body", "vector"]
    assert columns["vector"].dtype == np.float32
    assert are_right(columns["vector"], texts)
    assert are_right(pickle.loads(pickle.dumps(embed))(batch)["vector"], texts)


def test_each_chunk_becomes_a_row_with_the_columns_of_its_text(embeddings):
    long = " ".join(f"word{number}" for number in range(25))
    batch = {"id": np.array(["a", "b"]), "text": np.array(["short", long])}
    columns = EmbedChunks(embeddings)(batch)
    assert columns["id"].tolist() == ["a", "b", "b", "b"]
    for text, start, end, vector in zip(
        *(columns[name] for name in ("text", "start", "end", "embedding")), strict=True
    ):
        assert text in ("short", long[start:end])
        assert np.array_equal(vector, expected_vector(text))
    assert columns["start"].tolist()[:2] == [0, 0]


def test_a_column_that_is_not_there_is_named_along_with_those_that_are(embeddings):
    with pytest.raises(SettingsError, match=r"no column 'text'; these are: id, body"):
        EmbedTexts(embeddings)({"id": np.arange(1), "body": np.array(["x"])})


def test_a_batch_without_rows_has_the_columns_all_the_same(embeddings):
    nothing = {"id": np.array([], dtype=np.int64), "text": np.array([], dtype=object)}
    embeddings.embed_query("how wide are vectors?")
    chunks, texts = EmbedChunks(embeddings)(nothing), EmbedTexts(embeddings)(nothing)
    assert list(chunks) == ["id", "text", "start", "end", "embedding"]
    assert {len(column) for column in (*chunks.values(), *texts.values())} == {0}
    assert chunks["embedding"].shape == texts["embedding"].shape == (0, len(expected_vector("x")))
    assert chunks["embedding"].dtype == np.float32
