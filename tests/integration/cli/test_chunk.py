"""`hf-endpoint chunk`: the cuts in colours, as figures, as a page, for machines."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from commands import run
from rich.console import Console

from langchain_hf_endpoint import chunk
from langchain_hf_endpoint.cli import chunk_view
from langchain_hf_endpoint.cli.chunk_view import Cuts, bars

if TYPE_CHECKING:
    from pathlib import Path

TEXT = " ".join(f"This is sentence <{number}> & it is short." for number in range(30))
SMALL = ("--size", "20", "--overlap", "1")
SETTINGS = {"strategy": "sentence", "max_chunking_size": 20, "sentence_overlap": 1}


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "long.txt"
    path.write_text(TEXT)
    return path


def test_tokens_are_counted_with_a_file(file, tmp_path):
    words = {word: number for number, word in enumerate([*TEXT.split(), "[UNK]"])}
    model = {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}
    described = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"}}
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(json.dumps({**described, "model": model}))
    done = run("chunk", file, "--max-tokens", "16", "--tokenizer", tokenizer, "--json")
    shown = json.loads(done.stdout)
    assert shown["chunking_settings"]["max_chunk_tokens"] == 16
    texts = [piece["text"] for piece in shown["texts"][0]["cuts"]]
    assert {len(text.split()) for text in texts} == {16}  # two sentences
    assert "max_chunking_size" not in shown["chunking_settings"]
    shown = json.loads(run("chunk", file, "--max-tokens", "99", "--size", "20", "--json").stdout)
    assert shown["chunking_settings"]["max_chunking_size"] == 20


def test_auto_takes_an_endpoint(file):
    done = run("chunk", file, "--max-tokens", "auto")
    assert done.exit_code == 1
    assert "none is asked here: give a number" in done.stderr


def test_one_word_is_one_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("Hello.")
    shown = run("chunk", "a.txt").stdout
    assert "1 chunk of 1 word" in shown
    assert "1 words" not in shown
    assert "0  1 word  0" in shown


def test_for_machines_it_is_what_the_chunker_gives(file):
    done = run("chunk", file, *SMALL, "--json")
    told = json.loads(done.stdout)
    assert told["chunking_settings"] == SETTINGS
    (one,) = told["texts"]
    wanted = chunk(TEXT, SETTINGS)
    assert [(cut["start"], cut["end"], cut["text"]) for cut in one["cuts"]] == [
        (piece.start, piece.end, piece.text) for piece in wanted
    ]
    assert one["chunks"] == len(wanted) > 5
    assert 0 < one["shared"] < 1


def test_standard_input_and_tables_are_cut_too(tmp_path):
    assert json.loads(run("chunk", "-", "--json", input=TEXT).stdout)["texts"][0]["id"] == "-"
    table = tmp_path / "x.jsonl"
    table.write_text("\n".join(json.dumps({"body": text}) for text in ("one", "two")))
    told = json.loads(run("chunk", table, "--text-column", "body", "--json").stdout)
    assert [text["cuts"][0]["text"] for text in told["texts"]] == ["one", "two"]


def test_in_a_terminal_overlaps_are_underlined_in_the_neighbours_colour(file, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("chunk", file, *SMALL, color=True).stdout
    pieces = chunk(TEXT, SETTINGS)
    shared = TEXT[pieces[1].start : pieces[0].end]
    assert shared
    underlined = re.findall(r"\x1b\[4;3([0-9])m([^\x1b]*)\x1b", shown)
    blue, yellow = "4", "3"  # the colours of chunks 0 and 1
    assert (yellow, shared) in underlined  # at the end of chunk 0
    assert (blue, shared) in underlined  # at the beginning of chunk 1


def test_figures_and_a_histogram_close_it(file):
    shown = run("chunk", file, *SMALL, "--summary").stdout
    sizes = [len(piece.text.split()) for piece in chunk(TEXT, SETTINGS)]
    assert f"{len(sizes)} chunks of {min(sizes)} to {max(sizes)} words" in " ".join(shown.split())
    assert "in two" in shown
    assert "█" in shown
    assert "sentence" not in shown
    drawn = [line for line in shown.splitlines() if re.match(r" *\d+\D\d+ ", line)]
    counts = [int(line.split()[-1]) for line in drawn]
    assert sum(counts) == len(sizes)
    assert len(counts) <= 10


class _Page(HTMLParser):
    """The tags, what they load, and the text of the part that shows the chunks."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.badges: list[str] = []
        self._open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link"):
            self._open.append(tag if dict(attrs).get("class") != "text" else "the text")

    def handle_endtag(self, tag):
        assert self._open.pop() in (tag, "the text")

    def handle_data(self, data):
        if self._open[-1:] == ["sup"]:
            self.badges.append(data)
        elif "the text" in self._open:
            self.text += data


def test_the_page_is_self_contained_and_shows_the_whole_text(file, tmp_path):
    output = tmp_path / "page.html"
    done = run("chunk", file, *SMALL, "--html", output)
    assert "chunks" in done.stderr
    page = _Page(output.read_text(encoding="utf-8"))
    assert page.text == TEXT
    assert page.badges == [str(number) for number in range(len(chunk(TEXT, SETTINGS)))]
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.loads == []
    assert "url(" not in output.read_text()
    assert "@import" not in output.read_text()


def test_the_page_marks_what_is_in_two_chunks(file, tmp_path):
    run("chunk", file, *SMALL, "--html", tmp_path / "a.html")
    run("chunk", file, "--size", "20", "--overlap", "0", "--html", tmp_path / "b.html")
    marked = [
        (tmp_path / name).read_text().partition('class="text"')[2].count('class="o"')
        for name in ("a.html", "b.html")
    ]
    assert marked == [len(chunk(TEXT, SETTINGS)) - 1, 0]


def test_a_text_of_one_chunk_and_strategy_none(file):
    told = json.loads(run("chunk", file, "--strategy", "none", "--json").stdout)
    assert [cut["text"] for cut in told["texts"][0]["cuts"]] == [TEXT]


def test_what_is_wrong_is_said(tmp_path, file):
    for arguments in (["none.txt"], [str(file), "--size", "5"], [str(file), "--overlap", "7"]):
        done = run("chunk", *arguments)
        assert done.exit_code == 1
        assert done.stderr
        assert "Traceback" not in done.output
    blank = tmp_path / "blank.txt"
    blank.write_text(" \n")
    assert "blank" in run("chunk", blank).stderr


def test_spans_cover_the_text_once_and_bars_count_each_chunk_once():
    for settings in (SETTINGS, {"strategy": "word", "max_chunking_size": 20, "overlap": 10}):
        cuts = Cuts("a", TEXT, chunk(TEXT, settings))
        spans = list(cuts.spans())
        assert "".join(TEXT[span.start : span.end] for span in spans) == TEXT
        for number, piece in enumerate(cuts.chunks):
            of_chunk = cuts.spans_by_chunk()[number]
            assert "".join(TEXT[span.start : span.end] for span in of_chunk) == piece.text
            assert all(number in span.chunks for span in of_chunk)
            inside = [span for span in spans if number in span.chunks]
            assert (inside[0].start, inside[-1].end) == (piece.start, piece.end)
        assert sum(bar.count for bar in bars(cuts.sizes())) == len(cuts.chunks)


def test_a_bar_is_as_long_as_its_share(monkeypatch):
    drawn = bars([5] * 8 + [15] * 4)
    console = Console(width=80)
    with console.capture() as shown:
        for bar in drawn:
            console.print(chunk_view._bar(bar, drawn))
    lengths = [line.count("█") for line in shown.get().splitlines()]
    assert max(lengths) == 40
    assert 20 in lengths
