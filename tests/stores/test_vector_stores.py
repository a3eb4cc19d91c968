"""The vector stores people use, each embedded and real: documents in, the right passage out."""

import asyncio
from contextlib import contextmanager
from uuid import uuid4

import pytest
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hf_endpoint import InputError


@contextmanager
def in_memory(embeddings, _folder):
    yield InMemoryVectorStore(embeddings)


@contextmanager
def chroma(embeddings, folder):
    from langchain_chroma import Chroma

    yield Chroma("passages", embeddings, persist_directory=str(folder))


@contextmanager
def faiss(embeddings, _folder):
    from faiss import IndexFlatL2
    from langchain_community.docstore import InMemoryDocstore
    from langchain_community.vectorstores import FAISS

    yield FAISS(embeddings, IndexFlatL2(embeddings.dimensions), InMemoryDocstore(), {})


@contextmanager
def qdrant(embeddings, folder):
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    client = QdrantClient(path=str(folder))
    vectors = VectorParams(size=embeddings.dimensions, distance=Distance.COSINE)
    client.create_collection("passages", vectors_config=vectors)
    yield QdrantVectorStore(client, "passages", embeddings)
    client.close()


@contextmanager
def lancedb(embeddings, folder):
    from langchain_community.vectorstores import LanceDB

    yield LanceDB(embedding=embeddings, uri=str(folder))


@contextmanager
def milvus(embeddings, folder):
    from langchain_milvus import Milvus

    yield Milvus(
        embeddings,
        connection_args={"uri": str(folder / "milvus.db")},
        index_params={"index_type": "FLAT", "metric_type": "COSINE"},
    )


@contextmanager
def _pgvector(embeddings, uri):
    from langchain_postgres import PGEngine, PGVectorStore

    engine = PGEngine.from_connection_string(uri)
    table = f"passages_{uuid4().hex}"
    engine.init_vectorstore_table(table, vector_size=embeddings.dimensions)
    yield PGVectorStore.create_sync(engine, embeddings, table)
    asyncio.run(engine.close())


@pytest.fixture(params=["in_memory", "chroma", "faiss", "qdrant", "lancedb", "milvus", "pgvector"])
def store(request, embeddings, tmp_path):
    """An empty store that embeds with a real model."""
    if request.param == "pgvector":
        opened = _pgvector(embeddings, request.getfixturevalue("postgres"))
    else:
        opened = globals()[request.param](embeddings, tmp_path)
    with opened as made:
        yield made


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
