"""The vector stores people use, each embedded and real: documents in, the right passage out."""

import asyncio

import pytest

from langchain_hf_endpoint import InputError


@pytest.fixture(params=["in_memory", "chroma", "faiss", "qdrant", "lancedb", "milvus", "pgvector"])
def store(request, embeddings, opened_store):
    """An empty store that embeds with a real model."""
    return opened_store(request.param, embeddings)


def test_the_right_passage_comes_out(store, passages, answers, is_passage_of):
    store.add_documents(passages)
    for question, source in answers.items():
        [found] = store.similarity_search(question, k=1)
        assert is_passage_of(found, source)


async def test_the_right_passage_comes_out_asynchronously(store, passages, answers, is_passage_of):
    await store.aadd_documents(passages)
    found = await asyncio.gather(*(store.asimilarity_search(each, k=1) for each in answers))
    assert all(map(is_passage_of, [only for [only] in found], answers.values()))


def test_a_retriever_asks_from_many_threads(store, passages, answers, is_passage_of):
    store.add_texts(
        [each.page_content for each in passages], metadatas=[each.metadata for each in passages]
    )
    retriever = store.as_retriever(search_kwargs={"k": 1})
    found = retriever.batch(list(answers) * 4)
    assert all(map(is_passage_of, [only for [only] in found], [*answers.values()] * 4))


def test_an_error_of_ours_comes_through_as_it_is(store):
    with pytest.raises(InputError) as caught:
        store.add_texts(["A text.", " ", "Another."])
    assert caught.value.index == 1


@pytest.mark.parametrize(
    "store", ["in_memory", "chroma", "faiss", "qdrant", "lancedb", "milvus"], indirect=True
)
def test_no_file_of_a_store_holds_the_key(store, passages, tmp_path, key):
    store.add_documents(passages)
    for save in ("dump", "save_local"):
        if hasattr(store, save):
            getattr(store, save)(str(tmp_path / "saved"))
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert written
    assert key.encode() not in written
