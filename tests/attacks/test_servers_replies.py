"""Replies that are made to cost the client, or to be taken for others."""

from __future__ import annotations

import asyncio
import socket
import threading
import traceback
from contextlib import contextmanager, suppress

import httpx
import pytest
from attacking import KEY
from thoroughness import amount, in_pairs

from langchain_hf_endpoint import (
    HFEndpointEmbeddings,
    HFEndpointError,
    InputError,
    ProtocolError,
    TransportError,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
VECTOR = b"[[0.5,0.25]]"
HEAD = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n"


def whole(body: bytes, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    return HEAD % (status, len(body), more) + body


@contextmanager
def answering(reply: bytes, pieces: int = 1):
    """A server that gives each request the same reply, its end in so many pieces; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while asked := connection.recv(65_536):
                while not asked.endswith(b"}"):
                    asked += connection.recv(65_536)
                for _ in range(pieces):
                    connection.sendall(reply)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connection.settimeout(20)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _in_tasks(transport):
    def ask(url, text="a", **settings):
        embeddings = HFEndpointEmbeddings(url=url, transport=transport, **_usual(settings))
        return asyncio.run(embeddings.aembed_query(text))

    return ask


def _in_threads(url, text="a", **settings):
    return HFEndpointEmbeddings(url=url, **_usual(settings)).embed_query(text)


def _usual(settings):
    return {
        "api_key": KEY, "dialect": "hugging_face", "timeout": 10, "max_wait": 0, **settings
    }  # fmt: skip


WAYS = {"threads": _in_threads, "tasks": _in_tasks("httpx"), "aiohttp": _in_tasks("aiohttp")}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def ask(request):
    return request.param


BLOATED = {
    "rows": lambda size: b"[" + b"[]," * (size // 3) + b"[]]",
    "objects": lambda size: b'{"data":[' + b"{}," * (size // 3) + b"{}]}",
    "texts": lambda size: b'{"embeddings":[' + b'"",' * (size // 3) + b'""]}',
    "fields": lambda size: b"{" + b'"a":1,' * (size // 6) + b'"b":1}',
    "rows that break off": lambda size: b"[[],NaN," * (size // 8),
    "levels": lambda size: b"[" * size,
}


@pytest.mark.parametrize("make", BLOATED.values(), ids=BLOATED.keys())
def test_a_reply_of_more_values_than_any_has_is_not_taken_apart(ask, make, times):
    with (
        answering(whole(make(1_000_000 * times))) as url,
        pytest.raises(ProtocolError, match="more objects, lists and texts than any answer has"),
    ):
        ask(url)


@in_pairs(
    ask=WAYS.values(),
    kind=BLOATED,
    status=[b"400 Bad Request", b"503 No", b"200 OK"],
    indirect=["ask"],
)
def test_nor_is_a_refusal(ask, kind, status):
    body = b'{"error":' + BLOATED[kind](amount(250_000, 1_000_000)) + b"}"
    with answering(whole(body, status)) as url, pytest.raises(HFEndpointError) as failed:
        ask(url)
    assert len(str(failed.value)) < 1000


def test_many_texts_have_as_large_an_answer_as_they_need():
    texts = [f"text {number}" for number in range(200)]
    row = b"[" + b",".join([b"0.125"] * 1024) + b"]"
    with answering(whole(b"[" + b",".join([row] * len(texts)) + b"]")) as url:
        embeddings = HFEndpointEmbeddings(url=url, max_batch_size=200, **_usual({}))
        assert len(embeddings.embed_documents(texts)) == len(texts)


CODINGS = [b"gzip", b"GZip", b"br", b"zstd", b"deflate", b"gzip, gzip", b"identity, gzip", b"x"]


@in_pairs(
    ask=WAYS.values(),
    coding=CODINGS,
    status=[b"200 OK", b"400 Bad Request"],
    indirect=["ask"],
)
def test_a_packed_reply_is_not_unpacked(ask, coding, status):
    packed = whole(b"\x1f\x8b" * 100, status, b"Content-Encoding: " + coding + b"\r\n")
    with answering(packed) as url, pytest.raises((ProtocolError, InputError)) as failed:
        ask(url)
    said = "no explanation" if status != b"200 OK" else "which was not asked for"
    assert said in str(failed.value)


async def test_a_reply_in_chunks_of_a_byte_leaves_the_loop_to_others(times):
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    body = b"1\r\n \r\n" * (50_000 * times) + b"c\r\n" + VECTOR + b"\r\n0\r\n\r\n"
    with answering(CHUNKED + body) as url:
        counting = asyncio.create_task(count())
        embeddings = HFEndpointEmbeddings(url=url, **_usual({"timeout": 60}))
        assert await embeddings.aembed_query("a") == [0.5, 0.25]
        counting.cancel()
    assert turns > 90


WORST = {
    "blanks": b" " * 100_000,
    "bearers": b"Bearer " * 15_000,
    "keys": KEY.encode()[:-1] * 3000,
    "percent": b"%25" * 30_000,
    "backslashes": b"\\" * 100_000,
    "digits": b"1" * 100_000,
    "tags": b"<p " * 30_000,
    "entities": b"&#0" * 30_000,
}


@pytest.mark.parametrize("words", WORST.values(), ids=WORST.keys())
@pytest.mark.parametrize("form", [b"%b", b'{"error":"%b"}', b"<html><title>%b"])
def test_a_refusal_of_any_words_is_cut_to_a_few(words, form):
    with answering(whole(form % words, b"400 Bad Request")) as url:
        with pytest.raises(HFEndpointError) as failed:
            _in_threads(url)
        assert len(str(failed.value)) < 1000


SAYING = {
    "words": lambda said: whole(b'{"error":"%b"}' % said, b"400 Bad Request"),
    "reason": lambda said: whole(b"", b"400 " + said),
    "header": lambda said: whole(b"", b"403 No", b"X-Error-Message: " + said + b"\r\n"),
    "place": lambda said: whole(b"", b"302 No", b"Location: https://x.example/" + said + b"\r\n"),
    "wait": lambda said: whole(b"", b"503 No", b"Retry-After: " + said + b"\r\n"),
    "coding": lambda said: whole(b"", b"200 OK", b"Content-Encoding: " + said + b"\r\n"),
    "vectors": lambda said: whole(b'[["%b"]]' % said),
    "no reply": lambda said: said + b"\r\n\r\n",
}


@in_pairs(ask=WAYS.values(), said=SAYING, padding=[b"", b"x" * 264], indirect=["ask"])
def test_a_key_that_a_server_repeats_anywhere_is_in_no_error_and_no_log(ask, said, padding, caplog):
    caplog.set_level("DEBUG")
    with answering(SAYING[said](padding + b" " + KEY.encode())) as url:
        with pytest.raises(HFEndpointError) as failed:
            ask(url, timeout=1)
        told = "".join(traceback.format_exception(failed.value)) + caplog.text
    assert KEY[:20] not in told


def test_nor_is_it_in_what_a_client_of_the_users_own_logs(caplog):
    caplog.set_level("DEBUG")
    with (
        answering(whole(b"", b"400 " + KEY.encode())) as url,
        httpx.Client(trust_env=False) as client,
        pytest.raises(HFEndpointError),
    ):
        _in_threads(url, http_client=client)
    assert "400 ***" in caplog.text
    assert KEY not in caplog.text


ENDLESS = {
    "a head": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, 200),
    "hints": (b"HTTP/1.1 103 Early Hints\r\n\r\n", 50),
    "trailers": (CHUNKED + b"0\r\n" + b"A: b\r\n" * 50_000, 2),
    "a size": (CHUNKED + b"1;" + b"a" * 200_000, 2),
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n[", 1),
    "a length below zero": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + VECTOR, 1),
    "a switch": (b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 1),
    "HTTP/0.9": (VECTOR + b"\r\n\r\n", 1),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "pieces"), ENDLESS.values(), ids=ENDLESS.keys())
def test_a_reply_that_does_not_end_ends_in_an_error_of_ours(ask, reply, pieces):
    with (
        answering(reply, pieces) as url,
        pytest.raises((TransportError, ProtocolError)),
    ):
        ask(url, timeout=0.3)
