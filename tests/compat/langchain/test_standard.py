"""LangChain's own standard tests, and its parts that are put around embeddings."""

import asyncio
import json

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd, dumps
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_hf_endpoint import (
    HFEndpointEmbeddings,
    HFEndpointTextSplitter,
    InferenceEndpoint,
)
from langchain_hf_endpoint._session.session import close_sessions

KEY = "hf_a-key-that-must-not-show"


@pytest.fixture(autouse=True)
def _nothing_left_over(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield
    close_sessions()


class TestStandardUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self):
        return HFEndpointEmbeddings

    @property
    def embedding_model_params(self):
        return {"url": "https://abc.us-east-1.aws.endpoints.huggingface.cloud", "api_key": KEY}

    @property
    def init_from_env_params(self):
        # The key is read where a request is sent; the object is made without it.
        return {"HF_TOKEN": KEY}, {"url": "https://abc.endpoints.huggingface.cloud"}, {}


class TestStandardIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _server(self, local_server):
        self.url = local_server.url

    @property
    def embeddings_class(self):
        return HFEndpointEmbeddings

    @property
    def embedding_model_params(self):
        return {"url": self.url}


# A vector store, end to end

SOURCES = {
    "bakery": "The bakery opens at six. Its rye bread is baked in a wood-fired stone oven. "
    "On Sundays it sells out before nine.",
    "observatory": "The observatory stands on a hill above the town. Its telescope was built to "
    "watch the moons of Jupiter. Visitors may look through it on clear nights.",
    "harbour": "Fishing boats leave the harbour before dawn. A lighthouse warns them of the rocks. "
    "The catch is sold on the quay at noon.",
}
QUESTIONS = {
    "Where can I see planets?": "observatory",
    "Who sells fresh loaves?": "bakery",
    "What guides ships away from danger at night?": "harbour",
}


@pytest.fixture
def embeddings(local_server):
    return HFEndpointEmbeddings(url=local_server.url)


@pytest.fixture
def passages():
    splitter = HFEndpointTextSplitter(
        {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0},
        add_start_index=True,
    )
    sources = [Document(text, metadata={"source": name}) for name, text in SOURCES.items()]
    passages = splitter.split_documents(sources)
    assert len(passages) > len(sources)
    return passages


def _assert_passages_of(source, found):
    assert found.metadata["source"] == source
    start = found.metadata["start_index"]
    assert SOURCES[source][start:].startswith(found.page_content)


def test_a_vector_store_finds_the_passage_that_answers(embeddings, passages):
    store = InMemoryVectorStore.from_documents(passages, embeddings)
    for question, source in QUESTIONS.items():
        [found] = store.similarity_search(question, k=1)
        _assert_passages_of(source, found)
    [(found, score)] = store.similarity_search_with_score(passages[0].page_content, k=1)
    assert found.page_content == passages[0].page_content
    assert score == pytest.approx(1.0, abs=1e-3)


async def test_a_vector_store_finds_it_asynchronously(embeddings, passages):
    store = await InMemoryVectorStore.afrom_documents(passages, embeddings)
    questions = list(QUESTIONS)
    results = await asyncio.gather(*(store.asimilarity_search(each, k=1) for each in questions))
    for question, [found] in zip(questions, results, strict=True):
        _assert_passages_of(QUESTIONS[question], found)


def test_a_retriever_batches_in_threads_inside_a_chain(embeddings, passages):
    store = InMemoryVectorStore.from_documents(passages, embeddings)
    chain = store.as_retriever(search_kwargs={"k": 1}) | RunnableLambda(
        lambda found: found[0].metadata["source"]
    )
    assert chain.batch(list(QUESTIONS)) == list(QUESTIONS.values())
    assert asyncio.run(chain.abatch(list(QUESTIONS))) == list(QUESTIONS.values())


def test_a_sync_store_works_inside_a_running_loop(embeddings, passages):
    async def cell():
        store = InMemoryVectorStore.from_documents(passages, embeddings)
        return store.similarity_search("Where can I see planets?", k=1)

    [found] = asyncio.run(cell())
    _assert_passages_of("observatory", found)


def test_maximal_marginal_relevance_gives_passages_that_differ(embeddings, passages):
    store = InMemoryVectorStore.from_documents(passages + passages, embeddings)
    found = store.max_marginal_relevance_search("Where can I see planets?", k=3, lambda_mult=0.3)
    assert len({each.page_content for each in found}) == 3


# What LangChain writes down


def _made_with_the_key():
    endpoint = InferenceEndpoint.from_config(
        task_type="text_embedding",
        inference_id="hugging-face-embeddings",
        inference_config={
            "service": "hugging_face",
            "service_settings": {"api_key": KEY, "url": "https://example.com/embed"},
        },
    )
    return {
        "endpoint": endpoint,
        "embeddings": HFEndpointEmbeddings(endpoint=endpoint),
        "short": HFEndpointEmbeddings(url="https://example.com", api_key=KEY),
    }


@pytest.mark.parametrize("name", list(_made_with_the_key()))
def test_what_langchain_dumps_has_no_key(name):
    made = _made_with_the_key()[name]
    for written in (dumps(made), json.dumps(dumpd(made)), dumps({"in": [made]}, pretty=True)):
        assert KEY not in written
        json.loads(written)


def test_a_store_that_is_dumped_to_a_file_has_no_key(tmp_path, local_server, passages):
    embeddings = HFEndpointEmbeddings(url=local_server.url, api_key=KEY)
    store = InMemoryVectorStore.from_documents(passages, embeddings)
    store.dump(str(tmp_path / "store.json"))
    assert KEY not in (tmp_path / "store.json").read_text()
    again = InMemoryVectorStore.load(str(tmp_path / "store.json"), embeddings)
    [found] = again.similarity_search("Where can I see planets?", k=1)
    _assert_passages_of("observatory", found)
