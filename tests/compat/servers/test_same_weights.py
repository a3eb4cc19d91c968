"""The vectors of servers are those that the weights give without them."""

from __future__ import annotations

import numpy as np
import pytest
from served import weights_folder
from test_conformance import PROSE, TEXTS, cosines


@pytest.fixture(scope="module")
def by_sentence_transformers():
    library = pytest.importorskip("sentence_transformers")
    model = library.SentenceTransformer(str(weights_folder()), device="cpu")
    return model.encode([*TEXTS, PROSE], normalize_embeddings=True)


def test_vectors_are_those_of_sentence_transformers(served, by_sentence_transformers):
    if not served.is_minilm:
        pytest.skip("it has other weights")
    rows = served.embeddings().embed_array([*TEXTS, PROSE])
    if served.name == "llama.cpp":
        # Its GELU is looked up in a table of half precision, in any build for the CPU.
        assert 1 - cosines(rows, by_sentence_transformers).min() < 1e-5
    else:
        assert np.abs(rows - by_sentence_transformers).max() < 1e-5
