"""Chunks that are bounded in tokens: by a real tokenizer, by bytes, and by an estimate."""

from __future__ import annotations

import gzip
import json
import random
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from thoroughness import amount

from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.chunking.chunks import cut, is_one_chunk
from langchain_hf_endpoint.chunking.counting import count_words
from langchain_hf_endpoint.chunking.tokenizer_file import counter_of, estimating
from langchain_hf_endpoint.chunking.tokens import TokenBound, TokenCounter
from langchain_hf_endpoint.errors import SettingsError
from langchain_hf_endpoint.settings import ChunkingSettings

ALICE = Path(__file__).parents[3] / "examples/data/alice_in_wonderland.txt"
BOOK = ALICE.read_text("utf-8")[: amount(90_000, 200_000)]
LOCAL = gzip.decompress(
    (resources.files("langchain_hf_endpoint.local") / "data" / "tokenizer.json.gz").read_bytes()
)


@cache
def wordpiece():
    """The tokenizer of the model of the extra [local]."""
    return counter_of(LOCAL)


def byte_level():
    """As if a byte-level model had learned nothing: each byte is a token, blanks too."""
    return TokenCounter(lambda texts: [len(text.encode(errors="replace")) for text in texts])


@cache
def merging():
    """A byte-level BPE as those of GPT-2 and Qwen, trained on the book and a few scripts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: PLC0415

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=3000,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([BOOK, "ученье свет 我能吞下玻璃而不伤身体。" * 9], trainer)
    return counter_of(tokenizer.to_str().encode())


FAMILY = "👩‍👩‍👧‍👦"

COUNTERS = pytest.mark.parametrize("make", [wordpiece, byte_level, merging])

SETTINGS = st.one_of(
    st.builds(
        lambda size, overlap: ChunkingSettings(
            strategy="word", max_chunking_size=size, overlap=int(size // 2 * overlap)
        ),
        st.integers(10, 60),
        st.floats(0, 1),
    ),
    st.builds(
        lambda size, overlap: ChunkingSettings(max_chunking_size=size, sentence_overlap=overlap),
        st.integers(20, 300),
        st.integers(0, 1),
    ),
    st.builds(
        lambda size, group: ChunkingSettings(
            strategy="recursive", max_chunking_size=size, separator_group=group
        ),
        st.integers(20, 300),
        st.sampled_from(["plaintext", "markdown"]),
    ),
    st.just(ChunkingSettings(strategy="none")),
)
IN_TOKENS = st.builds(
    lambda strategy: ChunkingSettings(strategy=strategy, max_chunk_tokens=8),  # no bound in words
    st.sampled_from(["sentence", "word", "recursive"]),
)
COMMON = "Alice was beginning to get very tired. “Oh!” No? 3.14 [MASK] e\u0301e ﷺ"
RARE = "我能吞下玻璃。而不伤身体 한국어는 привет! สวัสดีชาวโลก नमस्ते \ud800"
WORDS = st.one_of(
    st.sampled_from(COMMON.split()),
    st.sampled_from([*RARE.split(), FAMILY]),
    st.text(max_size=12),
    st.text("0123456789abcdef", min_size=20, max_size=130),
)
BLANKS = st.sampled_from([" "] * 6 + ["", "\n", "\n\n", "   ", "\x0c", "\x1c", "\x85", "\u3000"])
TEXTS = st.lists(st.tuples(WORDS, BLANKS), max_size=80).map(
    lambda pairs: "".join(word + blank for word, blank in pairs)
)


def tokens_of(counter, pieces):
    return counter.count([piece.text for piece in pieces])


def assert_cut_well(text, settings, bound):
    """No chunk is over the bound, and between chunks there are blanks alone."""
    pieces = cut(text, settings, bound)
    reached = 0
    for piece, tokens in zip(pieces, tokens_of(bound.counter, pieces), strict=True):
        assert piece.text == text[piece.start : piece.end] == piece.text.strip() != ""
        assert tokens <= bound.tokens or len(piece.text) == 1
        assert count_words(piece.text) <= (settings.max_chunking_size or len(text))
        assert not text[reached : piece.start].strip()
        assert piece.end > reached
        reached = piece.end
    assert not text[reached:].strip()
    assert all(one.start <= two.start for one, two in pairwise(pieces))
    if is_one_chunk(text, settings, bound):
        assert [piece.text for piece in pieces] == [text]
    return pieces


@COUNTERS
@given(text=TEXTS, settings=SETTINGS | IN_TOKENS, tokens=st.integers(8, 300))
@example(text="\x0c".join(["of"] * 60), settings=ChunkingSettings(strategy="none"), tokens=8)
@example(text="a" * 101 + "b" * 101, settings=ChunkingSettings(strategy="none"), tokens=8)
@example(text="한국어" * 200, settings=ChunkingSettings(), tokens=16)
@profile(max_examples=amount(50, 150), deadline=None)
def test_no_chunk_of_any_text_has_more_tokens_than_it_may_have(make, text, settings, tokens):
    assert_cut_well(text, settings, TokenBound(tokens, make()))


@COUNTERS
@given(text=TEXTS, settings=SETTINGS)
@profile(max_examples=amount(20, 60), deadline=None)
def test_a_bound_that_nothing_reaches_changes_nothing(make, text, settings):
    assert cut(text, settings, TokenBound(10**9, make())) == chunk(text, settings)


@pytest.mark.parametrize("strategy", ["sentence", "word", "none"])
@pytest.mark.parametrize(("make", "tokens"), [(wordpiece, 254), (byte_level, 1000), (merging, 300)])
def test_the_chunks_of_a_book_are_full(make, tokens, strategy):
    bound = TokenBound(tokens, make())
    pieces = assert_cut_well(BOOK, ChunkingSettings(strategy=strategy), bound)
    counts = tokens_of(bound.counter, pieces)
    least = 0.95 if strategy == "word" else 0.87
    assert sum(counts) >= least * tokens * len(counts)


def test_the_window_of_the_local_model_is_filled_with_whole_sentences():
    bound = TokenBound(254, wordpiece())
    counts = tokens_of(bound.counter, cut(BOOK, ChunkingSettings(), bound))
    assert max(counts) <= 254
    assert sum(counts) >= 0.9 * 254 * len(counts)


@pytest.mark.parametrize("tokens", [510, 4000])
@pytest.mark.parametrize("strategy", ["sentence", "word", "none"])
def test_a_size_in_tokens_is_filled_however_many_words_that_takes(strategy, tokens):
    settings = ChunkingSettings(strategy=strategy, max_chunk_tokens=tokens)
    bound = TokenBound(tokens, wordpiece())
    counts = tokens_of(bound.counter, assert_cut_well(BOOK, settings, bound))
    assert sum(counts[:-1]) >= 0.9 * tokens * (len(counts) - 1)


@pytest.mark.parametrize("make", [wordpiece, byte_level, merging])
def test_a_script_without_blanks_fills_its_chunks_too(make):
    text = "我能吞下玻璃而不伤身体。爱丽丝开始觉得很累，坐在河边的姐姐旁边，没有什么事可做。" * 400
    settings = ChunkingSettings(strategy="word", max_chunking_size=300, overlap=10)
    bound = TokenBound(200, make())
    counts = tokens_of(bound.counter, assert_cut_well(text, settings, bound))
    assert sum(counts) >= 0.9 * 200 * len(counts)


def test_chunks_begin_and_end_with_sentences_where_these_fit():
    bound = TokenBound(12, wordpiece())
    text = "One two three four. Five six seven. Eight nine ten. Eleven twelve thirteen."
    settings = ChunkingSettings(sentence_overlap=0)
    assert [piece.text for piece in cut(text, settings, bound)] == [
        "One two three four. Five six seven.",
        "Eight nine ten. Eleven twelve thirteen.",
    ]
    overlapping = cut(text, ChunkingSettings(), bound)
    assert [piece.text for piece in overlapping] == [
        "One two three four. Five six seven.",
        "Five six seven. Eight nine ten. Eleven twelve thirteen.",
    ]


def test_words_overlap_by_half_a_chunk_at_most():
    bound = TokenBound(8, wordpiece())
    settings = ChunkingSettings(strategy="word", max_chunking_size=100, overlap=50)
    text = " ".join("abcdefghijklmnop")
    pieces = [piece.text.replace(" ", "") for piece in cut(text, settings, bound)]
    assert pieces == ["abcdefgh", "efghijkl", "ijklmnop"]


def test_a_text_left_whole_is_cut_only_where_it_is_over_the_bound():
    bound = TokenBound(20, wordpiece())
    settings = ChunkingSettings(strategy="none")
    fitting = "  A short text. It stays as it is.  "
    assert [piece.text for piece in cut(fitting, settings, bound)] == [fitting.strip()]
    long = "A short text. " * 20
    pieces = cut(long, settings, bound)
    assert {piece.text for piece in pieces} == {"A short text. " * 4 + "A short text."}


def test_a_word_over_the_bound_is_cut_between_what_a_reader_takes_for_characters():
    word = "नमस्ते" * 20 + FAMILY * 20
    bound = TokenBound(60, byte_level())
    pieces = assert_cut_well(word, ChunkingSettings(), bound)
    edges = {0, *(match.end() for match in regex.finditer(r"\X", word))}
    assert {place for piece in pieces for place in (piece.start, piece.end)} <= edges
    assert len(pieces) < 2 * len(word.encode()) / 60 + 2


def test_a_character_with_more_tokens_than_a_chunk_may_have_is_cut_as_far_as_can_be():
    bound = TokenBound(8, byte_level())
    assert_cut_well(f"{FAMILY} family", ChunkingSettings(), bound)


def test_texts_that_fit_are_not_counted():
    def count(texts):
        raise AssertionError(texts)

    for adds_up in (True, False):
        bound = TokenBound(100, TokenCounter(count, adds_up=adds_up))
        assert len(cut("Short enough, whatever the tokenizer.", ChunkingSettings(), bound)) == 1


def test_each_word_is_counted_once():
    asked = []

    def count(texts):
        asked.extend(texts)
        return [1] * len(texts)

    bound = TokenBound(50, TokenCounter(count, adds_up=True))
    text = "the same words again and again " * 100
    for _ in range(3):
        cut(text, ChunkingSettings(), bound)
    assert sorted(asked) == ["again", "and", "same", "the", "words"]


def test_words_are_not_kept_without_end():
    counter = TokenCounter(lambda texts: [1] * len(texts), adds_up=True)
    for start in range(0, 300_000, 100_000):
        assert counter.of_words([str(one) for one in range(start, start + 100_000)])
    counter.of_words(["x" * 1000])
    assert len(counter.known) <= 1 << 17
    assert max(map(len, counter.known)) <= 255


def test_estimates_leave_room_in_scripts_that_the_model_of_the_extra_knows_or_not():
    """An estimate that is too low would lose text without a word; Alice is in the middle."""
    bound = TokenBound(254, estimating("a test"))
    texts = [
        BOOK,
        "ученье свет, неученье тьма. " * 300,
        "我能吞下玻璃而不伤身体。" * 500,
        "Die Donaudampfschifffahrtsgesellschaft veröffentlichte Geschäftsberichte. " * 300,
        "N-(4-hydroxyphenyl)acetamide dichlorodiphenyltrichloroethane phosphofructokinase " * 300,
        "https://example.com/3f9a0c77/index.html?q=17 b2f1c9d0 aGVsbG8gd29ybGQgYWdhaW4 " * 300,
    ]
    for text in texts:
        pieces = cut(text, ChunkingSettings(), bound)
        assert len(pieces) > 1
        assert max(wordpiece().count([piece.text for piece in pieces])) <= 254


@pytest.mark.parametrize(
    "unit", ["a", "0f", "ab ", "한", "\x0c", "a\x0cb ", "本。", "a" * 101 + " "]
)
def test_a_long_text_takes_time_in_proportion_to_its_length(unit):
    """Each character is given to the tokenizer a few times at most, whatever the text."""
    given_characters = 0
    inner = wordpiece()

    def count(texts):
        nonlocal given_characters
        given_characters += sum(map(len, texts))
        return inner.count(texts)

    text = unit * (100_000 // len(unit))
    counter = TokenCounter(count, adds_up=True)
    cut(text, ChunkingSettings(), TokenBound(254, counter))
    assert given_characters <= 12 * len(text)


def test_a_tokenizer_whose_tokens_hold_blanks_is_not_taken_for_one_that_ignores_them():
    assert wordpiece().adds_up
    assert not merging().adds_up
    described = json.loads(LOCAL)
    described["pre_tokenizer"] = None
    assert not counter_of(json.dumps(described).encode()).adds_up


def test_padding_and_truncation_of_the_file_do_not_count():
    assert wordpiece().count(["one", "word " * 1000]) == [1, 1000]
    assert wordpiece().marks == 2


def test_a_file_that_is_no_tokenizer_is_refused():
    with pytest.raises(SettingsError, match=r"tokenizer.*cannot be read: embedded null"):
        chunk("text", {"max_chunk_tokens": 8, "tokenizer": "a\0"})
    with pytest.raises(SettingsError, match=r"tokenizer.*is no tokenizer\.json"):
        counter_of(b'{"model": 1}')


def test_the_same_chunks_whatever_was_counted_before():
    """What is known of words comes from other texts: it must not change the chunks of this one."""
    words = BOOK.split()
    random.Random(3).shuffle(words)
    warm, cold = counter_of(LOCAL), counter_of(LOCAL)
    warm.of_words(words[: len(words) // 2])
    settings = ChunkingSettings()
    assert cut(BOOK, settings, TokenBound(100, warm)) == cut(BOOK, settings, TokenBound(100, cold))
