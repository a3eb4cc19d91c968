"""The text splitter as LangChain's callers use it."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_text_splitters import TextSplitter

from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings
from langchain_hf_endpoint.splitter import HFEndpointTextSplitter

TEN_WORDS = {"strategy": "word", "max_chunking_size": 10, "overlap": 3}
TEXT = " \n" + "  ".join(f"word{index}" for index in range(25)) + "\n"
REPEATED = "the same four words " * 20


def test_it_is_a_text_splitter():
    assert isinstance(HFEndpointTextSplitter(), TextSplitter)


@pytest.mark.parametrize("settings", [None, {}, TEN_WORDS, ChunkingSettings(**TEN_WORDS)])
@pytest.mark.parametrize("text", [TEXT, REPEATED, "A sentence. " * 200, "short", "", " "])
def test_it_cuts_as_chunk_does(settings, text):
    pieces = [piece.text for piece in chunk(text, settings)]
    assert HFEndpointTextSplitter(settings).split_text(text) == pieces


def test_wrong_settings_are_refused_at_once():
    with pytest.raises(SettingsError, match="max_chunking_size"):
        HFEndpointTextSplitter({"strategy": "word", "max_chunking_size": 5})


def test_each_chunk_has_its_own_copy_of_the_metadata():
    source = {"source": "a.txt", "tags": ["one"]}
    first, second, *_ = HFEndpointTextSplitter(TEN_WORDS).create_documents([TEXT], [source])
    first.metadata["tags"].append("two")
    assert first.metadata == {"source": "a.txt", "tags": ["one", "two"]}
    assert second.metadata == source == {"source": "a.txt", "tags": ["one"]}


def test_without_metadata_there_is_none():
    documents = HFEndpointTextSplitter(TEN_WORDS).create_documents(["a b", "c d"])
    assert documents == [Document("a b"), Document("c d")]


def test_as_many_metadatas_as_texts():
    with pytest.raises(ValueError, match="shorter"):
        HFEndpointTextSplitter().create_documents(["a", "b"], [{}])


@pytest.mark.parametrize("text", [TEXT, REPEATED, "one " * 100, "a. " * 100, "a  a\n" * 50])
@pytest.mark.parametrize("settings", [TEN_WORDS, {"max_chunking_size": 20}], ids=["word", "sent."])
def test_start_index_is_exact_even_where_a_text_repeats_itself(text, settings):
    splitter = HFEndpointTextSplitter(settings, add_start_index=True)
    documents = splitter.create_documents([text, text])
    starts = [document.metadata["start_index"] for document in documents]
    assert starts == [piece.start for piece in chunk(text, settings)] * 2
    for start, document in zip(starts, documents, strict=True):
        assert text.startswith(document.page_content, start)


def test_no_start_index_unless_asked_for():
    assert "start_index" not in HFEndpointTextSplitter().create_documents(["a"])[0].metadata


def test_documents_in_their_order_from_any_iterable():
    sources = (Document(text, metadata={"n": n}) for n, text in enumerate([TEXT, "", "short"]))
    documents = HFEndpointTextSplitter(TEN_WORDS).split_documents(sources)
    assert [document.metadata["n"] for document in documents] == [0, 0, 0, 0, 2]
    assert documents[0].page_content.split() == [f"word{index}" for index in range(10)]


async def test_transforming_documents_is_splitting_them():
    splitter = HFEndpointTextSplitter(TEN_WORDS, add_start_index=True)
    sources = [Document(TEXT, metadata={"n": 1}), Document(REPEATED)]
    documents = splitter.split_documents(sources)
    assert splitter.transform_documents(sources) == documents
    assert await splitter.atransform_documents(sources) == documents
    assert sources[0].metadata == {"n": 1}
