"""What is promised of every server that reranks, tried with each that is there."""

from __future__ import annotations

import numpy as np
import pytest
from served import write_reranking_model
from test_conformance import PROSE, TEXTS

from langchain_hf_endpoint import InputError

QUERY = "What makes dough grow?"


def test_documents_come_in_the_order_of_their_scores(reranking, usage):
    ranked = reranking.reranker().rerank(TEXTS, QUERY)
    assert sorted(one["index"] for one in ranked) == list(range(len(TEXTS)))
    scores = [one["relevance_score"] for one in ranked]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1


def test_a_document_has_its_own_score_in_batches_of_any_size(reranking, usage):
    pairs = [(QUERY, text) for text in TEXTS]
    together = reranking.reranker().score(pairs)
    apart = reranking.reranker(max_batch_size=5).score(pairs)
    assert np.allclose(together, apart, rtol=0, atol=5e-3)


def test_blank_texts_are_refused_before_anything_is_sent(reranking, usage):
    reranker = reranking.reranker()
    with pytest.raises(InputError):
        reranker.rerank(TEXTS, " ")
    with pytest.raises(InputError) as refused:
        reranker.rerank([TEXTS[0], "", TEXTS[1]], QUERY)
    assert refused.value.index == 1
    assert usage.requests == 0


def test_a_long_document_has_the_score_of_its_best_chunk(reranking, usage):
    chunking = {"strategy": "word", "max_chunking_size": 40, "overlap": 0}
    reranker = reranking.reranker(chunking_settings=chunking)
    words = PROSE.split()
    chunks = [" ".join(words[first : first + 40]) for first in range(0, len(words), 40)]
    whole, *parts = reranker.score([(QUERY, text) for text in (PROSE, *chunks)])
    assert len(parts) > 1
    assert whole == pytest.approx(max(parts), abs=5e-3)


def test_scores_are_those_of_the_weights(reranking, tmp_path):
    if reranking.is_the_users:
        pytest.skip("its weights are not here")
    library = pytest.importorskip("sentence_transformers")
    model = library.CrossEncoder(str(write_reranking_model(tmp_path)), device="cpu")
    expected = model.predict([(QUERY, text) for text in TEXTS])  # between 0 and 1
    scores = np.array(reranking.reranker().score([(QUERY, text) for text in TEXTS]))
    if reranking.name == "llama.cpp":
        # It gives them raw; and it looks GELU up in a table, and knows no second kind of text.
        scores = 1 / (1 + np.exp(-scores))
        assert np.abs(scores - expected).max() < 2e-2
    else:
        assert np.abs(scores - expected).max() < 1e-5
