"""What bounds chunks in tokens, asked of servers that count in their own way, without sockets."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import random
from functools import cache
from importlib import resources
from itertools import count
from pathlib import Path

import httpx
import pytest
from driving import DRIVES
from thoroughness import amount, in_pairs

from langchain_hf_endpoint import HFEndpointEmbeddings, SettingsError
from langchain_hf_endpoint.chunking import chunk
from langchain_hf_endpoint.chunking.tokenizer_file import counter_of

ALICE = Path(__file__).parents[3] / "examples/data/alice_in_wonderland.txt"
BOOK = ALICE.read_text("utf-8")[: amount(90_000, 200_000)]
FILE = gzip.decompress(
    (resources.files("langchain_hf_endpoint.local") / "data" / "tokenizer.json.gz").read_bytes()
)
COUNTER = counter_of(FILE)
VECTOR = [0.6, 0.8]
_NUMBERS = count()


@cache
def whole_tokenizer():
    """It neither pads nor truncates."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - of an extra

    tokenizer = Tokenizer.from_buffer(FILE)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


class Server:
    """A server with the tokenizer of the model of the extra [local]; `asked` are its requests.

    Args:
        kind: ``tei``, ``llamacpp``, ``vllm``, or another: it has no ``/tokenize``.
        window: How many tokens it says that its model reads; None: it does not say.
        tokenizes: How many requests of ``/tokenize`` it serves.
        tokens_of: The tokens of a text that it reports with vectors; None: it reports none.
    """

    def __init__(self, kind, window=128, tokenizes=10**6, tokens_of=None):
        self.number = next(_NUMBERS)
        self.kind, self.window, self.tokenizes = kind, window, tokenizes
        self.tokens_of = tokens_of
        self.asked = []
        self.inputs = []
        self.tokenizer = whole_tokenizer()

    def embeddings(self, service=None, **settings):
        """For a host of its own, of which nothing is known yet."""
        path = "" if self.kind == "tei" else "/v1"
        transport = httpx.MockTransport(self.answer)
        return HFEndpointEmbeddings(
            service_settings={
                "url": f"http://{self.kind}-{self.number}.test{path}",
                **(service or {}),
            },
            http_client=httpx.Client(transport=transport),
            http_async_client=httpx.AsyncClient(transport=transport),
            **settings,
        )

    def tokenize_requests(self):
        return self.asked.count("/tokenize")

    def answer(self, request):
        path = request.url.path
        self.asked.append(path)
        content = json.loads(request.content) if request.content else {}
        if path == "/info" and self.kind == "tei":
            return httpx.Response(200, json=self.info())
        if path == "/v1/models" and self.kind != "tei":
            return httpx.Response(200, json={"data": [self.model()]})
        if path == "/tokenize" and self.tokenize_requests() <= self.tokenizes:
            return self.tokens(content)
        if path == "/" and self.kind == "tei":
            self.inputs += content["inputs"]
            return httpx.Response(200, json=[VECTOR for _ in content["inputs"]])
        if path == "/v1/embeddings" and self.kind != "tei":
            self.inputs += content["input"]
            rows = [
                {"object": "embedding", "index": index, "embedding": VECTOR}
                for index, _ in enumerate(content["input"])
            ]
            told = {}
            if self.tokens_of:
                tokens = sum(map(self.tokens_of, content["input"]))
                told = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
            return httpx.Response(200, json={"object": "list", "data": rows, "model": "m", **told})
        return httpx.Response(404, json={"error": "no such route"})

    def info(self):
        told = {"model_id": "a/model", "model_type": {"embedding": {"pooling": "mean"}}}
        return {**told, "max_client_batch_size": 32, "max_input_length": self.window}

    def model(self):
        lengths = {"llamacpp": {"meta": {"n_ctx": self.window}}}
        return {
            "id": "m",
            "owned_by": self.kind,
            **lengths.get(self.kind, {"max_model_len": self.window}),
        }

    def tokens(self, content):
        if self.kind == "tei":
            rows = [self.row(text, content) for text in content["inputs"]]
            assert len(rows) <= 32
            return httpx.Response(200, json=rows)
        if self.kind == "llamacpp":
            ids = self.tokenizer.encode(content["content"]).ids
            return httpx.Response(200, json={"tokens": ids})
        if self.kind == "vllm":
            assert content["model"] == "m"
            ids = self.tokenizer.encode(content["prompt"]).ids
            return httpx.Response(200, json={"count": len(ids), "tokens": ids})
        return httpx.Response(404, json={"error": "no such route"})

    def row(self, text, content):
        if content.get("prompt_name"):
            text = "a prompt of the server's own: " + text
        encoding = self.tokenizer.encode(text)
        pairs = zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        return [{"id": one, "special": bool(special)} for one, special in pairs]


KINDS = pytest.mark.parametrize("kind", ["tei", "llamacpp", "vllm"])
AUTO = {"max_chunk_tokens": "auto"}


def most_tokens(texts):
    return max(COUNTER.count(list(texts)))


@in_pairs(
    kind=["tei", "llamacpp", "vllm"],
    strategy=["sentence", "word", "none"],
    drive=DRIVES,
    indirect=["drive"],
)
def test_chunks_fill_what_the_model_reads_and_never_more(kind, strategy, drive):
    server = Server(kind)
    embeddings = server.embeddings(chunking_settings={**AUTO, "strategy": strategy})
    (chunks,) = drive.chunks(embeddings, [BOOK])
    counts = COUNTER.count([one.text for one in chunks])
    assert max(counts) + 2 <= server.window
    assert sum(counts) >= 0.8 * 126 * len(counts)
    assert server.tokenize_requests() <= len(chunks) / 100


@KINDS
def test_chunks_are_those_of_the_tokenizer_file(kind, drive, tmp_path):
    """The same words have the same tokens, whoever counts them."""
    (tmp_path / "tokenizer.json").write_bytes(FILE)
    server = Server(kind)
    here = {"max_chunk_tokens": 126, "tokenizer": str(tmp_path)}
    (chunks,) = drive.chunks(server.embeddings(chunking_settings=AUTO), [BOOK])
    assert [one.text for one in chunks] == [one.text for one in chunk(BOOK, here)]
    server = Server(kind)
    drive.chunks(server.embeddings(chunking_settings={**AUTO, "tokenizer": str(tmp_path)}), [BOOK])
    inputs = [text for text in server.inputs if text in BOOK]  # without what shows the route
    assert sorted(inputs) == sorted({one.text for one in chunks})
    assert not server.tokenize_requests()


@KINDS
def test_words_are_asked_for_once_in_a_process(kind, drive):
    server = Server(kind)
    embeddings = server.embeddings(chunking_settings=AUTO)
    drive.documents(embeddings, [BOOK[:60_000]])
    before = server.tokenize_requests()
    drive.documents(embeddings, [BOOK[:50_000], BOOK[5000:40_000]])
    assert server.tokenize_requests() <= before + 1  # a word that the cut has made


@KINDS
def test_a_prompt_takes_of_the_room(kind, drive):
    prompt = "a rather long prompt that is put before each document: "
    server = Server(kind)
    task = {"document_prompt": prompt}
    drive.documents(server.embeddings(chunking_settings=AUTO, task_settings=task), [BOOK[:20_000]])
    chunks = [text for text in server.inputs if text.startswith(prompt)]
    assert len(server.inputs) - len(chunks) <= 1  # what shows the route
    assert 110 < most_tokens(chunks) <= 126


def test_a_prompt_of_the_servers_own_takes_of_the_room(drive):
    server = Server("tei")
    task = {"document_prompt_name": "document"}
    drive.documents(server.embeddings(chunking_settings=AUTO, task_settings=task), [BOOK[:20_000]])
    assert (
        110 < most_tokens("a prompt of the server's own: " + text for text in server.inputs) <= 126
    )


def test_a_prompt_that_leaves_no_room_is_an_error(drive):
    task = {"document_prompt": "word " * 120}
    embeddings = Server("tei").embeddings(chunking_settings=AUTO, task_settings=task)
    with pytest.raises(SettingsError, match="the prompt leaves 6 of the 128 tokens"):
        drive.documents(embeddings, ["A text."])


@KINDS
def test_a_number_is_kept_whatever_the_model_reads(kind, drive):
    server = Server(kind)
    embeddings = server.embeddings(chunking_settings={"max_chunk_tokens": 40})
    drive.documents(embeddings, [BOOK[:20_000]])
    assert 36 < most_tokens(server.inputs) <= 40


@in_pairs(
    kind=["tei", "llamacpp", "vllm"],
    text=[
        "我能吞下玻璃而不伤身体。" * 300,
        "0f9a" * 3000,
        "naïve café «où» " * 400,
        "한국어는 " * 500,
    ],
    drive=DRIVES,
    indirect=["drive"],
)
def test_scripts_and_runs_without_blanks(kind, drive, text):
    server = Server(kind)
    (chunks,) = drive.chunks(server.embeddings(chunking_settings=AUTO), [text])
    assert most_tokens(server.inputs) <= 126
    assert len(chunks) > 3


@pytest.mark.parametrize("tokens", [8, 16, 32])
@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(random.Random(3).randbytes(3000)).decode(),
        random.Random(3).randbytes(3000).hex(),
        f"https://example.com/{random.Random(3).randbytes(40).hex()} " * 20,
        "機械学習は人工知能の一分野である。" * 100,
        "東京のTokyoTowerは高さ333mで、GPUサーバーのKubernetesをhttps://example.com/abcで見る。"
        * 20,
        "👨‍👩‍👧‍👦🏳️‍🌈👍🏽😀🇩🇪" * 60,
    ],
    ids=["base64", "hex", "URLs", "Japanese", "Japanese and English", "emoji"],
)
def test_small_limits_hold_within_runs_without_blanks(text, tokens, drive):
    server = Server("tei")
    settings = {"strategy": "none", "max_chunk_tokens": tokens}
    (chunks,) = drive.chunks(server.embeddings(chunking_settings=settings), [text])
    counts = COUNTER.count([chunk.text for chunk in chunks])
    assert max(counts) <= tokens
    assert len(chunks) < len(text) / 2


@KINDS
def test_short_texts_are_not_counted(kind, drive):
    server = Server(kind)
    embeddings = server.embeddings(chunking_settings=AUTO)
    drive.documents(embeddings, ["A first text."])
    before = server.tokenize_requests()
    drive.documents(embeddings, ["Other words, all new.", "Some more of them here."])
    assert server.tokenize_requests() == before


def test_a_server_that_counts_nothing_has_its_tokens_estimated_which_is_said_once(drive, caplog):
    server = Server("infinity")
    embeddings = server.embeddings(chunking_settings={"max_chunk_tokens": 126})
    with caplog.at_level(logging.WARNING):
        for text in (BOOK[:20_000], BOOK[20_000:30_000]):
            drive.documents(embeddings, [text])
    assert most_tokens(server.inputs) <= 126
    said = [text for text in caplog.messages if "tokens are estimated from letters" in text]
    assert len(said) == 1
    assert f"infinity-{server.number}.test does not count them" in said[0]


@pytest.mark.parametrize(
    ("tokens_of", "full"),
    [
        (lambda text: COUNTER.count([text])[0] + 2, 0.6),
        (lambda text: len(text.encode()) + 2, 0.6),  # byte by byte
        (lambda text: len(text) + 2, 0.6),
    ],
)
def test_estimates_follow_what_the_server_reports(tokens_of, full, drive, caplog):
    server = Server("infinity", tokens_of=tokens_of)
    embeddings = server.embeddings(chunking_settings={"max_chunk_tokens": 126})
    texts = [BOOK[:20_000], "ученье свет, неученье тьма. " * 99, "我能吞下玻璃而不伤身体。🙂" * 99]
    with caplog.at_level(logging.WARNING):
        for text in texts:
            drive.documents(embeddings, [text])
    chunks = [[one for one in server.inputs if one in text] for text in texts]
    counts = [[tokens_of(one) - 2 for one in some] for some in chunks]
    assert [max(some) <= 126 for some in counts] == [True] * 3
    assert sum(counts[0]) >= full * 126 * len(counts[0])
    (said,) = [text for text in caplog.messages if "tokens are estimated from letters" in text]
    assert f"infinity-{server.number}.test does not count them, but reports " in said
    assert "with a margin" in said


def test_characters_that_a_server_reports_are_not_taken_for_tokens(drive):
    server = Server("infinity", tokens_of=len)
    drive.documents(server.embeddings(chunking_settings={"max_chunk_tokens": 126}), [BOOK[:20_000]])
    chunks = [text for text in server.inputs if text in BOOK]
    assert most_tokens(chunks) <= 126
    assert sum(COUNTER.count(chunks)) > 0.6 * 126 * len(chunks)


def test_auto_where_the_server_does_not_say_what_its_model_reads(drive, caplog):
    server = Server("infinity", window=None)
    embeddings = server.embeddings(chunking_settings=AUTO)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            (chunks,) = drive.chunks(embeddings, [BOOK[:20_000]])
    assert [one.text for one in chunks] == [one.text for one in chunk(BOOK[:20_000])]
    assert len([text for text in caplog.messages if "words alone bound the chunks" in text]) == 1


def test_auto_where_the_settings_say_what_the_model_reads(drive):
    server = Server("vllm", window=512)
    told = {"max_input_tokens": 128}
    embeddings = server.embeddings(chunking_settings=AUTO, service=told)
    drive.documents(embeddings, [BOOK[:20_000]])
    chunks = [text for text in server.inputs if text in BOOK]
    assert 110 < most_tokens(chunks) <= 126
    assert max(map(len, chunks)) > 3 * 128  # nothing of a chunk is cut off


def test_a_server_that_stops_counting_costs_no_vectors(drive):
    """What was received is kept: later words are estimated."""
    server = Server("tei", tokenizes=1)
    embeddings = server.embeddings(chunking_settings=AUTO)
    drive.documents(embeddings, ["A text. " * 50])
    vectors = drive.documents(embeddings, [BOOK[:20_000]])
    assert len(vectors) == 1
    assert most_tokens(server.inputs) <= 126


def test_auto_takes_a_server():
    with pytest.raises(SettingsError, match="none is asked here: give a number"):
        chunk("A text.", AUTO)


def warnings(caplog):
    return [text for text in caplog.messages if "tokens of an input" in text]


@pytest.mark.parametrize("settings", [{"strategy": "none"}, {"max_chunk_tokens": 500}])
def test_one_warning_a_call_says_which_texts_are_longer_than_the_model_reads(
    settings, drive, caplog
):
    server = Server("tei")
    embeddings = server.embeddings(chunking_settings=settings)
    long = BOOK[:4000]
    texts = ["Short.", *(f"{number} {long}" for number in range(7)), "Short, too."]
    with caplog.at_level(logging.WARNING):
        drive.documents(embeddings, texts)
    (said,) = warnings(caplog)
    assert said.startswith(f"tei-{server.number}.test reads 128 tokens of an input, and ")
    assert "chunks have more (of the texts 1, 2, 3, 4, 5, …): the rest of them is cut" in said


def test_there_is_no_warning_where_all_is_read_or_refused(drive, caplog):
    whole = {"strategy": "none"}
    for settings, task in ((AUTO, {}), ({**whole, **AUTO}, {}), (whole, {"truncate": False})):
        embeddings = Server("tei").embeddings(chunking_settings=settings, task_settings=task)
        with caplog.at_level(logging.WARNING):
            drive.documents(embeddings, [BOOK[:4000], "Short."])
    assert warnings(caplog) == []
