"""Chunks bounded in tokens, counted by a server over sockets."""

from __future__ import annotations

from contextlib import closing

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointTextSplitter
from langchain_hf_endpoint.testing import ScriptedEndpoint

TEXT = " ".join(f"This is sentence number {number} of a long text." for number in range(300))


def tokens_of(text):
    """As the double counts them: each word is one, and two more go around each input."""
    return len(text.split(" ")) + 2


def test_a_text_splitter_asks_the_endpoint_that_it_is_given():
    with ScriptedEndpoint(max_input_length=64) as double:
        embeddings = HFEndpointEmbeddings(
            url=double.url, chunking_settings={"max_chunk_tokens": "auto"}
        )
        splitter = HFEndpointTextSplitter(endpoint=embeddings.endpoint)
        pieces = splitter.split_text(TEXT)
        assert 40 < max(map(tokens_of, pieces)) <= 64
        assert {request.path for request in double.requests} == {"/tokenize"}
        # What was split is embedded as it is.
        (chunks,) = embeddings.embed_chunks([pieces[0]])
        assert [one.text for one in chunks] == pieces[:1]


def test_settings_of_a_text_splitters_own_go_before_those_of_the_endpoint():
    with ScriptedEndpoint() as double:
        endpoint = HFEndpointEmbeddings(url=double.url).endpoint
        own = {"strategy": "word", "max_chunk_tokens": 30, "overlap": 0}
        pieces = HFEndpointTextSplitter(own, endpoint=endpoint).split_text(TEXT)
        assert 20 < max(len(piece.split(" ")) for piece in pieces) <= 30
        assert HFEndpointTextSplitter(endpoint=endpoint).split_text(TEXT) == (
            HFEndpointTextSplitter().split_text(TEXT)
        )


def test_a_stream_of_texts_asks_a_few_times():
    with ScriptedEndpoint(max_input_length=64) as double:
        embeddings = HFEndpointEmbeddings(
            url=double.url, chunking_settings={"max_chunk_tokens": "auto"}
        )
        with closing(embeddings.stream_chunks(f"{TEXT} {number}" for number in range(40))) as some:
            chunks = [*some]
        asked = [request for request in double.requests if request.path == "/tokenize"]
        assert max(tokens_of(one.text) for one in chunks) <= 64
        assert len(asked) <= len(chunks) / 100
