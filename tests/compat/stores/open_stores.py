"""The stores that docs/stores.md names, opened empty as it opens them, by their names here.

Each takes embeddings of the embedded model, and where it may be: a folder, or a server's URL.
"""

import asyncio
from contextlib import contextmanager
from uuid import uuid4

from langchain_core.vectorstores import InMemoryVectorStore

WIDTH = 384


@contextmanager
def in_memory(embeddings, _where):
    yield InMemoryVectorStore(embeddings)


@contextmanager
def chroma(embeddings, where):
    from langchain_chroma import Chroma

    yield Chroma("passages", embeddings, persist_directory=str(where))


@contextmanager
def faiss(embeddings, _where):
    from faiss import IndexFlatL2
    from langchain_community.docstore import InMemoryDocstore
    from langchain_community.vectorstores import FAISS

    yield FAISS(embeddings, IndexFlatL2(WIDTH), InMemoryDocstore(), {})


@contextmanager
def qdrant(embeddings, where):
    from langchain_qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient
    from qdrant_client.models import Distance, VectorParams

    client = QdrantClient(path=str(where))
    vectors = VectorParams(size=WIDTH, distance=Distance.COSINE)
    client.create_collection("passages", vectors_config=vectors)
    yield QdrantVectorStore(client, "passages", embeddings)
    client.close()


@contextmanager
def lancedb(embeddings, where):
    from langchain_community.vectorstores import LanceDB

    yield LanceDB(embedding=embeddings, uri=str(where), mode="append")


@contextmanager
def milvus(embeddings, where):
    from langchain_milvus import Milvus

    yield Milvus(
        embeddings,
        connection_args={"uri": str(where / "milvus.db")},
        index_params={"index_type": "FLAT", "metric_type": "COSINE"},
    )


@contextmanager
def pgvector(embeddings, where):
    from langchain_postgres import PGEngine, PGVectorStore

    engine = PGEngine.from_connection_string(where)
    table = f"passages_{uuid4().hex}"
    engine.init_vectorstore_table(table, vector_size=WIDTH)
    yield PGVectorStore.create_sync(engine, embeddings, table)
    asyncio.run(engine.close())


@contextmanager
def elasticsearch(embeddings, where):
    from elasticsearch import Elasticsearch
    from langchain_elasticsearch import ElasticsearchStore

    with Elasticsearch(where) as client:
        yield ElasticsearchStore(
            "passages", embedding=embeddings, client=client, num_dimensions=WIDTH
        )


STORES = {
    "in_memory": in_memory,
    "chroma": chroma,
    "faiss": faiss,
    "qdrant": qdrant,
    "lancedb": lancedb,
    "milvus": milvus,
    "pgvector": pgvector,
    "elasticsearch": elasticsearch,
}
