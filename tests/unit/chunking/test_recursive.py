"""Strategy `recursive`: Elastic's own cases, exact offsets, separators that take too long."""

from __future__ import annotations

import itertools
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_hf_endpoint import ChunkingSettings, HFEndpointTextSplitter, SettingsError, chunk
from langchain_hf_endpoint.chunking import recursive as module
from langchain_hf_endpoint.chunking.chunks import takes_long
from langchain_hf_endpoint.chunking_settings import SEPARATOR_GROUPS

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


class _Clock:
    """A clock that goes on by a second with every look at it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1
        return self.now


def test_all_regions_of_a_text_share_one_limit(monkeypatch):
    monkeypatch.setattr(module, "monotonic", _Clock())
    monkeypatch.setattr(module, "_SECONDS", 15)  # twelve looks at all lines, one at each
    lines = [SENTENCE + " And more."] * 10
    with pytest.raises(SettingsError, match=r"'never' takes more than 15\.0 s"):
        chunk("\n".join(lines), recursive(10, "\n", "never"))
    assert len(chunk("\n".join(lines[:4]), recursive(10, "\n", "never"))) >= 4


@pytest.mark.parametrize("group", SEPARATOR_GROUPS)
def test_a_group_that_takes_too_long_is_left_out_and_logged_once(group, monkeypatch, caplog):
    monkeypatch.setattr(module, "_SECONDS", -1)
    text = "\n".join([SENTENCE] * 40)
    with caplog.at_level(logging.WARNING, "langchain_hf_endpoint"):
        assert texts(text, recursive(10, separator_group=group)) == [SENTENCE] * 40
    (record,) = caplog.records
    assert "cut by sentences" in record.message


@pytest.mark.parametrize("blanks", ["\n" * 40_000, "\n  " * 20_000, "\n \t\r" * 20_000])
def test_blank_lines_are_looked_at_one_by_one(blanks, monkeypatch, caplog):
    monkeypatch.setattr(module, "_SECONDS", 2)  # a hundred times what it takes
    text = "word " * 20 + blanks + "word " * 20
    assert len(chunk(text, recursive(10, separator_group="markdown"))) > 3
    assert not caplog.records


def test_matches_may_be_looked_for_from_the_end():
    line = "ten words that are no sentence, since no stop follows"
    text = "\n".join([line] * 5)
    assert texts(text, recursive(10, r"(?r)\n")) == [line] * 5
    assert texts(text, recursive(25, r"(?r)\n")) == texts(text, recursive(25, r"\n"))


def test_windows_within_a_sentence_that_is_too_long_overlap_a_little():
    text = " ".join(f"a{number}" for number in range(30))
    first, second, *_ = texts(text, recursive(10, "never"))
    assert set(first.split()) & set(second.split())


def test_paragraphs_two_blank_lines_apart_are_parted_by_no_separator_of_plaintext():
    text = "\n\n\n".join([SENTENCE.replace(".", "")] * 2)
    assert texts(text, recursive(15))[0] != SENTENCE.replace(".", "")


@pytest.mark.parametrize(
    ("strategy", "text", "expected"),
    [
        ("recursive", "short", True),
        ("sentence", "short", False),
        ("word", "x" * 50_001, True),
    ],
)
def test_whether_an_event_loop_would_feel_it(strategy, text, expected):
    assert takes_long([text], ChunkingSettings(strategy=strategy)) is expected


@pytest.mark.parametrize(
    "separator",
    [
        "x{3000000}",
        "x{1001,}",
        "(?:x{40}){30}",
        r"(?:\d{2,40}y){26}",
        r"\\{3000000}",
        "(?#[)x{3000000}(?#])",
        "(?x)x{3 000 #}\n 000}",
        "(?mx:x{ 3000000 })",
    ],
)
def test_repeats_that_make_a_separator_huge_are_refused_before_it_is_compiled(
    separator, monkeypatch
):
    monkeypatch.setattr("regex.compile", lambda *_: pytest.fail("compiled"))
    with pytest.raises(SettingsError, match="repeats too much: at most 1,000 times"):
        ChunkingSettings(**recursive(10, separator))


@pytest.mark.parametrize(
    "separator",
    [
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}",
        "-{3,}",
        "x{1000}",
        r"\{3000000}",
        r"\p{Lu}{2,9}",
        "(?x) \n # line",
        r"\(?x{2}",
    ],
)
def test_repeats_of_a_usual_size_are_taken(separator):
    assert ChunkingSettings(**recursive(10, separator)).separators == (separator,)


@pytest.mark.parametrize(
    "error", [MemoryError, RecursionError, OverflowError, ValueError, KeyError]
)
def test_whatever_the_compiler_cannot_do_is_a_settings_error(error, monkeypatch):
    def refuse(*_):
        raise error("no room")

    monkeypatch.setattr("regex.compile", refuse)
    with pytest.raises(
        SettingsError, match=r"is no regular expression that can be used: .*no room"
    ):
        ChunkingSettings(**recursive(10, "x"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"separators": ["("]}, "separators.0"),
        ({"separators": ["(?V0)(?V1)x"]}, "separators.0"),
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
    with pytest.raises(SettingsError) as raised:
        ChunkingSettings(strategy=strategy, separator_group="markdown")
    ((field, problem),) = raised.value.problems
    assert field == "separator_group"
    assert "does not go with strategy" in problem


def test_the_splitter_cuts_so_too():
    text = f"{SENTENCE}\n\n{SENTENCE}"
    assert HFEndpointTextSplitter(recursive(10)).split_text(text) == [SENTENCE, SENTENCE]
