"""What Ray's actors do with a batch: the classes alone, over the TEI double."""

import json
import pickle

import numpy as np
import pytest
from arrivals import are_right, numbered

from langchain_hf_endpoint import EmbeddingError, HFEndpointEmbeddings, SettingsError
from langchain_hf_endpoint.ray import EmbedChunks, EmbedTexts
from langchain_hf_endpoint.testing import Fault, Reply, expected_vector

LONG = " ".join(f"word{number}" for number in range(25))


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
    batch = {"id": np.array(["a", "b"]), "text": np.array(["short", LONG])}
    columns = EmbedChunks(embeddings)(batch)
    assert columns["id"].tolist() == ["a", "b", "b", "b"]
    for text, start, end, vector in zip(
        *(columns[name] for name in ("text", "start", "end", "embedding")), strict=True
    ):
        assert text in ("short", LONG[start:end])
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


def as_column(texts):
    return {"id": np.arange(len(texts)), "text": np.array(texts, dtype=object)}


def test_one_in_a_hundred_texts_that_fail_gets_a_null_and_the_error_and_the_others_vectors(
    embeddings, tei_double, caplog
):
    tei_double.configure(rejects="<bad>")
    texts = numbered(1000)
    for row in range(50, 1000, 100):
        texts[row] = ["<bad> text", "  ", None, float("nan"), "\ud800"][row // 100 % 5]
    embed = pickle.loads(pickle.dumps(EmbedTexts(embeddings, on_error="column")))
    batches = [embed(as_column(texts[start : start + 250])) for start in range(0, 1000, 250)]
    vectors, errors = (
        [one for batch in batches for one in batch[name]] for name in ("embedding", "error")
    )
    failed = [row for row, error in enumerate(errors) if error]
    assert failed == list(range(50, 1000, 100))
    assert [row for row, vector in enumerate(vectors) if vector is None] == failed
    came_out = [row for row in range(1000) if row not in failed]
    assert are_right([vectors[row] for row in came_out], [texts[row] for row in came_out])
    assert {type(number) for number in vectors[0]} == {np.float32}
    assert [error.partition(":")[0] for error in errors if error] == ["InputError"] * 10
    assert errors[150] == "InputError: is empty or blank"
    logged = [record.getMessage() for record in caplog.records if "of a batch" in record.msg]
    assert [" ".join(words.split()[:3]) for words in logged] == [
        "2 of the",
        "3 of the",
        "2 of the",
        "3 of the",
    ]
    assert "10 of 1000 so far" in logged[-1]


def test_without_it_the_call_fails_as_before(embeddings, tei_double):
    tei_double.configure(rejects="<bad>")
    with pytest.raises(EmbeddingError):
        EmbedTexts(embeddings)(as_column(["good", "<bad>"]))


def test_a_text_that_fails_is_one_row_among_the_chunks_of_the_others(embeddings, tei_double):
    tei_double.configure(rejects="<bad>")
    bad = f"{LONG} <bad>"
    embed = EmbedChunks(embeddings, on_error="column", error_column="why")
    columns = embed(as_column(["short", bad, None, LONG]))
    assert list(columns) == ["id", "text", "start", "end", "embedding", "why"]
    assert columns["id"].tolist() == [0, 1, 2, 3, 3, 3]
    assert columns["text"].tolist()[:3] == ["short", bad, None]
    assert columns["start"].tolist()[1:3] == [0, 0]
    assert columns["end"].tolist()[1:3] == [len(bad), 0]
    assert [bool(why) for why in columns["why"]] == [False, True, True, False, False, False]
    for text, vector, why in zip(*(columns[n] for n in ("text", "embedding", "why")), strict=True):
        assert vector is None if why else np.array_equal(vector, expected_vector(text))


@pytest.mark.parametrize("embed", [EmbedTexts, EmbedChunks])
def test_a_column_has_one_type_with_and_without_failures(embeddings, tei_double, embed):
    pyarrow = pytest.importorskip("pyarrow")
    tei_double.configure(rejects="<bad>")
    embed = embed(embeddings, on_error="column")
    types = [
        [pyarrow.array(embed(as_column(texts))[name]).type for name in ("embedding", "error")]
        for texts in (["good", "another"], ["good", "<bad>"])
    ]
    assert types == [[pyarrow.list_(pyarrow.float32()), pyarrow.string()]] * 2


def test_an_outage_is_in_the_column_of_every_row_without_the_key(tei_double, caplog):
    tei_double.configure(api_key="hf_the-right-key")
    embeddings = HFEndpointEmbeddings(url=tei_double.url, api_key="hf_a-wrong-key-of-ours")
    columns = EmbedTexts(embeddings, on_error="column")(as_column(["one", "two"]))
    assert columns["embedding"].tolist() == [None, None]
    assert all(error.startswith("AuthenticationError: ") for error in columns["error"])
    assert "wrong-key" not in f"{columns['error']} {caplog.text}"


def test_what_a_server_repeats_of_a_text_is_not_in_the_column(embeddings, tei_double, caplog):
    secret = "the patient's name is Alexandra and nobody may know it. " * 3
    words = json.dumps({"error": f"cannot read {secret[:100]!r}", "error_type": "Validation"})
    unreadable = Fault("unreadable", answer=Reply(422, words.encode()))
    tei_double.script(*[unreadable] * 20, containing="Alexandra")
    columns = EmbedTexts(embeddings, on_error="column")(as_column(["good", secret]))
    assert columns["error"][1].startswith("InputError: ")
    assert "Alexandra" not in f"{columns['error']} {caplog.text}"


def test_on_error_is_one_of_two(embeddings):
    with pytest.raises(SettingsError, match="must be raise or column, not 'ignore'"):
        EmbedTexts(embeddings, on_error="ignore")
