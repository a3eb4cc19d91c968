"""What `hf-endpoint embed --dry-run` says beforehand, beside what a run then takes."""

from __future__ import annotations

import gzip
import json
from importlib import resources

import pytest
from commands import run

from langchain_hf_endpoint._session.session import close_sessions

WORDS = [f"word{number}" for number in range(13)]


@pytest.fixture
def source(tmp_path):
    """300 texts of 1 to 13 words, the first 20 of them twice."""
    texts = [" ".join([f"{n}", *WORDS[: n % 13]]) for n in range(300)]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": one}) + "\n" for one in [*texts, *texts[:20]]))
    return file


def dry(*arguments):
    done = run("embed", *arguments, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def real(*arguments):
    done = run("embed", *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_it_says_what_the_run_then_takes_and_sends_nothing_to_be_embedded(
    tei_double, source, tmp_path
):
    command = (source, "-e", tei_double.url, "-o", tmp_path / "out.npy")
    said = dry(*command)
    assert {one.path for one in tei_double.arrivals} == {"/info", "/tokenize"}
    assert not (tmp_path / "out.npy").exists()
    tei_double.forget()
    took = real(*command)
    assert (said["texts"], said["chunks"]) == (took["texts"], took["chunks"]) == (320, 320)
    assert (said["embedded"], said["repeats"]) == (took["embedded"], 20)
    assert took["usage"]["requests"] == len(tei_double.arrivals)
    # A source that is slow for a moment is not waited for, and a batch less full then.
    assert said["requests"] == pytest.approx(took["usage"]["requests"], abs=2)
    assert said["tokens"] == pytest.approx(took["usage"]["tokens"], rel=0.02)
    assert (said["chunks_counted"], said["tokens_counted"]) == (300, 0)  # by the server


@pytest.mark.parametrize("ending", ["npy", "jsonl"])  # the double's vectors are easily packed
@pytest.mark.parametrize("per", ["chunk", "text"])
def test_the_bytes_are_those_that_are_written(tei_double, source, tmp_path, ending, per):
    folder = tmp_path / "out"
    folder.mkdir()
    command = (source, "-e", tei_double.url, "-o", folder / f"out.{ending}", "--per", per)
    run("embed", *command, "--json")
    written = sum(file.stat().st_size for file in folder.iterdir())
    again = (source, "-e", tei_double.url, "-o", tmp_path / f"again.{ending}", "--per", per)
    said = json.loads(run("embed", *again, "--probe", "--json").stdout)
    assert said["bytes"] == pytest.approx(written, rel=0.05)


def test_the_tokens_of_many_chunks_follow_from_a_sample(tei_double, tmp_path):
    file = tmp_path / "many.jsonl"
    texts = [f"{n} " + " ".join(WORDS[: n * n % 13]) for n in range(4000)]
    file.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    command = (file, "-e", tei_double.url, "-o", tmp_path / "out.npy")
    said = dry(*command)
    assert 1000 < said["chunks_counted"] < 1300
    assert len(tei_double.requests) == 40
    assert said["tokens"] == pytest.approx(real(*command)["usage"]["tokens"], rel=0.02)


def test_the_limit_says_how_long_it_takes_at_least(tei_double, source, tmp_path):
    command = (source, "-e", tei_double.url, "-o", tmp_path / "out.npy", "--batch", 1)
    said = dry(*command, "--rpm", 600)
    assert said["limit_seconds"] == said["requests"] / 10 == 30.2
    assert said["server_seconds"] is None
    words = run("embed", *command, "--rpm", 600, "--dry-run", "--price", "0.5/M").stdout
    chunks = "300 to be embedded, 20 like others, 0 from an earlier run, 0 in the cache"
    assert words.splitlines() == [
        f"320 texts, 320 chunks; {chunks}",
        f"302 requests; {said['tokens']:,} tokens",
        "at least 0.5 minutes, by the limit; --probe times the server",
        f"{tmp_path / 'out.npy'}: size not known before the first vector; --probe gets some",
        f"cost at least {said['tokens'] / 2e6:.5f}",  # three digits of it
    ]


def test_little_is_not_said_to_be_nothing(tei_double, tmp_path):
    source, output = tmp_path / "two.jsonl", tmp_path / "out.npy"
    source.write_text('{"text": "one"}\n{"text": "two"}\n')
    command = ("embed", source, "-e", tei_double.url, "-o", output, "--batch", 1, "--rpm", 60_000)
    probed = run(*command, "--probe").stdout
    assert "less than 0.1 minutes: the" in probed
    assert f"{output}: less than 0.1 MB" in probed
    with source.open("a") as file:
        file.writelines(f'{{"text": "text {number}"}}\n' for number in range(1500))
    assert "less than 0.1 minutes, by the limit" in run(*command, "--dry-run").stdout


def test_a_probe_says_whether_the_server_or_the_limit_holds_it_back(tei_double, source, tmp_path):
    tei_double.configure(seconds_per_request=0.05)
    command = (source, "-e", tei_double.url, "-o", tmp_path / "out.npy", "--batch", 60, "--probe")
    said = run("embed", *command).stdout
    assert "minutes: the server holds it back" in said
    said = run("embed", *command, "--rpm", 300).stdout
    assert "minutes: the limit holds it back" in said


def test_of_a_run_that_was_broken_off_the_rest_is_told(tei_double, source, tmp_path):
    command = (source, "-e", tei_double.url, "-o", tmp_path / "out.npy")
    tei_double.configure(rejects="299")
    assert run("embed", *command).exit_code == 3
    tei_double.configure(rejects="")
    said = dry(*command, "--resume")
    assert (said["known"], said["embedded"]) == (299, 1)


def test_what_the_cache_has_is_told_and_nothing_else_is_asked_for(tei_double, source, tmp_path):
    cache = ("--cache", tmp_path / "vectors.db")
    run("embed", source, "-e", tei_double.url, "-o", tmp_path / "first.npy", *cache)
    with source.open("a") as file:
        file.write('{"text": "one more"}\n')
    tei_double.forget()
    said = dry(source, "-e", tei_double.url, "-o", tmp_path / "out.npy", *cache)
    assert (said["chunks"], said["repeats"]) == (321, 20)
    assert (said["cached"], said["embedded"]) == (300, 1)
    assert not any("one more" in one.texts for one in tei_double.requests if one.path == "/embed")


@pytest.mark.parametrize("with_cache", [False, True], ids=["no texts", "all in the cache"])
def test_a_run_that_embeds_nothing_asks_for_little(tei_double, source, tmp_path, with_cache):
    cache = ("--cache", tmp_path / "vectors.db") if with_cache else ()
    if with_cache:
        run("embed", source, "-e", tei_double.url, "-o", tmp_path / "first.npy", *cache)
    else:
        source.write_text("")
    close_sessions()
    command = (source, "-e", tei_double.url, "-o", tmp_path / "out.npy", *cache)
    said = dry(*command)
    close_sessions()
    took = real(*command)["usage"]
    assert (said["requests"], said["tokens"]) == (took["requests"], took["tokens"])
    assert said["embedded"] == 0


def test_without_a_tokenizer_the_tokens_are_not_known(tei_double, source, tmp_path):
    tei_double.configure(shape="embeddings")
    said = dry(source, "-e", tei_double.url, "-o", tmp_path / "out.npy", "--price", "0.5/M")
    assert said["tokens"] is None
    assert said["cost"] is None


def test_chunks_are_cut_and_counted_by_a_tokenizer_where_one_is_given(tei_double, tmp_path):
    tokenizer = tmp_path / "tokenizer.json"
    packed = resources.files("langchain_hf_endpoint.local") / "data" / "tokenizer.json.gz"
    tokenizer.write_bytes(gzip.decompress(packed.read_bytes()))
    source = tmp_path / "long.txt"
    source.write_text(" ".join(f"Sentence {n} is unbelievably long." for n in range(300)))
    tei_double.configure(shape="embeddings")
    options = ("--max-tokens", 50, "--tokenizer", tokenizer)
    said = dry(source, "-e", tei_double.url, "-o", tmp_path / "out.npy", *options)
    assert not tei_double.requests
    took = real(source, "-e", tei_double.url, "-o", tmp_path / "out.npy", *options)
    assert (said["chunks"], said["embedded"]) == (took["chunks"], took["embedded"])
    assert said["tokens"] == said["tokens_counted"]
    assert said["tokens"] > took["chunks"] * 40 > 1000


@pytest.mark.parametrize("price", ["0.5", "x/h", "1/day", "/M", "-1/M", "nan/M", "inf/h"])
def test_a_price_that_is_none_is_refused(tei_double, source, tmp_path, price):
    done = run("embed", source, "-e", tei_double.url, "-o", tmp_path / "out.npy", "--price", price)
    assert done.exit_code == 1
    assert "--price: must be like 0.80/h" in done.stderr


@pytest.mark.parametrize(
    ("price", "said"),
    [("0.0000001/M", "cost at least 0.000000000"), ("0/M", "cost at least 0.0000")],
)
def test_a_low_cost_is_no_row_of_zeros(tei_double, source, tmp_path, price, said):
    command = (source, "-e", tei_double.url, "-o", tmp_path / "out.npy", "--dry-run")
    told = run("embed", *command, "--price", price).stdout.splitlines()[-1]
    assert told.startswith(said)
    assert len(told.removeprefix(said)) == (0 if price == "0/M" else 3)
