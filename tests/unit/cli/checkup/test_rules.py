"""What a check warns of, and how it tells which part of a text is in no vector."""

from __future__ import annotations

import dataclasses

import pytest

from langchain_hf_endpoint import Chunk
from langchain_hf_endpoint._protocols import Tokens, tokenize_request
from langchain_hf_endpoint.cli.checkup.report import Latency, Limits, Prompts, Registered
from langchain_hf_endpoint.cli.checkup.rules import (
    changed_model,
    missing_prompts,
    not_normalized,
    over_context,
    over_permits,
    unnamed_model,
)
from langchain_hf_endpoint.cli.checkup.token_usage import (
    Piece,
    TokenUsage,
    batches_of,
    seen_by_model,
)

NONE = Prompts("", "", None, None, are_ours=False)
QUICK = Latency(5, 0.01, 0.02, 0.03)
LIMITS = Limits(3000, 32, None, None, 32, 512)


def pieces(text: str, *edges: tuple[int, int], index: int = 0) -> list[Piece]:
    return [Piece(index, Chunk(text[start:end], start, end)) for start, end in edges]


def measured(
    window: int, *chunks: Piece, prompt: str = "", server_prompt: str = "", marks: int = 2
):
    """As a tokenizer would whose tokens are words, its offsets in bytes."""
    measure = TokenUsage(window)
    for piece in chunks:
        seen = seen_by_model(piece.chunk.text, prompt, window)
        told, ends, at = (server_prompt + seen).split(), [], 0
        for word in told:
            at = (server_prompt + seen).index(word, at) + len(word)
            ends.append(len((server_prompt + seen)[:at].encode()))
        measure.add(piece, Tokens(marks, ends), prompt, seen)
    return measure.result(is_whole=True)


def test_what_fits_is_not_lost():
    text = "one two three four"
    use = measured(6, *pieces(text, (0, len(text))))
    assert (use.over, use.lost, use.longest, use.fitting_size) == (0, 0, 6, None)


def test_the_end_that_the_model_does_not_read_is_lost():
    text = "one two three four"
    use = measured(5, *pieces(text, (0, len(text))))
    assert (use.over, use.lost, use.characters) == (1, len(" four"), len(text))


def test_what_the_next_chunk_begins_with_is_not_lost():
    text = "aa bb cc dd ee"
    both = pieces(text, (0, 11), (9, 14))  # the second begins with dd
    assert measured(5, both[0]).lost == len(" dd")
    # Of the text, but the blank before dd, all is in one vector or the other.
    assert measured(5, *both).lost == len(" dd") - len("dd")


def test_offsets_are_bytes_and_what_is_lost_is_characters():
    text = "漢字 ümläut “quoted” end"
    use = measured(5, *pieces(text, (0, len(text))))
    assert use.lost == len(" end")


@pytest.mark.parametrize("prompts", [{"prompt": "passage: "}, {"server_prompt": "passage: "}])
def test_a_prompt_takes_its_part_of_the_window(prompts):
    text = "one two three four"
    use = measured(6, *pieces(text, (0, len(text))), **prompts)
    assert (use.longest, use.lost) == (7, len(" four"))


def test_each_text_begins_anew():
    texts = ["one two three four", "five six seven eight"]
    parts = [pieces(text, (0, len(text)), index=at)[0] for at, text in enumerate(texts)]
    use = measured(5, *parts)
    assert (use.texts, use.lost) == (2, len(" four") + len(" eight"))
    assert use.characters == sum(map(len, texts))


def test_without_offsets_the_share_of_the_tokens_is_taken():
    text = "x" * 100
    measure = TokenUsage(52)
    measure.add(*pieces(text, (0, 100)), Tokens(2, [None] * 100), "", text)
    assert measure.result(is_whole=True).lost == 50


def test_of_a_whole_book_the_server_reads_250_characters_a_token():
    assert len(seen_by_model("word " * 100_000, "", 256)) == 250 * 256


def test_a_window_no_wider_than_its_marks_reads_nothing():
    text = "one two"
    assert measured(2, *pieces(text, (0, 7))).lost == 7


def test_batches_are_bounded_in_inputs_and_bytes():
    parts = pieces("aaaa" * 10, *((at, at + 4) for at in range(0, 40, 4)))
    assert [len(batch) for batch in batches_of(parts, 4, 1000)] == [4, 4, 2]
    assert [len(batch) for batch in batches_of(parts, 100, 12)] == [3, 3, 3, 1]
    assert [len(batch) for batch in batches_of(parts, 100, 1)] == [1] * 10


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://a:80/embed", "http://a:80/tokenize"),
        ("http://a/v1/embeddings?key=1", "http://a/tokenize?key=1"),
        ("https://gate/models/one", "https://gate/models/one/tokenize"),
        ("https://router.huggingface.co/hf-inference/models/a", None),
        ("https://a/pipeline/feature-extraction/b", None),
    ],
)
def test_where_tokens_are_asked_for(url, expected):
    request = tokenize_request(url, ["a"], None)
    assert (request and request.url) == expected


def test_words_that_fit_are_advised_and_a_strategy_that_cuts_where_there_is_none():
    text = "word " * 99 + "word"
    use = measured(52, *pieces(text, (0, len(text))))
    assert use.fitting_size == 50
    cut = over_context(use, "sentence", truncate=True)
    assert "1 of 1 chunks" in cut.problem
    assert "--size 50" in cut.advice
    assert "refuses" in over_context(use, "sentence", truncate=False).problem
    assert "strategy that cuts" in over_context(use, "none", truncate=True).advice


def test_a_size_that_the_strategy_does_not_take_is_not_advised_for_it():
    text = "word " * 99 + "word"
    use = measured(17, *pieces(text, (0, len(text))))
    assert use.fitting_size == 10
    assert "strategy 'word'" in over_context(use, "sentence", truncate=True).advice
    assert "--size 10" in over_context(use, "word", truncate=True).advice


def test_the_size_advised_for_a_text_without_blanks_counts_its_words():
    text = "人人生而自由" * 50
    measure = TokenUsage(102)
    measure.add(*pieces(text, (0, len(text))), Tokens(2, [None] * len(text)), "", text)
    assert measure.result(is_whole=True).fitting_size == 50  # two tokens a word


@pytest.mark.parametrize(
    ("model", "prompts", "warns"),
    [
        ("intfloat/multilingual-e5-small", NONE, True),
        ("intfloat/e5-large-v2", NONE, True),  # not of the list, but of the family
        ("me/finetuned-e5", NONE, True),
        ("BAAI/bge-small-en-v1.5", NONE, False),
        ("me/the5th", NONE, False),
        (None, NONE, False),
        ("intfloat/e5-base-v2", dataclasses.replace(NONE, query="query: "), True),
        ("intfloat/e5-base-v2", Prompts("q", "p", None, None, are_ours=False), False),
        ("intfloat/e5-base-v2", Prompts("", "", "query", "passage", are_ours=False), False),
    ],
)
def test_models_of_the_e5_family_want_prompts(model, prompts, warns):
    assert (missing_prompts(model, "http://a", prompts) is not None) == warns


def test_a_model_named_in_the_url_counts():
    assert missing_prompts(None, "https://a/models/intfloat/e5-base-v2", NONE) is not None


@pytest.mark.parametrize(
    ("changes", "latency", "warnings"),
    [
        ({}, QUICK, 0),
        ({"wanted_batch_size": 32}, QUICK, 0),
        ({"wanted_batch_size": 33}, QUICK, 1),
        ({"wanted_requests": 16}, QUICK, 0),
        ({"wanted_requests": 17}, QUICK, 1),
        ({"server_permits": None, "wanted_requests": 1000}, QUICK, 0),
        ({"server_batch_size": None, "wanted_batch_size": 1000}, QUICK, 0),
        # 50 requests a second of 32 inputs, each at least half a second: 800 in flight.
        ({}, Latency(5, 0.5, 0.6, 0.7), 1),
        ({"requests_per_minute": 1900}, Latency(5, 0.5, 0.6, 0.7), 0),
        # As lookups in a cache may be: no time at all.
        ({}, Latency(5, 0.0, 0.0, 0.0), 0),
    ],
)
def test_limits_that_the_server_will_not_have(changes, latency, warnings):
    found = over_permits(dataclasses.replace(LIMITS, **changes), latency)
    assert [one.kind for one in found] == ["limit_over_permits"] * warnings


def test_the_rate_that_can_be_had_is_said():
    (found,) = over_permits(LIMITS, Latency(5, 0.5, 0.6, 0.7))
    assert "1,920 requests per minute" in found.advice


def test_a_model_is_changed_only_against_what_is_known():
    assert changed_model(Registered(), "a", 3) is None
    assert changed_model(Registered("a", 3), None, 3) is None
    assert changed_model(Registered("a", 3), "a", 3) is None
    assert "4 dimensions" in changed_model(Registered("a", 3), None, 4).problem


@pytest.mark.parametrize(("length", "warns"), [(1.0, False), (1.004, False), (7.3, True)])
def test_vectors_of_another_length(length, warns):
    assert (not_normalized(length) is not None) == warns


def test_no_size_is_advised_where_no_chunk_tells_how_long_words_are():
    use = measured(3, *pieces("one two", (0, 7)))
    assert use.fitting_size is None
    assert "smaller chunks" in over_context(use, "sentence", truncate=True).advice


def test_one_odd_chunk_does_not_make_all_others_small():
    measure = TokenUsage(102)
    text = "word " * 49 + "word"
    for at in range(100):
        (piece,) = pieces(text, (0, len(text)), index=at)
        tokens = 2000 if at == 50 else 100
        measure.add(piece, Tokens(2, [len(text)] * tokens), "", text)
    assert measure.result(is_whole=True).fitting_size == 50


def test_a_server_that_does_not_name_its_model():
    open_question = Prompts("", "", None, None, are_ours=False, are_decided=False)
    found = unnamed_model(None, "/repository", open_question)
    assert found.kind == "unnamed_model"
    for words in ("/repository", "E5"):
        assert words in found.problem
    for words in ("no proof", "service_settings.model", "query_prompt"):
        assert words in found.advice
    assert unnamed_model("BAAI/bge-m3", None, open_question) is None
    assert unnamed_model(None, None, dataclasses.replace(open_question, are_decided=True)) is None
