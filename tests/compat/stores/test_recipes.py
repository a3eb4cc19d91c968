"""The recipes of docs/stores.md, as they stand there, with each store that the page names."""

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from open_stores import STORES
from pages import ROOT, blocks

from langchain_hf_endpoint import HFEndpointTextSplitter

pytestmark = pytest.mark.parametrize("name", STORES)


@pytest.fixture
def recipe(embeddings, passages, tmp_path, monkeypatch):
    """What the page's block defines that defines this; its own example is run too."""
    monkeypatch.chdir(tmp_path)

    def defined(name):
        names = {
            "Document": Document,
            "InMemoryVectorStore": InMemoryVectorStore,
            "embeddings": embeddings,
            "passages": passages,
            "splitter": HFEndpointTextSplitter(
                {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0}
            ),
        }
        [source] = [
            source
            for _, source in blocks(ROOT / "docs" / "stores.md")
            if f"\ndef {name}(" in source
        ]
        exec(source, names)
        return names[name]

    return defined


@pytest.fixture
def records(tmp_path):
    from langchain_classic.indexes import SQLRecordManager

    made = SQLRecordManager("of the test", db_url=f"sqlite:///{tmp_path / 'of_the_test.db'}")
    made.create_schema()
    yield made
    made.engine.dispose()


def test_index_adds_skips_and_replaces(
    name, recipe, records, opened_store, embeddings, passages, answers, is_passage_of
):
    index_passages = recipe("index_passages")
    store = opened_store(name, embeddings)
    assert index_passages(passages, records, store)["num_added"] == len(passages)
    assert index_passages(passages, records, store)["num_skipped"] == len(passages)
    for question, source in answers.items():
        [found] = store.similarity_search(question, k=1)
        assert is_passage_of(found, source)

    changed = [
        Document("Planets are shown on Mondays.", metadata=passage.metadata)
        if passage.metadata["source"] == "observatory" and passage.metadata["start_index"] == 0
        else passage
        for passage in passages
    ]
    done = index_passages(changed, records, store)
    assert (done["num_added"], done["num_deleted"]) == (1, 1)
    found = store.similarity_search("The observatory stands on a hill.", k=len(passages) + 1)
    assert sorted(each.page_content for each in found) == sorted(
        each.page_content for each in changed
    )


def test_a_cache_stands_before_the_endpoint(
    name, recipe, opened_store, embeddings, passages, answers, is_passage_of, tmp_path
):
    cached = recipe("with_cache")(embeddings, tmp_path / "cache")
    store = opened_store(name, cached)
    store.add_documents(passages)
    for question, source in answers.items():
        [found] = store.similarity_search(question, k=1)
        assert is_passage_of(found, source)
    assert len(list((tmp_path / "cache" / "documents").rglob("*"))) >= len(passages)


def test_a_parent_comes_by_its_passage(name, recipe, opened_store, embeddings, sources, answers):
    retriever = recipe("by_passage")(opened_store(name, embeddings))
    retriever.add_documents(list(sources.values()))
    for question, source in answers.items():
        [found] = retriever.invoke(question)
        assert found.page_content == sources[source].page_content
