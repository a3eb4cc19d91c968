"""LangChain's Elasticsearch store: its vectors from us, or by its own client from the gateway."""

import asyncio

import pytest
from langchain_core.embeddings import Embeddings
from recorded_index import RecordedIndex

ID = "hugging-face-embeddings"
TOKEN = "hf_a-token-that-must-not-show"


@pytest.fixture
def node(gateway_url):
    with RecordedIndex(gateway_url) as node:
        yield node


@pytest.fixture
def client(node):
    from elasticsearch import Elasticsearch

    with Elasticsearch(node.url) as client:
        yield client


class InferenceApiEmbeddings(Embeddings):
    """Elastic's inference API, called by an Elasticsearch client."""

    def __init__(self, client):
        self.client = client

    def embed_documents(self, texts):
        return self._vectors(texts, "ingest")

    def embed_query(self, text):
        [vector] = self._vectors([text], "search")
        return vector

    def _vectors(self, texts, kind):
        answer = self.client.inference.text_embedding(inference_id=ID, input=texts, input_type=kind)
        return [row["embedding"] for row in answer["text_embedding"]]


def assert_recorded(node, passages, vectors):
    """The index was created for our width, and holds each passage with its vector."""
    vector_field = node.indices["passages"]["mappings"]["properties"]["vector"]
    assert vector_field["type"] == "dense_vector"
    assert vector_field["dims"] == 384
    put = {source["text"]: source for source in node.documents["passages"].values()}
    assert len(put) == len(passages)
    for passage, vector in zip(passages, vectors, strict=True):
        assert put[passage.page_content]["metadata"] == passage.metadata
        assert put[passage.page_content]["vector"] == pytest.approx(vector, abs=1e-6)


@pytest.fixture
def vectors(embeddings, passages):
    return embeddings.embed_documents([each.page_content for each in passages])


def test_the_store_with_our_embeddings(
    node, client, embeddings, passages, vectors, answers, is_passage_of
):
    from langchain_elasticsearch import ElasticsearchStore

    # Its number of dimensions is known, so it asks nothing to find it out.
    store = ElasticsearchStore(
        "passages", embedding=embeddings, client=client, num_dimensions=embeddings.dimensions
    )
    store.add_documents(passages)
    assert_recorded(node, passages, vectors)
    for question, source in answers.items():
        [found] = store.similarity_search(question, k=1)
        assert is_passage_of(found, source)
        asked = node.searches[-1]["knn"]["query_vector"]
        assert asked == pytest.approx(embeddings.embed_query(question), abs=1e-6)
    assert node.inference == []


async def test_the_async_store_with_our_embeddings(
    node, embeddings, passages, vectors, answers, is_passage_of
):
    from elasticsearch import AsyncElasticsearch
    from langchain_elasticsearch import AsyncElasticsearchStore

    async with AsyncElasticsearch(node.url, node_class="httpxasync") as client:
        store = AsyncElasticsearchStore("passages", embedding=embeddings, client=client)
        await store.aadd_documents(passages)
        assert_recorded(node, passages, vectors)
        found = await asyncio.gather(*(store.asimilarity_search(each, k=1) for each in answers))
    assert all(map(is_passage_of, [only for [only] in found], answers.values()))


def test_the_store_embeds_by_its_own_client_through_the_gateway(
    node, client, local_server, passages, vectors, answers, is_passage_of
):
    from langchain_elasticsearch import ElasticsearchStore

    made = client.inference.put(
        task_type="text_embedding",
        inference_id=ID,
        inference_config={
            "service": "hugging_face",
            "service_settings": {"url": local_server.url, "api_key": TOKEN},
        },
    )
    store = ElasticsearchStore(
        "passages",
        embedding=InferenceApiEmbeddings(client),
        client=client,
        num_dimensions=made["service_settings"]["dimensions"],
    )
    store.add_documents(passages)
    assert_recorded(node, passages, vectors)
    for question, source in answers.items():
        [found] = store.similarity_search(question, k=1)
        assert is_passage_of(found, source)
    asked = [path for method, path in node.inference if method == "POST"]
    assert len(asked) == 1 + len(answers)  # all passages in one call, then each question
    client.inference.delete(inference_id=ID)
    assert TOKEN not in repr([node.indices, node.documents, node.searches, node.inference])
