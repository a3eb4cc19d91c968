"""What `hf-endpoint embed` reads and writes."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import embed, rows_of, run, vectors_of

from langchain_hf_endpoint import HFEndpointEmbeddings, chunk
from langchain_hf_endpoint._session.fingerprint import TEXTS as TELLING
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector

TEXTS = {
    "a": "The first text, with a comma.",
    "b": 'The second has\ntwo lines and "quotes".',
    "c": "Die dritte enthält Ümläute und 漢字.",
}
LONG = " ".join(f"This is sentence number {number} of a long text." for number in range(120))


def _jsonl(path):
    lines = [json.dumps({"key": name, "body": text, "n": 1}) for name, text in TEXTS.items()]
    path.write_text("\n\n".join(lines))


def _csv(path, delimiter=","):
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(["key", "n", "body"])
        writer.writerows([name, 1, text] for name, text in TEXTS.items())


def _tsv(path):
    _csv(path, "\t")


def _parquet(path):
    columns = {"key": list(TEXTS), "n": [1, 2, 3], "body": list(TEXTS.values())}
    pq.write_table(pa.table(columns), path, row_group_size=2)


MAKERS = {"x.jsonl": _jsonl, "x.csv": _csv, "x.tsv": _tsv, "x.parquet": _parquet}
TABLE = ("--text-column", "body", "--id-column", "key")


@pytest.mark.parametrize("name", [*MAKERS, "folder", "stdin.jsonl", "stdin.csv"])
def test_every_format_gives_the_same_vectors(tei_double, tmp_path, name):
    source, more, given = tmp_path / name, TABLE, None
    if name == "folder":
        more = ()
        for place, (key, text) in enumerate(TEXTS.items()):
            path = source / "abc"[place] / f"{key}.md"
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
        (source / ".hidden").mkdir()
        (source / ".hidden" / "x.md").write_text("no")
        (source / "picture.png").write_bytes(b"\x89PNG")
    elif name.startswith("stdin"):
        form = name.partition(".")[2]
        MAKERS[f"x.{form}"](source)
        given, source, more = source.read_bytes(), "-", (*TABLE, "--format", form)
    else:
        MAKERS[name](source)
    output = tmp_path / "out.parquet"
    summary = embed(source, tei_double, output, *more, input=given)
    assert (summary["texts"], summary["rows"], summary["failed"]) == (3, 3, 0)
    rows = rows_of(output)
    assert [row["text"] for row in rows] == list(TEXTS.values())
    assert np.array_equal(
        vectors_of(output), np.stack([expected_vector(text) for text in TEXTS.values()])
    )
    if name != "folder":
        assert [row["id"] for row in rows] == list(TEXTS)


def test_no_chunk_has_more_tokens_than_the_model_reads(tmp_path):
    records = [{"text": f"{LONG} {number}" if number % 3 else "Short."} for number in range(120)]
    source, output = tmp_path / "texts.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(map(json.dumps, records)))
    with ScriptedEndpoint(max_input_length=50) as double:
        summary = embed(source, double, output, "--max-tokens", "auto")
        asked = [request for request in double.requests if request.path == "/tokenize"]
    rows = rows_of(output)
    assert summary["rows"] == len(rows)
    # The double takes each word for a token, and puts two more around each input.
    assert 30 < max(len(row["text"].split(" ")) for row in rows) <= 48
    assert len(asked) <= len(rows) / 100


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "npy"])
def test_a_row_for_each_chunk_says_where_it_is(tei_double, tmp_path, ending):
    source, output = tmp_path / "long.md", tmp_path / f"out.{ending}"
    source.write_text(f"  {LONG}\n")
    embed(source, tei_double, output, "--size", "50", "--overlap", "0")
    settings = {"strategy": "sentence", "max_chunking_size": 50, "sentence_overlap": 0}
    pieces = chunk(source.read_text(), settings)
    rows = rows_of(output)
    assert len(rows) == len(pieces) > 10
    for place, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
        assert (row["chunk"], row["start"], row["end"]) == (place, piece.start, piece.end)
        assert row["text"] == piece.text
        assert row["id"] == row["source"] == str(source)
        assert np.array_equal(np.float32(row["embedding"]), expected_vector(piece.text))


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "npy"])
def test_a_row_for_each_text_is_what_embed_array_gives(tei_double, tmp_path, ending):
    source, output = tmp_path / "x.jsonl", tmp_path / f"out.{ending}"
    texts = [LONG, "short", LONG + " more"]
    source.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    embed(source, tei_double, output, "--per", "text", "--no-text", "--size", "60")
    endpoint = {"chunking_settings": {"max_chunking_size": 60}}
    embeddings = HFEndpointEmbeddings(
        endpoint={"service_settings": {"url": tei_double.url}, **endpoint}
    )
    assert np.array_equal(vectors_of(output), embeddings.embed_array(texts))
    rows = rows_of(output)
    assert [row["id"] for row in rows] == [f"{source}:{row}" for row in (1, 2, 3)]
    assert set(rows[0]) == {"id", "source", "embedding"}


def test_parquet_holds_float32_in_lists_of_a_fixed_size(tei_double, tmp_path):
    source, output = tmp_path / "x.jsonl", tmp_path / "out.parquet"
    _jsonl(source)
    embed(source, tei_double, output, *TABLE)
    table = pq.read_table(output)
    wanted = pa.list_(pa.field("element", pa.float32(), nullable=False), 384)
    assert table.schema.field("embedding").type == wanted
    names = ["id", "source", "chunk", "start", "end", "text", "embedding"]
    assert table.schema.names == names
    about = json.loads(table.schema.metadata[b"hf_endpoint"])
    assert about["model"] == "scripted/endpoint"
    assert about["chunking_settings"]["max_chunking_size"] == 250


def test_a_text_that_is_there_twice_is_embedded_once(tei_double, tmp_path):
    source, output = tmp_path / "x.jsonl", tmp_path / "out.npy"
    source.write_text('{"text": "same"}\n' * 50 + '{"text": "other"}\n')
    assert embed(source, tei_double, output)["rows"] == 51
    sent = [text for entry in tei_double.requests for text in entry.texts if text not in TELLING]
    assert sorted(sent) == ["other", "same"]


def test_texts_that_fail_are_told_beside_the_others(tei_double, tmp_path):
    tei_double.configure(rejects="REJECT")
    source, output = tmp_path / "x.jsonl", tmp_path / "out.jsonl"
    lines = [
        '{"id": 1, "text": "good"}',
        '{"id": 2, "text": " "}',
        "not JSON",
        '{"id": 4}',
        '{"id": 5, "text": 7}',
        '{"text": "no id"}',
        json.dumps({"id": 7, "text": f"{LONG} REJECT this. {LONG}"}),
        '{"id": 8, "text": "good too"}',
    ]
    source.write_text("\n".join(lines))
    summary = embed(source, tei_double, output, "--id-column", "id", status=3)
    assert (summary["texts"], summary["failed"], summary["rows"]) == (8, 6, 2)
    assert [row["id"] for row in rows_of(output)] == ["1", "8"]
    failed = rows_of(tmp_path / "out.jsonl.failures.jsonl")
    assert [row["row"] for row in failed] == [2, 3, 4, 5, 6, 7]
    assert [row["error"] for row in failed] == ["Unreadable"] * 5 + ["InputError"]
    assert "tokenizer" in failed[-1]["problem"]
    assert failed[-1]["end"] > failed[-1]["start"] > 0
    assert "REJECT" not in (tmp_path / "out.jsonl.failures.jsonl").read_text()


def test_where_all_fail_there_is_no_output(tei_double, tmp_path):
    source, output = tmp_path / "x.txt", tmp_path / "out.npy"
    source.write_bytes(b"\xff\xfe\xff")
    summary = embed(source, tei_double, output, status=3)
    assert summary["output"] is None
    assert not output.exists()
    assert "UTF-8" in rows_of(tmp_path / "out.npy.failures.jsonl")[0]["problem"]


WRONG = {
    "no such file": (["nowhere.txt"], "nowhere.txt does not exist"),
    "no such column": (["x.csv", "--text-column", "none"], "key, n, body"),
    "an odd ending": (["x.csv", "-o", "out.xlsx"], ".parquet, .jsonl, .npy"),
    "no such folder": (["x.csv", "-o", "none/out.npy"], "none does not exist"),
    "a wrong setting": (["x.csv", "--size", "5"], "max_chunking_size"),
    "a setting of another strategy": (
        ["x.csv", "--strategy", "word", "--language", "french"],
        "language",
    ),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said_before_anything_is_sent(
    tei_double, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    _csv(tmp_path / "x.csv")
    done = run("embed", "-e", tei_double.url, "-o", "out.npy", "--text-column", "body", *arguments)
    assert done.exit_code == 1
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert tei_double.requests == []


def test_parquet_without_its_package_names_the_extra(tei_double, tmp_path, monkeypatch):
    _jsonl(tmp_path / "x.jsonl")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("embed", tmp_path / "x.jsonl", "-e", tei_double.url, "-o", tmp_path / "o.parquet")
    assert done.exit_code == 1
    assert "langchain-hf-endpoint[parquet]" in done.stderr


def test_an_output_within_the_folder_that_is_read_is_not_read(tei_double, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    tei_double.configure(rejects="one")
    embed(tmp_path, tei_double, tmp_path / "out.jsonl", status=3)
    tei_double.configure(rejects="")
    assert embed(tmp_path, tei_double, tmp_path / "out.jsonl", "--resume")["texts"] == 1


def test_without_a_terminal_the_summary_is_in_words(tei_double, tmp_path):
    _jsonl(tmp_path / "x.jsonl")
    output = tmp_path / "out.npy"
    done = run("embed", tmp_path / "x.jsonl", "-e", tei_double.url, "-o", output, *TABLE)
    assert "3 texts, 3 chunks; 3 embedded" in done.stdout
    assert f"{output}: 3 rows, 384 dimensions" in done.stdout


def test_a_bare_url_is_used_as_the_options_say(tei_double, tmp_path):
    source = tmp_path / "x.jsonl"
    source.write_text("".join(json.dumps({"text": f"text {n}"}) + "\n" for n in range(10)))
    usage = ("--document-prompt", "passage: ", "--batch", "4", "--dialect", "tei")
    more = ("--rpm", "600", "--at-once", "1", "--timeout", "9", "--max-wait", "9")
    embed(source, tei_double, tmp_path / "out.jsonl", *usage, *more)
    posts = tei_double.requests
    assert max(len(entry.texts) for entry in posts) == 4
    texts = {text for entry in posts for text in entry.texts} - set(TELLING)
    assert all(text.startswith("passage: ") for text in texts)
