"""Strategy `recursive`: Elastic's own cases, exact offsets, separators that take too long."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hf_endpoint import ChunkingSettings, HFEndpointTextSplitter, SettingsError, chunk

SENTENCE = "This is one sentence of exactly ten words in all."  # ten words


def recursive(size, *separators, **more):
    given_ = {"separators": list(separators)} if separators else {}
    return {"strategy": "recursive", "max_chunking_size": size, **given_, **more}


def texts(text, settings):
    return [piece.text for piece in chunk(text, settings)]


@pytest.mark.parametrize("text", ["short", "  outer blanks \n", "a\n\nb"])
def test_a_text_that_fits_is_one_chunk(text):
    assert texts(text, recursive(10)) == [text.strip()]


def test_it_is_cut_at_a_separator():
    assert texts(f"{SENTENCE}\n\n{SENTENCE}", recursive(10)) == [SENTENCE, SENTENCE]


@pytest.mark.parametrize(
    ("pieces", "size", "counts"),
    [(3, 20, [2, 1]), (5, 25, [2, 2, 1]), (5, 30, [3, 2]), (4, 300, [4])],
)
def test_neighbours_are_put_together_while_they_fit(pieces, size, counts):
    text = "\n\n".join([SENTENCE] * pieces)
    assert [len(piece.split()) // 10 for piece in texts(text, recursive(size))] == counts


def test_what_is_too_long_is_cut_by_the_next_separator():
    text = f"{SENTENCE}\n{SENTENCE}\n\n{SENTENCE}\n{SENTENCE}"
    assert texts(text, recursive(15)) == [SENTENCE] * 4
    assert texts(text, recursive(25)) == [f"{SENTENCE}\n{SENTENCE}"] * 2


def test_without_a_match_sentences_are_packed_without_an_overlap():
    text = " ".join([SENTENCE] * 5)
    assert texts(text, recursive(25, "nowhere")) == [
        f"{SENTENCE} {SENTENCE}",
        f"{SENTENCE} {SENTENCE}",
        SENTENCE,
    ]


def test_markdown_is_cut_at_its_headings_from_the_highest_level_on():
    text = (
        f"# One\n{SENTENCE}\n## One A\n{SENTENCE}\n## One B\n{SENTENCE}\n# Two\n{SENTENCE}\n"
        f"Three\n=====\n{SENTENCE}"
    )
    found = texts(text, recursive(15, separator_group="markdown"))
    assert [piece.split("\n")[0] for piece in found] == [
        "# One",
        "## One A",
        "## One B",
        "# Two",
        "Three",
    ]


def test_plaintext_is_the_default_and_three_newlines_are_no_separator_of_its():
    assert ChunkingSettings(**recursive(10)) == ChunkingSettings(
        **recursive(10, separator_group="PlainText")
    )
    text = f"{SENTENCE}\n\n\n{SENTENCE} {SENTENCE}"
    assert texts(text, recursive(20)) == [f"{SENTENCE}\n\n\n{SENTENCE}", SENTENCE]


def test_a_group_is_shown_as_its_separators():
    config = ChunkingSettings(**recursive(10)).public_config()
    assert config["separators"] == [r"(?<!\n)\n\n(?!\n)", r"(?<!\n)\n(?!\n)"]
    assert ChunkingSettings(**config) == ChunkingSettings(**recursive(10))


def test_a_separator_sees_nothing_outside_of_its_region():
    text = f"{SENTENCE}\n\n{SENTENCE}\n{SENTENCE}"
    assert texts(text, recursive(10, r"\n\n", r"^This is")) == [SENTENCE, SENTENCE, SENTENCE]


def test_a_match_within_a_word_cuts_behind_it():
    text = "aaa bbb,ccc ddd eee fff ggg hhh iii jjj kkk lll"
    found = texts(text, recursive(10, ","))
    assert found == ["aaa bbb,ccc", "ddd eee fff ggg hhh iii jjj kkk lll"]


@given(
    st.lists(
        st.sampled_from(["word", "Ein Satz.", "\n", "\n\n", "\n# ", "  ", "日本語", "🦊"]),
        max_size=200,
    ),
    st.sampled_from(["plaintext", "markdown"]),
    st.integers(10, 40),
)
def test_every_word_is_in_one_chunk_in_order_with_exact_offsets(parts, group, size):
    text = " ".join(parts)
    pieces = chunk(text, recursive(size, separator_group=group))
    assert " ".join(piece.text for piece in pieces).split() == text.split()
    for piece in pieces:
        assert text[piece.start : piece.end] == piece.text
    assert all(one.end <= later.start for one, later in itertools.pairwise(pieces))


def test_a_separator_that_goes_back_for_ever_is_refused():
    text = "a" * 200 + " b" * 50
    with pytest.raises(SettingsError, match="takes more than") as raised:
        chunk(text, recursive(10, "(a|aa)+$|(a|aa)+c"))
    assert raised.value.problems[0][0] == "chunking_settings.separators"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"separators": ["("]}, "separators.0"),
        ({"separators": ["a", ""]}, "separators.1"),
        ({"separators": ["a" * 501]}, "separators.0"),
        ({"separators": [3]}, "separators.0"),
        ({"separators": []}, "separators"),
        ({"separators": ["a"] * 51}, "separators"),
        ({"separators": "a"}, "separators"),
        ({"separator_group": "html"}, "separator_group"),
        ({"separator_group": "plaintext", "separators": ["a"]}, "separator_group"),
        ({"max_chunking_size": 9}, "max_chunking_size"),
        ({"max_chunking_size": 301}, "max_chunking_size"),
        ({"overlap": 3}, "overlap"),
    ],
)
def test_wrong_settings_are_named(settings, field):
    with pytest.raises(SettingsError) as raised:
        ChunkingSettings(strategy="recursive", **settings)
    assert field in dict(raised.value.problems)


@pytest.mark.parametrize("strategy", ["sentence", "word", "none"])
def test_separators_go_with_no_other_strategy(strategy):
    with pytest.raises(SettingsError, match="does not go with strategy"):
        ChunkingSettings(strategy=strategy, separator_group="markdown")


def test_the_splitter_cuts_so_too():
    text = f"{SENTENCE}\n\n{SENTENCE}"
    assert HFEndpointTextSplitter(recursive(10)).split_text(text) == [SENTENCE, SENTENCE]
