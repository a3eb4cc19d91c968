"""LlamaIndex's real package over our embedding model: indexes, batches, events, dumps, pickles."""

import asyncio
import gc
import json
import logging
import pickle
import re

import httpx
import numpy as np
import pytest
from arrivals import are_right, numbered, wait_for_posts
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent, EmbeddingStartEvent
from llama_index.core.node_parser import SemanticSplitterNodeParser
from llama_index.core.rate_limiter import TokenBucketRateLimiter
from llama_index.core.schema import MetadataMode, TextNode
from llama_index.core.storage.kvstore import SimpleKVStore

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    HFEndpointEmbeddings,
    InferenceEndpoint,
    InputError,
    RequestsPerMinuteLimiter,
    SettingsError,
)
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.llama_index import HFEndpointEmbedding, HFEndpointNodeParser
from langchain_hf_endpoint.testing import expected_vector, faults

HOSTED = "https://x.endpoints.huggingface.cloud"
KEY = "hf_a-key-that-must-not-show"
FAST = {"requests_per_minute": 100_000}
MODES = pytest.mark.parametrize("mode", ["sync", "async"])


async def called(mode, part, name, *arguments, **options):
    """Call the method of this name, or its async twin, which is called a…"""
    if mode == "sync":
        return getattr(part, name)(*arguments, **options)
    return await getattr(part, f"a{name}")(*arguments, **options)


@pytest.fixture
def connect(tei_double):
    """An embedding model over a server that writes down what arrives."""
    tei_double.forget()

    def connect(**settings):
        return HFEndpointEmbedding(url=tei_double.url, **{"rate_limit": FAST, **settings})

    return connect


@pytest.fixture
def _collected():
    """For tests of `use_async`, for which LlamaIndex makes an event loop and closes it too soon.

    It does not finish the loop's async generators, as `asyncio.run` does, so the connections stay
    open until they are collected: here, and not in a test that would be blamed for it.
    """
    yield
    close_sessions()
    gc.collect()


def posts(tei_double):
    return [list(entry.texts) for entry in tei_double.requests]


# Indexes


@MODES
@pytest.mark.usefixtures("_collected")
async def test_a_vector_store_index_finds_the_passage_that_answers(
    mode, local_server, sources, answers
):
    model = HFEndpointEmbedding(url=local_server.url)
    model.embeddings.endpoint.describe()
    assert model.dimensions == 384
    documents = [
        Document(text=each.page_content, metadata=each.metadata) for each in sources.values()
    ]
    parser = HFEndpointNodeParser(
        {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 0}
    )
    index = VectorStoreIndex.from_documents(
        documents, embed_model=model, transformations=[parser], use_async=mode == "async"
    )
    retriever = index.as_retriever(similarity_top_k=1)
    for question, source in answers.items():
        [found] = await called(mode, retriever, "retrieve", question)
        node, text = found.node, sources[source].page_content
        assert node.metadata["source"] == source
        assert text[node.start_char_idx : node.end_char_idx] == node.text != text


@MODES
async def test_an_ingestion_pipeline_gives_nodes_with_vectors_of_python_floats(mode, connect):
    documents = [Document(text=text) for text in numbered(40)]
    pipeline = IngestionPipeline(transformations=[HFEndpointNodeParser(), connect()])
    nodes = await called(mode, pipeline, "run", documents=documents)
    assert [node.text for node in nodes] == numbered(40)
    assert {type(number) for node in nodes for number in node.embedding} == {float}
    assert are_right([node.embedding for node in nodes], numbered(40))


@MODES
async def test_a_splitter_of_llama_index_cuts_by_meaning_with_our_vectors(mode, local_server):
    about_bread = ["The bakery opens at six. ", "Its bread is baked in a stone oven. "]
    about_stars = ["The telescope watches Jupiter. ", "Visitors see the moons of Saturn."]
    splitter = SemanticSplitterNodeParser(
        embed_model=HFEndpointEmbedding(url=local_server.url),
        buffer_size=0,
        breakpoint_percentile_threshold=90,
        sentence_splitter=lambda text: re.findall(r"[^.]+\. ?", text),
    )
    document = Document(text="".join(about_bread + about_stars))
    nodes = await called(mode, splitter, "get_nodes_from_documents", [document])
    assert [node.text for node in nodes] == ["".join(about_bread), "".join(about_stars)]


# Prompts and batches


@MODES
async def test_queries_and_texts_get_their_own_prompts(mode, connect, tei_double):
    prompts = {"query_prompt": "query: ", "document_prompt": "passage: "}
    model = connect(task_settings=prompts)
    vector = await called(mode, model, "get_query_embedding", "What?")
    assert vector == pytest.approx(expected_vector("query: What?").tolist(), abs=1e-7)
    await called(mode, model, "get_text_embedding", "This.")
    await called(mode, model, "get_text_embedding_batch", ["That.", "Those."])
    assert [sorted(texts) for texts in posts(tei_double)] == [
        ["query: What?"],
        ["passage: This."],
        ["passage: That.", "passage: Those."],
    ]


@MODES
@pytest.mark.usefixtures("_collected")
async def test_five_hundred_nodes_arrive_in_full_requests(mode, connect, tei_double):
    index = VectorStoreIndex(
        [TextNode(text=text) for text in numbered(500)],
        embed_model=connect(),
        use_async=mode == "async",
    )
    sizes = [len(texts) for texts in posts(tei_double)]
    assert sorted(sizes) == [500 % 32] + [32] * (500 // 32)
    vectors = index.vector_store.data.embedding_dict
    assert len(vectors) == 500


@MODES
async def test_five_thousand_texts_arrive_in_full_requests(mode, connect, tei_double):
    texts = numbered(5000)
    vectors = await called(mode, connect(), "get_text_embedding_batch", texts)
    assert are_right(vectors, texts)
    sizes = [len(texts) for texts in posts(tei_double)]
    assert len(sizes) == 64 + 64 + 29  # of 2048, 2048 and 904 that LlamaIndex hands over
    assert sum(sizes) == 5000
    assert sum(size < 32 for size in sizes) == 1


@MODES
async def test_a_text_of_several_chunks_is_one_vector_and_equal_texts_are_sent_once(
    mode, connect, tei_double
):
    model = connect(chunking_settings={"strategy": "word", "max_chunking_size": 10, "overlap": 0})
    long = " ".join(f"word{number}" for number in range(30))
    vectors = await called(mode, model, "get_text_embedding_batch", [long, "Short.", "Short."])
    assert [len(vector) for vector in vectors] == [384] * 3
    assert vectors[1] == vectors[2]
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-6)
    [texts] = posts(tei_double)
    assert len(texts) == 4


async def test_async_calls_leave_the_loop_to_others(connect, tei_double):
    tei_double.script(faults.hang(), containing="waits")
    model = connect()
    waiting = asyncio.create_task(model.aget_text_embedding("It waits."))
    await asyncio.to_thread(wait_for_posts, tei_double)
    # Were the loop blocked by the first call, the second would never be made.
    assert are_right([await model.aget_text_embedding("It does not.")], ["It does not."])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_sync_calls_work_inside_a_running_loop(connect):
    assert are_right(connect().get_text_embedding_batch(numbered(3)), numbered(3))


# A cache of LlamaIndex's, and failures


@MODES
async def test_its_cache_saves_the_requests(mode, connect, tei_double):
    model = connect(embeddings_cache=SimpleKVStore())
    first = await called(mode, model, "get_text_embedding_batch", numbered(10))
    again = await called(mode, model, "get_text_embedding_batch", numbered(12))
    assert again[:10] == first
    assert posts(tei_double) == [numbered(10), numbered(12)[10:]]


@MODES
async def test_a_text_that_is_refused_fails_alone(mode, connect, tei_double):
    no = {"error": "no", "error_type": "Tokenizer"}
    tei_double.script(*[faults.answer(422, no)] * 9, containing="text 7")
    with pytest.raises(EmbeddingError) as caught:
        await called(mode, connect(), "get_text_embedding_batch", numbered(10))
    assert set(caught.value.failures) == {7}
    assert set(caught.value.completed) == {*range(10)} - {7}


# Events


class Kept(BaseEventHandler):
    """Keeps each event of the instrumentation."""

    events: list = []  # noqa: RUF012 - pydantic copies it

    def handle(self, event, **_):
        self.events.append(event)


@pytest.fixture
def events():
    handler = Kept()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield handler.events
    dispatcher.event_handlers.remove(handler)


@MODES
async def test_callbacks_and_events_tell_of_texts_and_vectors_and_nothing_secret(
    mode, tei_double, events, caplog
):
    tei_double.configure(api_key=KEY)
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = HFEndpointEmbedding(
        url=tei_double.url,
        api_key=KEY,
        model_name="a-model",
        callback_manager=CallbackManager([debug]),
    )
    with caplog.at_level(logging.DEBUG):
        vectors = await called(mode, model, "get_text_embedding_batch", numbered(3))
        vector = await called(mode, model, "get_query_embedding", "What?")
        with pytest.raises(AuthenticationError):
            await called(
                mode,
                HFEndpointEmbedding(url=tei_double.url, api_key=KEY + "-old"),
                "get_query_embedding",
                "What?",
            )
    pairs = debug.get_event_pairs(CBEventType.EMBEDDING)
    assert [end.payload["chunks"] for _, end in pairs] == [numbered(3), ["What?"]]
    assert pairs[0][1].payload["embeddings"] == vectors
    ends = [each for each in events if isinstance(each, EmbeddingEndEvent)]
    assert [end.embeddings for end in ends] == [vectors, [vector]]
    starts = [each for each in events if isinstance(each, EmbeddingStartEvent)]
    assert starts[0].model_dict["model_name"] == "a-model"
    written = [repr(events), repr(pairs), caplog.text, *(each.model_dump_json() for each in events)]
    assert KEY not in "".join(written)


# Limiters


@MODES
async def test_a_limiter_of_llama_index_is_asked_before_each_request(mode, connect, tei_double):
    class Counting(TokenBucketRateLimiter):
        asked: list = []  # noqa: RUF012 - pydantic copies it

        def acquire(self, num_tokens=0):
            self.asked.append("sync")
            super().acquire(num_tokens)

        async def async_acquire(self, num_tokens=0):
            self.asked.append("async")
            await super().async_acquire(num_tokens)

    limiter = Counting(requests_per_minute=600)
    model = connect(rate_limiter=limiter)
    tei_double.script(faults.answer(503))
    await called(mode, model, "get_text_embedding_batch", numbered(100))
    requests = len(posts(tei_double))
    assert requests == 5  # one of them for the second time
    assert limiter.asked.count(mode) == len(limiter.asked) == len(tei_double.arrivals)


def test_a_limiter_of_ours_is_taken_as_it_is(connect):
    limiter = RequestsPerMinuteLimiter(600)
    assert connect(rate_limiter=limiter).embeddings.rate_limiter is limiter


# Dumps and pickles


def made():
    endpoint = InferenceEndpoint(
        inference_id="mine",
        service_settings={"url": HOSTED, "api_key": KEY, "rate_limit": {"requests_per_minute": 7}},
        chunking_settings={"strategy": "word", "max_chunking_size": 20, "overlap": 3},
        task_settings={"query_prompt": "q: ", "truncate": False},
    )
    embeddings = HFEndpointEmbeddings(endpoint=endpoint, show_progress_bar=True)
    return HFEndpointEmbedding(embeddings=embeddings, num_workers=3, embed_batch_size=100)


@pytest.mark.parametrize("form", ["dict", "json"])
def test_a_dump_holds_the_settings_and_no_key(form):
    model = made()
    dump = getattr(model, f"to_{form}")()
    assert KEY not in (dump if form == "json" else json.dumps(dump))
    load = getattr(HFEndpointEmbedding, f"from_{form}")
    keyless = load(dump)
    assert keyless.embeddings.endpoint.service_settings.find_key() is None
    assert getattr(keyless, f"to_{form}")() == dump
    again = load(dump, api_key=KEY)
    assert again.embeddings == model.embeddings
    assert (again.model_name, again.num_workers, again.embed_batch_size) == ("mine", 3, 100)


def test_nothing_that_is_printed_has_the_key():
    model = made()
    for written in (repr(model), str(model), model.model_dump_json(), repr(model.to_payload())):
        assert KEY not in written


def test_a_wrong_setting_is_refused_in_words_without_the_key():
    with pytest.raises(SettingsError, match="timeout") as caught:
        HFEndpointEmbedding(url=HOSTED, api_key=KEY, timeout=-1)
    assert KEY not in str(caught.value)
    with pytest.raises(SettingsError, match="not both"):
        HFEndpointEmbedding(embeddings=HFEndpointEmbeddings(url=HOSTED), timeout=1)


def test_a_pickle_embeds_as_before_even_of_a_model_that_was_used(connect):
    model = connect(embed_batch_size=50)
    first = model.get_text_embedding_batch(numbered(3))
    again = pickle.loads(pickle.dumps(model))
    assert again.embed_batch_size == 50
    assert again.embeddings == model.embeddings
    assert again.get_text_embedding_batch(numbered(3)) == first


@MODES
async def test_the_users_own_clients_send_the_requests_and_go_into_no_pickle_or_dump(mode, connect):
    seen = []

    async def asked(request):
        seen.append(request.method)

    with httpx.Client(
        event_hooks={"request": [lambda request: seen.append(request.method)]}
    ) as one:
        async with httpx.AsyncClient(event_hooks={"request": [asked]}) as other:
            model = connect(http_client=one, http_async_client=other)
            if mode == "sync":
                model.get_text_embedding_batch(numbered(3))
            else:
                await model.aget_text_embedding_batch(numbered(3))
            assert "POST" in seen
            assert "http_client" not in json.dumps(model.to_dict())
            with pytest.raises(TypeError, match="HTTP client"):
                pickle.dumps(model)


@MODES
async def test_a_pipeline_embeds_in_processes_of_its_own(mode, connect, tei_double):
    documents = [Document(text=text) for text in numbered(80)]
    pipeline = IngestionPipeline(
        transformations=[HFEndpointNodeParser(), connect()], disable_cache=True
    )
    nodes = await called(mode, pipeline, "run", documents=documents, num_workers=2)
    vectors = {node.text: node.embedding for node in nodes}
    assert are_right([vectors[text] for text in numbered(80)], numbered(80))
    assert sum(map(len, posts(tei_double))) == 80


def test_blank_nodes_are_all_named_with_what_leaves_them_out(connect):
    nodes = [TextNode(text=text) for text in ("a", " ", "b", "\n")]
    with pytest.raises(InputError, match=r"text 1: .*, and so are 3\.") as caught:
        VectorStoreIndex(nodes, embed_model=connect())
    assert "get_content(metadata_mode=MetadataMode.EMBED)" in caught.value.advice
    kept = [node for node in nodes if node.get_content(metadata_mode=MetadataMode.EMBED).strip()]
    VectorStoreIndex(kept, embed_model=connect())


def test_an_unknown_keyword_is_met_with_all_that_there_are():
    with pytest.raises(SettingsError) as caught:
        HFEndpointEmbedding(url=HOSTED, batch_size=32, huggingfacehub_api_token=KEY, mode=1)
    said = dict(caught.value.problems)
    assert "(did you mean max_batch_size?)" in said["batch_size"]
    assert "(did you mean api_key?)" in said["huggingfacehub_api_token"]
    for name in ("url", "http_client", "rate_limiter", "embed_batch_size", "model_name"):
        assert f" {name}," in said["mode"]
    assert KEY not in str(caught.value)


def test_it_is_an_embedding_of_llama_index(connect):
    assert isinstance(connect(), BaseEmbedding)
    assert HFEndpointEmbedding.class_name() == "HFEndpointEmbedding"


@MODES
async def test_a_cache_is_passed_on_and_left_out_of_dumps(mode, connect, tei_double, tmp_path):
    model = connect(cache=tmp_path / "vectors.cache")
    texts = numbered(5)
    vectors = await called(mode, model, "get_text_embedding_batch", texts)
    tei_double.forget()
    for again in (model, pickle.loads(pickle.dumps(model))):
        assert await called(mode, again, "get_text_embedding_batch", texts) == vectors
    assert len(tei_double.arrivals) == 0
    assert "cache" not in json.loads(model.to_json())["embeddings"]
