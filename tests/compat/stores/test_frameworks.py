"""The blocks in JavaScript of the page on frameworks; those in Python run with the other pages."""

from __future__ import annotations

import re

import pytest
from javascript import FOLDER, run_node
from pages import ROOT

from langchain_hf_endpoint.testing import expected_vector

TEXTS = ["The bakery opens at six.", "A text of\ntwo lines."]
PAGE = (ROOT / "docs" / "frameworks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^`npm install ([^`]+)`:\n\n```js\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("packages", "block"), BLOCKS, ids=[names for names, _ in BLOCKS])
def test_a_block_in_javascript_prints_the_vectors(packages, block, gateway_with_mine):
    FOLDER.mkdir(exist_ok=True)
    # Beside its packages, where alone an ES module finds them.
    script = FOLDER / f"{re.sub(r'[^a-z]+', '_', packages)}.mjs"
    script.write_text(block.replace("http://127.0.0.1:9200", gateway_with_mine), encoding="utf-8")
    vectors = run_node(script, packages)
    for vector, text in zip(vectors, TEXTS, strict=True):
        assert vector == pytest.approx(expected_vector(text, 384).tolist(), abs=1e-6)


def test_the_page_has_no_other_blocks_in_javascript():
    assert len(BLOCKS) == PAGE.count("```js") == 2
