"""LangChain's parts around a store: indexing, caches, retrievers, memory, an agent's tool."""

import pytest
from arrivals import are_right
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import create_retriever_tool
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hf_endpoint import ChunkCache, HFEndpointEmbeddings, HFEndpointTextSplitter

pytestmark = pytest.mark.parametrize("mode", ["sync", "async"])


async def called(mode, part, name, *arguments, **options):
    """Call the method of this name, or its async twin, which is called a…"""
    if mode == "sync":
        return getattr(part, name)(*arguments, **options)
    return await getattr(part, f"a{name}")(*arguments, **options)


@pytest.fixture
def logged(tei_double):
    """Embeddings of a server that writes down what arrives; `logged.arrived()` takes the texts."""
    tei_double.forget()

    class Logged(HFEndpointEmbeddings):
        def arrived(self):
            texts = [text for entry in tei_double.requests for text in entry.texts]
            tei_double.forget()
            return texts

    return Logged(url=tei_double.url)


# Indexing


def numbered(count, version=1):
    return [
        Document(f"Passage {number}, version {version}.", metadata={"source": f"{number}.txt"})
        for number in range(count)
    ]


@pytest.fixture
async def record_manager(mode, tmp_path):
    """LangChain's, in a SQLite file."""
    from langchain_classic.indexes import SQLRecordManager

    is_async = mode == "async"
    url = f"{'sqlite+aiosqlite' if is_async else 'sqlite'}:///{tmp_path / 'records.db'}"
    made = SQLRecordManager("passages", db_url=url, async_mode=is_async)
    await called(mode, made, "create_schema")
    yield made
    closed = made.engine.dispose()
    if is_async:
        await closed


async def indexed(mode, documents, record_manager, store):
    from langchain_classic import indexes

    return await called(
        mode,
        indexes,
        "index",
        documents,
        record_manager,
        store,
        cleanup="incremental",
        source_id_key="source",
        key_encoder="sha256",
    )


async def test_a_second_run_of_index_embeds_nothing(mode, logged, record_manager):
    store = InMemoryVectorStore(logged)
    documents = numbered(250)
    first = await indexed(mode, documents, record_manager, store)
    assert first["num_added"] == 250
    assert sorted(logged.arrived()) == sorted(each.page_content for each in documents)

    second = await indexed(mode, documents, record_manager, store)
    assert second["num_skipped"] == 250
    assert logged.arrived() == []

    documents[7:9] = numbered(9, version=2)[7:9]
    third = await indexed(mode, documents, record_manager, store)
    assert (third["num_added"], third["num_deleted"], third["num_skipped"]) == (2, 2, 248)
    assert sorted(logged.arrived()) == [each.page_content for each in documents[7:9]]
    [found] = await called(mode, store, "similarity_search", documents[8].page_content, k=1)
    assert found.metadata == {"source": "8.txt"}
    assert found.page_content == documents[8].page_content


# A cache before the endpoint


async def test_cached_embeddings_ask_for_nothing_twice(mode, logged, tmp_path):
    from langchain_classic.embeddings import CacheBackedEmbeddings
    from langchain_classic.storage import LocalFileStore

    cached = CacheBackedEmbeddings.from_bytes_store(
        logged,
        LocalFileStore(tmp_path / "documents"),
        namespace=logged.endpoint.inference_id,
        query_embedding_cache=LocalFileStore(tmp_path / "queries"),
        key_encoder="sha256",
    )
    texts = ["A text.", "Another.", "A text."]
    vectors = await called(mode, cached, "embed_documents", texts)
    vector = await called(mode, cached, "embed_query", "A text.")
    # The same text is sent once as a document, and once as a query, whose prompt may differ.
    assert sorted(logged.arrived()) == ["A text.", "A text.", "Another."]
    assert are_right(vectors, texts)

    again = await called(mode, cached, "embed_documents", [*texts, "A third."])
    assert logged.arrived() == ["A third."]
    assert again[:3] == vectors
    assert await called(mode, cached, "embed_query", "A text.") == vector
    assert logged.arrived() == []


async def test_cached_embeddings_stand_before_a_cache_of_chunks(mode, logged, tmp_path):
    from langchain_classic.embeddings import CacheBackedEmbeddings
    from langchain_classic.storage import LocalFileStore

    store = LocalFileStore(tmp_path / "vectors")
    with_cache = logged.model_copy(update={"cache": ChunkCache(store)})
    cached = CacheBackedEmbeddings.from_bytes_store(
        with_cache, store, namespace="a-model", key_encoder="sha256"
    )
    vectors = await called(mode, cached, "embed_documents", ["A text.", "Another."])
    assert are_right(vectors, ["A text.", "Another."])
    logged.arrived()
    assert await called(mode, cached, "embed_documents", ["A text.", "Another."]) == vectors
    assert await called(mode, with_cache, "embed_documents", ["A text.", "Another."]) == vectors
    assert logged.arrived() == []


# A retriever of whole documents by their passages


async def test_a_parent_comes_by_one_of_its_passages(mode, embeddings, sources, answers):
    from langchain_classic.retrievers import ParentDocumentRetriever
    from langchain_classic.storage import InMemoryStore

    settings = {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0}
    store = InMemoryVectorStore(embeddings)
    retriever = ParentDocumentRetriever(
        vectorstore=store,
        docstore=InMemoryStore(),
        child_splitter=HFEndpointTextSplitter(settings),
        search_kwargs={"k": 1},
    )
    await called(mode, retriever, "add_documents", list(sources.values()))
    assert len(store.store) > len(sources)  # passages are what is embedded
    for question, source in answers.items():
        [found] = await called(mode, retriever, "invoke", question)
        assert found.page_content == sources[source].page_content


# LangGraph


@pytest.fixture
def memory(embeddings):
    from langgraph.store.memory import InMemoryStore

    index = {"embed": embeddings, "dims": embeddings.dimensions, "fields": ["text"]}
    return InMemoryStore(index=index)


async def test_the_memory_of_langgraph_finds_what_was_put(mode, memory, passages, answers):
    for number, passage in enumerate(passages):
        value = {"text": passage.page_content, **passage.metadata}
        await called(mode, memory, "put", ("notes",), str(number), value)
    for question, source in answers.items():
        [found] = await called(mode, memory, "search", ("notes",), query=question, limit=1)
        assert found.value["source"] == source


async def test_its_batches_are_embedded_at_once(mode, memory, passages, answers):
    from langgraph.store.base import PutOp, SearchOp

    puts = [
        PutOp(("notes",), str(number), {"text": passage.page_content, **passage.metadata})
        for number, passage in enumerate(passages)
    ]
    await called(mode, memory, "batch", puts)
    searches = [SearchOp(("notes",), query=question, limit=1) for question in answers]
    found = await called(mode, memory, "batch", searches)
    assert [only.value["source"] for [only] in found] == list(answers.values())


class Scripted(GenericFakeChatModel):
    """A chat model that says what it is told to."""

    def bind_tools(self, tools, **_):
        return self


async def test_an_agent_reads_the_right_passage_through_its_tool(
    mode, embeddings, passages, answers
):
    from langchain.agents import create_agent

    store = InMemoryVectorStore(embeddings)
    await called(mode, store, "add_documents", passages)
    retriever = store.as_retriever(search_kwargs={"k": 1})
    tool = create_retriever_tool(retriever, "look_up", "Looks things up in the town's guide.")
    calls = [
        {"name": "look_up", "args": {"query": question}, "id": source}
        for question, source in answers.items()
    ]
    script = [AIMessage("", tool_calls=calls), AIMessage("That is what the guide says.")]
    agent = create_agent(Scripted(messages=iter(script)), [tool])
    said = await called(mode, agent, "invoke", {"messages": [("user", "Three things.")]})
    read = [each for each in said["messages"] if isinstance(each, ToolMessage)]
    assert [each.tool_call_id for each in read] == list(answers.values())
    for each in read:
        [passage] = [one for one in passages if one.page_content == each.content]
        assert passage.metadata["source"] == each.tool_call_id
    assert said["messages"][-1].content == "That is what the guide says."
