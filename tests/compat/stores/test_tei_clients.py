"""The gateway in place of a TEI, or of Elasticsearch, with other people's classes for one."""

from __future__ import annotations

import pytest

from langchain_hf_endpoint.testing import expected_vector

TEXTS = ["The quick brown fox.", "Ein ganz anderer Satz."]
EXPECTED = [expected_vector(text, 384) for text in TEXTS]


def close(ones, others) -> bool:
    pairs = zip(ones, others, strict=True)
    return all(list(one) == pytest.approx(list(other), abs=1e-6) for one, other in pairs)


@pytest.fixture
def url(gateway_with_mine):
    """An endpoint's base URL for TEI's clients."""
    return f"{gateway_with_mine}/tei/mine"


def test_llama_indexs(url):
    from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

    embedding = TextEmbeddingsInference(model_name="mine", base_url=url, query_instruction="")
    assert close(embedding.get_text_embedding_batch(TEXTS), EXPECTED)
    assert close([embedding.get_query_embedding(TEXTS[0])], EXPECTED[:1])


def test_haystacks(url):
    from haystack import Document
    from haystack_integrations.components.embedders.huggingface_api import (
        HuggingFaceAPIDocumentEmbedder,
        HuggingFaceAPITextEmbedder,
    )

    of_kind = {
        "api_type": "text_embeddings_inference",
        "api_params": {"url": url},
        "token": None,
        "normalize": True,
    }
    documents = [Document(content=text) for text in TEXTS]
    embedded = HuggingFaceAPIDocumentEmbedder(**of_kind).run(documents)["documents"]
    assert close([document.embedding for document in embedded], EXPECTED)
    assert close([HuggingFaceAPITextEmbedder(**of_kind).run(TEXTS[0])["embedding"]], EXPECTED[:1])


def test_chromas(url):
    from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer

    assert close(HuggingFaceEmbeddingServer(url=f"{url}/embed")(TEXTS), EXPECTED)


def test_that_of_the_package_tei_client(url):
    from tei_client import HttpClient

    assert close(HttpClient(url).embed(TEXTS), EXPECTED)


def test_litellms_route_for_hugging_face(url):
    import litellm

    # A task that it is told it does not look up at the hub.
    answer = litellm.embedding(
        "huggingface/mine", input=TEXTS, api_base=url, api_key="none", input_type="embed"
    )
    assert close([one["embedding"] for one in answer.data], EXPECTED)


def test_langchains_embeddings_of_elasticsearchs_deployed_models(url):
    from elasticsearch import Elasticsearch
    from langchain_elasticsearch import ElasticsearchEmbeddings

    gateway, _, name = url.partition("/tei/")
    with Elasticsearch(gateway, api_key="none") as client:
        embeddings = ElasticsearchEmbeddings(name, client=client)
        assert close(embeddings.embed_documents(TEXTS), EXPECTED)
        assert close([embeddings.embed_query(TEXTS[0])], EXPECTED[:1])
