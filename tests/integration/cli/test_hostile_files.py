"""Files as they are found: one bad row, byte or name harms no other, and none is lost silently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import embed, rows_of, run

from langchain_hf_endpoint.cli.ingest.readers import Columns, Record
from langchain_hf_endpoint.cli.ingest.sources import Sources
from langchain_hf_endpoint.errors import SettingsError

ODD_NAME = os.fsdecode(b"caf\xe9.txt")


def read(path, content, **columns):
    """Texts of a file by row, and the problems of the rows that have none."""
    path.write_bytes(content)
    texts, problems = {}, {}
    for one in Sources([str(path)], Columns(**columns)).records():
        if isinstance(one, Record):
            texts[one.row] = one.text
        else:
            problems[one.row] = one.problem
    return texts, problems


BAD_ROWS = {
    "a byte": (b"1001,te\xffxt", "is not UTF-8, see byte {at}", b"\xff"),
    "a NUL": (b"1001,te\x00xt", "NUL, see byte", b"\x00"),
    "a quote within a field": (b'1001,"a" b', "quotes within quotes are doubled, see byte", b""),
    "a quote that is never closed": (b'1001,"never closed', "never closed, see byte", b""),
    "too few columns": (b"1001", "has 1 column, where the header has 2", b""),
    "too many columns": (b"1001,a,b", "has 3 columns, where the header has 2", b""),
    "a surrogate in UTF-8": (b"1001,\xed\xa0\x80", "is not UTF-8, see byte {at}", b"\xed"),
}


@pytest.mark.parametrize(("row", "problem", "byte"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_of_csv_is_lost_alone(tmp_path, row, problem, byte):
    rows = [f"{number},text {number}".encode() for number in range(1, 2001)]
    rows[1000] = row
    content = b"id,text\n" + b"\n".join(rows) + b"\n"
    texts, problems = read(tmp_path / "x.csv", content)
    assert texts == {row: f"text {row}" for row in range(1, 2001) if row != 1001}
    assert list(problems) == [1001]
    assert problem.format(at=content.index(byte)) in problems[1001]


def test_a_bad_byte_in_a_column_that_is_not_read_harms_nobody(tmp_path):
    assert read(tmp_path / "x.csv", b"text,more\nfine,\xff\n") == ({1: "fine"}, {})
    assert read(tmp_path / "x.jsonl", b'{"text":"fine","more":"\xff"}') == ({1: "fine"}, {})


SHAPES = {
    "quoted separators": ("x.csv", b'"id, number, of, row";text\n1;a, b\n', {}, ["a, b"]),
    "more commas in names": ("x.csv", b"id, number, of, row;text\n1;a, b\n", {}, ["a, b"]),
    "Excel's sep": ("x.csv", b"sep=;\r\nid;text\r\n1;a, b\r\n", {}, ["a, b"]),
    "Excel's sep after a mark": ("x.csv", b"\xef\xbb\xbfsep=|\r\nid|text\r\n1|a\r\n", {}, ["a"]),
    "a delimiter that is given": ("x.csv", b"id|text\n1|a\n", {"delimiter": "|"}, ["a"]),
    "a tab by its name": ("x.csv", b"i,d\ttext\n1\ta\n", {"delimiter": "tab"}, ["a"]),
    "a column of that name": ("x.csv", b"id|text\na\n", {"text": "id|text"}, ["a"]),
    "a quote in TSV": ("x.tsv", b'id\ttext\n1\t"a\n2\tb\n3\tc\n', {}, ['"a', "b", "c"]),
    "two quotes in TSV": ("x.tsv", b'id\ttext\n1\t"a\n2\tb"\n3\tc\n', {}, ['"a', 'b"', "c"]),
    "words in quotes in TSV": ("x.tsv", b'id\ttext\n1\t"a" b\n', {}, ['"a" b']),
    "lines in quotes in TSV": ("x.tsv", b'id\ttext\n1\t"a\nb"\n', {}, ["a\nb"]),
    "commas in TSV": ("x.tsv", b"a,b,c\ttext\n1\tx\n", {}, ["x"]),
    "lines in quotes": ("x.csv", b'id,text\n1,"a\nb, ""c"""\n', {}, ['a\nb, "c"']),
    "Excel's sep in TSV": ("x.tsv", b"sep=,\nid,text\n1,a\n", {}, ["a"]),
    "old line ends": ("x.csv", b"id,text\r1,a\r2,b\r", {}, ["a", "b"]),
    "blanks after commas": ("x.csv", b"id, text\n1,a\n", {}, ["a"]),
}


@pytest.mark.parametrize(("name", "content", "columns", "texts"), SHAPES.values(), ids=SHAPES)
def test_the_shape_of_a_table_is_not_guessed_wrong(tmp_path, name, content, columns, texts):
    found, problems = read(tmp_path / name, content, **columns)
    assert list(found.values()) == texts
    assert problems == {}


REFUSED = {
    "a column whose name holds a separator": (b"id|text\n1|hello\n", "--delimiter '|'"),
    "a colon": (b"id:text\n1:hello\n", "--delimiter ':'"),
    "a header all in quotes": (b'"id,text"\n"1,hello"\n', "--delimiter ','"),
    "two separators": (b"id,nr;name\n1;hi\n", "--delimiter"),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("name", ["x.csv", "x.tsv"])
def test_a_table_that_does_not_tell_its_shape_is_refused(tmp_path, content, words, name):
    path = tmp_path / name
    path.write_bytes(content)
    done = run("chunk", path)
    assert done.exit_code == 1
    assert words in done.stderr


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("text,text\na,b\n")
    done = run("chunk", path)
    assert done.exit_code == 1
    assert "several columns 'text'" in done.stderr


@pytest.mark.parametrize("delimiter", ["", "ab", '"', "\n"])
def test_a_delimiter_is_one_character(delimiter):
    with pytest.raises(SettingsError, match="one character, or tab"):
        Columns(delimiter=delimiter)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b'{"text": "a", "n": NaN}', "a"),
        (b'{"text": "a", "n": -Infinity}', "a"),
        (b'{"text": "a", "n": "\\ud800"}', "a"),
        (b'{"text": "a\xff"}', "is not UTF-8, see byte 32"),
        (b'{"text": "\\ud800"}', "half a pair"),
        (b'{"text": NaN}', "the text is a number"),
        (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "a"),
        (b'{"text": ' + b"9" * 5000 + b"}", "the text is a number"),
        (b"[1]", "is no JSON object but an array"),
        (b"[" * 50_000, "is nested too deeply"),
        (b"oops", "is not JSON, see column 1"),
    ],
)
def test_a_line_of_json_is_bad_alone_and_only_for_what_is_read_of_it(tmp_path, line, wanted):
    content = b'{"text": "first"}\n' + b"  \n" + line + b'\n{"text": "last"}'
    texts, problems = read(tmp_path / "x.jsonl", content)
    assert (texts[1], texts[4]) == ("first", "last")
    assert wanted in (texts.get(3) or problems[3])


def test_ids_of_json_are_as_given(tei_double, tmp_path):
    ids = ["123456789012345678901234567890", "123456789012345678901234567891", "1.10", "true", "7"]
    source, output = tmp_path / "x.jsonl", tmp_path / "out.jsonl"
    lines = [f'{{"id": {one}, "text": "a {one}"}}' for one in ids]
    source.write_text("\n".join(lines))
    assert embed(source, tei_double, output, "--id-column", "id")["repeated_ids"] == 0
    assert [row["id"] for row in rows_of(output)] == ids


def test_what_has_no_id_is_named_by_its_place(tmp_path):
    """An empty cell of CSV, null in JSONL; and a number of more digits than Python reads."""
    path, digits = tmp_path / "x.csv", "9" * 5000
    path.write_text("id,text\n,a\n7,b\n,\n")
    found = Sources([str(path)], Columns(id="id")).records()
    assert [one.id for one in found] == [f"{path}:1", "7", f"{path}:3"]
    path = tmp_path / "x.jsonl"
    path.write_text(
        f'{{"id": null, "text": "a"}}\n{{"id": {digits}, "text": "b"}}\n{{"text": "c"}}'
    )
    first, second, third = Sources([str(path)], Columns(id="id")).records()
    assert [first.id, second.id] == [f"{path}:1", digits]
    assert third.problem == "has no field 'id'"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.txt", "Hello.".encode("utf-16-le")),
        ("x.csv", "id,text\n1,Hello.\n".encode("utf-16-le")),
        ("x.md", b"GIF89a\x00\x01"),
        ("x", b"\x00a"),
    ],
)
def test_what_holds_a_nul_is_no_text(tmp_path, name, content):
    assert "holds a NUL, as UTF-16" in read(tmp_path / name, content)[1][None]


@pytest.mark.parametrize("output", ["", ".", "..", "/", "/dev/stdout", "x.csv"])
def test_an_output_that_is_no_file_of_vectors_is_refused_in_words(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("A text.")
    done = run("embed", "a.txt", "-e", "http://127.0.0.1:9", "-o", output)
    assert done.exit_code == 1
    assert "must end with one of .parquet, .jsonl, .npy" in done.stderr


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_integer_ids_of_parquet_are_integers_where_some_are_missing(tmp_path, kind):
    path = tmp_path / "x.parquet"
    ids = pa.array([1, None, 3], kind)
    pq.write_table(pa.table({"id": ids, "text": ["a", "b", "c"]}), path)
    found = Sources([str(path)], Columns(id="id")).records()
    assert [one.id for one in found] == ["1", f"{path}:2", "3"]


def test_a_string_of_parquet_that_is_not_utf_8_is_bad_alone(tmp_path):
    path = tmp_path / "x.parquet"
    odd = pa.Array.from_buffers(
        pa.string(), 3, pa.array([b"a", b"\xff", b"c"], pa.binary()).buffers()
    )
    pq.write_table(pa.table({"text": odd, "b": pa.array([b"x", b"y", b"z"])}), path)
    found = list(Sources([str(path)], Columns()).records())
    assert [getattr(one, "text", None) for one in found] == ["a", None, "c"]
    assert "is not UTF-8" in found[1].problem
    found = Sources([str(path)], Columns(text="b")).records()
    assert [one.text for one in found] == ["x", "y", "z"]


def test_ids_that_are_there_twice_are_said_once(tei_double, tmp_path):
    source, output = tmp_path / "x.csv", tmp_path / "out.jsonl"
    source.write_text("id,text\n1,a\n1,b\n2,c\n1,d\n")
    done = run("embed", source, "-e", tei_double.url, "-o", output, "--id-column", "id")
    assert "1 id stands for several texts" in done.stdout


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with all that may be in one; relative, so that output is short."""
    monkeypatch.chdir(tmp_path)
    within = tmp_path / "docs"
    (within / "shut").mkdir(parents=True)
    (within / "ok.txt").write_text("Fine.")
    (within / ODD_NAME).write_text("A name of another century.")
    (within / "picture.png").write_bytes(b"\x89PNG")
    (within / "link").symlink_to(tmp_path)
    (within / "round").symlink_to("round")
    os.mkfifo(within / "pipe.txt")
    scandir = os.scandir

    def refuse(path):  # tests may run as one whom no mode keeps out
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return within


LEFT_OUT = ("docs/picture.png", "1 linked folder left out: docs/link", "docs/pipe.txt")


def test_a_folder_is_read_as_far_as_that_goes_and_the_rest_is_said(folder, tei_double):
    done = run("embed", "docs", "-e", tei_double.url, "-o", "out.parquet")
    assert done.exit_code == 3
    for words in LEFT_OUT:
        assert words in done.stdout
    rows = rows_of(folder.parent / "out.parquet")
    assert [row["text"] for row in rows] == ["A name of another century.", "Fine."]
    assert rows[0]["id"] == rows[0]["source"] == "docs/caf\\udce9.txt"
    (failed,) = rows_of(folder.parent / "out.parquet.failures.jsonl")
    assert failed["source"] == "docs/shut"
    assert "Permission denied" in failed["problem"]


@pytest.mark.parametrize("command", ["chunk", "check"])
def test_chunk_and_check_say_what_they_leave_out_too(folder, local_server, command):
    target = [local_server.url] if command == "check" else []
    done = run(command, *target, "docs")
    assert done.exit_code == 3  # for what could not be read
    for words in (*LEFT_OUT, "docs/shut: cannot be read: Permission denied"):
        assert words in done.stderr


def test_every_format_takes_a_name_that_is_no_utf_8(folder, tei_double):
    name = f"docs/{ODD_NAME}"
    for output in ("out.jsonl", "out.npy", os.fsdecode(b"o\xff.jsonl")):
        assert run("embed", name, "-e", tei_double.url, "-o", output).exit_code == 0
    page = os.fsdecode(b"p\xff.html")
    assert run("chunk", name, "--html", page).exit_code == 0
    assert "caf\\udce9.txt" in (folder.parent / page).read_text()
    assert run("chunk", name).exit_code == 0
    assert (
        json.loads(run("chunk", name, "--json").stdout)["texts"][0]["id"] == "docs/caf\\udce9.txt"
    )


NO_TEXTS = {
    "a.html": b"<p>Hello",
    "page": b"<!DOCTYPE html><p>Hello",
    "a.pdf": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3",
    "plain.pdf": b"%PDF-1.4\n",
    "a.docx": b"PK\x03\x04\xff",
    "a.ipynb": b"{}",
    "a.json": b"[]",
    "a.txt.gz": b"\x1f\x8b\x08\xff",
}


@pytest.mark.parametrize(("name", "content"), NO_TEXTS.items(), ids=NO_TEXTS)
def test_what_holds_a_text_among_other_things_is_not_embedded_as_it_is(
    tei_double, tmp_path, name, content
):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "b.txt").write_text("fine")
    output = tmp_path / "out.jsonl"
    done = run("embed", tmp_path / name, tmp_path / "b.txt", "-e", tei_double.url, "-o", output)
    assert done.exit_code == 3
    assert [row["text"] for row in rows_of(output)] == ["fine"]
    (failed,) = rows_of(tmp_path / "out.jsonl.failures.jsonl")
    assert "extract the text first" in failed["problem"]
    assert "extract the text first" in run("chunk", tmp_path / name).stderr


def test_tags_are_taken_where_that_is_said(tmp_path):
    page = tmp_path / "a.html"
    page.write_text("<p>Hello")
    told = json.loads(run("chunk", page, "--format", "text", "--json").stdout)
    assert told["texts"][0]["cuts"][0]["text"] == "<p>Hello"


def of_shell(script, tmp_path, **environment):
    """Run a script of bash in which `$H` is the command."""
    (tmp_path / "a.txt").write_text("Ein Wort wie Größe.")
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "H": f"{sys.executable} -m langchain_hf_endpoint", **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("what", ["chunk a.txt", "chunk a.txt --json", "--version", "chunk --help"])
def test_a_full_disk_is_said_in_one_line(tmp_path, what):
    done = of_shell(f"$H {what} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "standard output: No space left on device\n"


def test_a_terminal_of_few_letters_gets_them_spelled_out(tmp_path):
    done = of_shell("$H chunk a.txt; $H chunk a.txt --json", tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "Gr\\xf6" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["texts"][0]["cuts"][0]["text"].endswith(
        "Größe."
    )


def test_closed_streams_are_no_tracebacks(tmp_path):
    assert of_shell("$H chunk a.txt >&-", tmp_path).returncode == 0
    assert of_shell("$H chunk - <&-", tmp_path).returncode == 1
    assert of_shell("$H chunk a.txt > /dev/null 2>&-", tmp_path).returncode == 0


def test_a_page_is_not_written_over_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("A text.")
    (tmp_path / "mine.html").write_text("mine")
    refused = run("chunk", "a.txt", "--html", "mine.html")
    assert refused.exit_code == 1
    assert "--overwrite" in refused.stderr
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert run("chunk", "a.txt", "--html", "mine.html", "--overwrite").exit_code == 0
    assert "A text." in (tmp_path / "mine.html").read_text()
    nowhere = run("chunk", "a.txt", "--html", "nodir/x.html")
    assert nowhere.exit_code == 1
    assert nowhere.stderr == "nodir/x.html: No such file or directory\n"


def test_one_file_of_a_folder_that_is_of_another_make_is_left_alone(tmp_path):
    (tmp_path / "a.csv").write_text("text,n\nfine,1\n")
    (tmp_path / "b.csv").write_text("name,n\nx,1\n")
    found = list(Sources([str(tmp_path)], Columns()).records())
    assert found[0].text == "fine"
    assert "has no column 'text'" in found[1].problem


def test_what_flows_in_is_read_too(tei_double, tmp_path):
    script = (
        "printf 'id,text\\n1,hello\\n' | $H embed - --format csv -e $U -o a.jsonl && "
        "$H embed <(printf 'hello') -e $U -o b.jsonl --per text"
    )
    assert of_shell(script, tmp_path, U=tei_double.url).returncode == 0
    assert [rows_of(tmp_path / name)[0]["text"] for name in ("a.jsonl", "b.jsonl")] == ["hello"] * 2
