"""Requests that are made to cost the gateway, or to pass for others."""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path

import httpx
import pytest
from attacking import KEY, answer_to
from gateway_child import GatewayChild

from langchain_hf_endpoint.testing import faults

MEGABYTE = 1_000_000
JSON = {"content-type": "application/json"}
NAME = b'"k%d":1'
SETTING = b'{"input":"a","task_settings":{%b}}'


def keys(count: int) -> bytes:
    return b",".join(NAME % number for number in range(count))


# What each holds; how large it is is `times` two megabytes, at most what the gateway takes.
BODIES = {
    "lists in lists": lambda size: b'{"input":[' + b"[]," * (size // 3) + b"[]]}",
    "levels": lambda size: b'{"input":' + b"[" * size,
    "objects": lambda size: b'{"input":[' + b"{}," * (size // 3) + b"1]}",
    "numbers": lambda size: b'{"input":[' + b"1," * (size // 2) + b"1]}",
    "empty texts": lambda size: b'{"input":[' + b'"",' * (size // 3) + b'""]}',
    "fields": lambda size: b"{" + keys(size // 12) + b"}",
    "fields of a section": lambda size: SETTING % keys(size // 12),
    "a long prompt": lambda size: SETTING % b'"query_prompt":"%b"' % (b"x" * size),
    "a long name": lambda size: SETTING % b'"%b":1' % (b"x" * size),
    "a long type": lambda size: b'{"input":"a","input_type":"%b"}' % ("İ".encode() * (size // 2)),
    "a large number": lambda size: SETTING % b'"dimensions":%b' % (b"9" * size),
    "broken off": lambda size: b'{"input":"' + b'\\"' * (size // 2),
}  # fmt: skip


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_body_of_any_make_is_refused_in_few_words_and_little_memory(
    client, gateway, mine, body, times
):
    content = body(min(2 * MEGABYTE * times, 19 * MEGABYTE))
    before = peak(gateway.pid)
    for path in (mine, "/v1/embeddings"):
        answer = client.post(path, content=content, headers=JSON)
        assert answer.status_code == 400
        assert len(answer.content) < 2000
    # The bytes themselves, whole, in text, and without what stands in quotes.
    assert peak(gateway.pid) - before < 10 * len(content) + 30 * MEGABYTE


def peak(pid: int) -> int:
    """Bytes that a process used at most, where the system says so."""
    status = Path(f"/proc/{pid}/status")
    if sys.platform != "linux":
        return 0
    [line] = (one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_texts_may_hold_as_many_brackets_and_quotes_as_they_like(client, mine):
    texts = ['[{"a\\b",' * 20_000, "\\" * 10_001]
    settings = {"truncate": True}
    answer = client.post(mine, json={"input": texts, "task_settings": settings})
    assert answer.status_code == 200
    assert len(answer.json()["text_embedding"]) == 2


@pytest.mark.parametrize("path", ["/_inference/mine", "/health"])
def test_a_body_in_chunks_of_a_byte_leaves_the_gateway_to_others(client, say, mine, path, times):
    method = b"GET" if path == "/health" else b"POST"
    head = b"%b %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    end = b"Transfer-Encoding: chunked\r\n\r\n"
    body = b"1\r\n \r\n" * (50_000 * times) + b'd\r\n{"input":"a"}\r\n0\r\n\r\n'
    answers: list[bytes] = []
    answered = health_while(
        client, lambda: answers.append(say(head % (method, path.encode()) + end + body))
    )
    assert answers[0].startswith(b"HTTP/1.1 200 ")
    assert answered >= 5


@pytest.mark.parametrize("has_uvloop", [False, True])
def test_what_comes_in_many_pieces_is_taken_whole_on_either_loop(tmp_path, has_uvloop):
    """Large bodies, with a length and in chunks, that nobody reads, and the request behind them."""
    if has_uvloop:
        pytest.importorskip("uvloop")
    with GatewayChild(tmp_path / "log", uvloop=has_uvloop) as gateway:
        for body in (
            b"Content-Length: 3000000\r\n\r\n" + b"a" * 3_000_000,
            b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 20_000 + b"0\r\n\r\n",
        ):
            for path, status in ((b"/health", b"200"), (b"/_inference/mine", b"406")):
                sent = b"POST %b HTTP/1.1\r\nHost: localhost\r\n" % path
                if path == b"/health":
                    sent = sent.replace(b"POST", b"GET")
                parts = answer_to(gateway, sent + body).split(b"HTTP/1.1 ")[1:]
                assert [part[:3] for part in parts] == [status, b"200"]


def health_while(client: httpx.Client, attack: object) -> int:
    """How often /health answers until an attack is over."""
    attacking = threading.Thread(target=attack)
    attacking.start()
    answered = 0
    with httpx.Client(base_url=client.base_url) as other:
        while attacking.is_alive():
            answered += other.get("/health").status_code == 200
    attacking.join()
    return answered


PATTERNS = {
    "long": "*a" * 5000 + "b",
    "deep": "**." * 30 + "x",
    "many": ",".join(["**.x"] * 200),
}


@pytest.mark.parametrize("wanted", PATTERNS.values(), ids=PATTERNS.keys())
def test_patterns_of_filter_path_have_a_bound(client, wanted):
    answer = client.get("/_inference", params={"filter_path": wanted})
    assert answer.status_code == 400
    assert "at most" in answer.json()["error"]["reason"]


@pytest.mark.parametrize(
    ("wanted", "is_found"),
    [("*dpo*ts", True), ("e*d*s", True), ("*", True), ("**", True), ("endpoints*s", False),
     ("*z*", False), ("end?oints", False), ("[e]ndpoints", False), ("**.inference_id", True)],
)  # fmt: skip
def test_a_star_of_filter_path_stands_for_anything_and_no_other_mark_does(
    client, mine, wanted, is_found
):
    answer = client.get("/_inference", params={"filter_path": wanted}).json()
    assert bool(answer) is is_found


HOST = b"Host: localhost\r\n"
POST = b"POST /_inference/mine HTTP/1.%d\r\n" + HOST + b"Content-Type: application/json\r\n"
TEXT = b'{"input":"a"}'
WITH_LENGTH = b"Content-Length: %d\r\n\r\n" % len(TEXT) + TEXT
GET = b"GET %b HTTP/1.1\r\n" + HOST + b"\r\n"
LONG = b"a" * 12_000

REQUESTS = {
    "HTTP/1.0": (POST % 0 + WITH_LENGTH, [200]),
    "HTTP/0.9": (b"GET /health\r\n\r\n", [400]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 400]),
    "trailers": (
        POST % 1 + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(TEXT)
        + TEXT + b"\r\n0\r\nHost: evil.example\r\n\r\n", [200, 200],
    ),
    "one after another": ((POST % 1 + WITH_LENGTH) * 2, [200, 200, 200]),
    "another coding": (POST % 1 + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [400]),
    "two lengths": (POST % 1 + b"Content-Length: 3\r\n" + WITH_LENGTH, [400]),
    "a length below zero": (POST % 1 + b"Content-Length: -1\r\n\r\n", [400]),
    "a blank before the colon": (POST % 1 + b"Content-Length : 13\r\n\r\n" + TEXT, [400]),
    "a length and chunks": (
        POST % 1 + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n"
        + TEXT + b"\r\n0\r\n\r\n" + GET % b"/health", [200],
    ),
    "no host": (b"GET /_inference HTTP/1.1\r\n\r\n", [400]),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", [400]),
    "a tunnel": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + HOST + b"\r\n", [400, 200]),
    "an echo": (b"TRACE / HTTP/1.1\r\nX-Secret: nobody-elses\r\n" + HOST + b"\r\n", [405, 200]),
    "a proxy's form": (GET % b"http://evil.example/health", [400, 200]),
    "what a browser asks before": (
        b"OPTIONS /_inference HTTP/1.1\r\nOrigin: http://evil.example\r\n" + HOST + b"\r\n",
        [405, 200],
    ),
    "a websocket": (
        b"GET /health HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + HOST + b"\r\n",
        [200, 200],
    ),
    "another method in a header": (
        b"POST /_inference/mine HTTP/1.1\r\nX-HTTP-Method-Override: DELETE\r\n"
        b"Content-Length: 0\r\n" + HOST + b"\r\n", [406, 200],
    ),
    "line breaks in a name": (GET % b"/_inference/a%0d%0aX-Mine:%20b", [404, 200]),
    "line breaks in a type": (
        b"GET / HTTP/1.1\r\nAccept: application/vnd.elasticsearch+json;compatible-with=9%0d%0aX: y"
        b"\r\n" + HOST + b"\r\n", [200, 200],
    ),
    "bytes that are no text": (GET % b"/_inference/%ff%fe", [404, 200]),
    "a way up": (GET % b"/_inference/../metrics", [400, 200]),
    "a long method": (LONG + b" / HTTP/1.1\r\n" + HOST + b"\r\n", [405, 200]),
    "a long name": (GET % (b"/_inference/" + LONG), [404, 200]),
    "a long query": (GET % (b"/_inference?" + LONG), [400, 200]),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + LONG + b"\r\n" + HOST + b"\r\n", [200, 200]),
    "a header that is too long": (b"GET / HTTP/1.1\r\nX: " + LONG * 4 + b"\r\n\r\n", [400]),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "statuses"), REQUESTS.values(), ids=REQUESTS.keys())
def test_each_request_of_any_form_gets_one_short_answer(say, client, mine, sent, statuses):
    answered = say(sent)
    parts = answered.split(b"HTTP/1.1 ")[1:]
    assert [int(part[:3]) for part in parts] == statuses
    for part in parts:
        head, _, body = part.partition(b"\r\n\r\n")
        assert b"x-mine" not in head.lower()
        assert b"nobody-elses" not in body
        assert len(body) < 1000 or part.startswith(b"200")
    assert client.get(mine).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil@localhost", "[::1].evil.example",
             "127.0.0.1.nip.io", "localhost:80:80", "localhost:evil.example", "[::1", "0.0.0.0",
             "xn--localhost", "localhost/", "local host"],
)  # fmt: skip
def test_a_web_page_cannot_call_by_a_name_that_looks_like_this_machines(say, host):
    answered = say(b"GET /_inference HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())
    assert answered.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_a_key_that_a_server_repeats_in_a_header_is_in_no_log(
    client, gateway, tei_double, transport
):
    path = f"/_inference/text_embedding/over-{transport}"
    settings = {"url": tei_double.url, "api_key": KEY, "transport": transport}
    client.put(path, json={"service": "hugging_face", "service_settings": settings})
    said = {"X-Error-Message": f"Invalid token {KEY}", "Retry-After": "0"}
    tei_double.script(
        *[faults.answer(401, {"error": "no"}, said)] * 2
    )  # base64's route and its own
    assert client.post(path, json={"input": "a"}).status_code == 401
    log = gateway.log.read_text()
    assert KEY not in log
    if transport == "httpx":  # which writes the head of each response into the log
        assert "Invalid token ***" in log


def test_the_gateway_is_as_it_was(client, gateway, mine):
    """After all of the above."""
    assert json.loads(client.get("/health").content) == {"status": "ok"}
    assert client.post(mine, json={"input": "a"}).status_code == 200
    assert gateway.is_alive()
    with socket.create_connection(tuple_of(gateway.url), timeout=10):
        pass


def tuple_of(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)
