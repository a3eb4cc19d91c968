"""Reranking with other people's software: around our class, and in front of the gateway."""

from __future__ import annotations

import pytest
from gateway_child import GatewayChild
from langchain_core.documents import Document

from langchain_hf_endpoint import HFEndpointReranker
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_score

QUERY = "moons of Jupiter"
TEXTS = ["The bakery opens at six.", "The moons of Jupiter.", "Jupiter is a planet."]
SCORES = [expected_score(QUERY, text) for text in TEXTS]
BEST = [1, 2, 0]


@pytest.fixture(scope="module")
def server():
    with ScriptedEndpoint(shape="reranker") as server:
        yield server


@pytest.fixture(scope="module")
def gateway(server, tmp_path_factory):
    """A gateway with one endpoint, `mine`, that is at its root too."""
    log = tmp_path_factory.mktemp("gateway") / "log"
    with GatewayChild(log, tei_at_root="mine") as gateway:
        gateway.put_mine("rerank", server.url)
        yield gateway


def test_langchains_retriever_and_cross_encoder_reranker(server):
    from langchain_classic.retrievers import ContextualCompressionRetriever
    from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
    from langchain_core.retrievers import BaseRetriever

    class Everything(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            return [Document(text) for text in TEXTS]

    reranker = HFEndpointReranker(url=server.url, top_n=2)
    for compressor in (reranker, CrossEncoderReranker(model=reranker, top_n=2)):
        retriever = ContextualCompressionRetriever(
            base_compressor=compressor, base_retriever=Everything()
        )
        found = retriever.invoke(QUERY)
        assert [document.page_content for document in found] == [TEXTS[n] for n in BEST[:2]]


async def test_llama_indexs_postprocessor(server):
    from llama_index.core import QueryBundle
    from llama_index.core.schema import NodeWithScore, TextNode

    from langchain_hf_endpoint.llama_index import HFEndpointRerank

    nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in TEXTS]
    rerank = HFEndpointRerank(url=server.url, top_n=2)
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [one.node.text for one in found] == [TEXTS[n] for n in BEST[:2]]
    assert found[0].score == pytest.approx(SCORES[1])
    again = await rerank.apostprocess_nodes(nodes, QueryBundle(QUERY))
    assert [one.node.text for one in again] == [one.node.text for one in found]
    assert rerank.postprocess_nodes([], query_str=QUERY) == []


def test_llama_indexs_own_class_for_tei(gateway):
    from llama_index.core.schema import NodeWithScore, TextNode
    from llama_index.postprocessor import tei_rerank

    nodes = [NodeWithScore(node=TextNode(text=text)) for text in TEXTS]
    rerank = tei_rerank.TextEmbeddingInference(base_url=f"{gateway.url}/tei/mine", top_n=2)
    found = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [one.node.text for one in found] == [TEXTS[n] for n in BEST[:2]]


@pytest.mark.parametrize("version", ["Client", "ClientV2"])
def test_coheres_client(gateway, version):
    import cohere

    client = getattr(cohere, version)(api_key="none", base_url=gateway.url)
    answer = client.rerank(model="mine", query=QUERY, documents=TEXTS, top_n=2)
    assert [one.index for one in answer.results] == BEST[:2]
    assert answer.results[0].relevance_score == pytest.approx(SCORES[1])


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("cohere", "/v1/rerank"),
        ("jina", "/v1/rerank"),
        ("text-embeddings-inference", "/tei/mine/rerank"),
    ],
)
def test_the_package_rerankers(gateway, provider, path):
    from rerankers.models.api_rankers import APIRanker

    ranker = APIRanker("mine", "none", provider, verbose=0, url=gateway.url + path)
    found = ranker.rank(query=QUERY, docs=TEXTS)
    assert [one.document.doc_id for one in found.results] == BEST


async def test_haystacks_ranker_for_tei_which_takes_no_path(gateway):
    from haystack import Document as HaystackDocument
    from haystack_integrations.components.rankers.huggingface_api import HuggingFaceTEIRanker

    documents = [HaystackDocument(content=text) for text in TEXTS]
    ranker = HuggingFaceTEIRanker(url=gateway.url, top_k=2, token=None)
    for found in (
        ranker.run(QUERY, documents)["documents"],
        (await ranker.run_async(QUERY, documents))["documents"],
    ):
        assert [one.content for one in found] == [TEXTS[n] for n in BEST[:2]]
        assert found[0].score == pytest.approx(SCORES[1])
    with pytest.raises(RuntimeError, match="query must be a text"):
        ranker.run(" ", documents)


async def test_basetens_client(gateway):
    from baseten_performance_client import PerformanceClient

    texts = TEXTS * 7  # it sends eight at a time, and does not sort what comes
    for url in (f"{gateway.url}/tei/mine", gateway.url):
        client = PerformanceClient(base_url=url, api_key="none")
        for answer in (
            client.rerank(QUERY, texts, return_text=True),
            await client.async_rerank(QUERY, texts, return_text=True),
        ):
            assert sorted((one.index, one.text) for one in answer.data) == list(enumerate(texts))
            scores = {one.index: one.score for one in answer.data}
            assert scores == pytest.approx(dict(enumerate(SCORES * 7)))
        with pytest.raises(OSError, match="422"):
            client.rerank(QUERY, texts, raw_scores=True)
