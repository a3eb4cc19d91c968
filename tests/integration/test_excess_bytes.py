"""What a server sends behind a reply, or before it is asked, is never the reply to a request.

Each test runs over every transport, and judges by the vectors: two texts are asked for one after
the other, and whoever takes what stands behind the first reply gets a wrong one.
"""

import asyncio
import socket
import ssl
import threading
from contextlib import contextmanager, suppress

import numpy as np
import orjson
import pytest
import trustme
from thoroughness import in_pairs

from langchain_hf_endpoint import HFEndpointEmbeddings, TransportError
from langchain_hf_endpoint._http.framing import ResponseFraming
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.testing import expected_vector

try:
    import uvloop
except ImportError:
    uvloop = None

FIRST, SECOND, WRONG = "the first", "the second", "somebody else's"


def body_of(text):
    return orjson.dumps([expected_vector(text, 16).tolist()])


def with_length(text, status=b"200 OK", more=b""):
    body = body_of(text)
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, more, len(body), body)


def in_chunks(text, status=b"200 OK", more=b""):
    body = body_of(text)
    parts = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:30], body[30:]))
    head = b"HTTP/1.1 %s\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (status, more)
    return head + parts + b"0\r\n\r\n"


EXCESS = with_length(WRONG)


class Server:
    """Answers a request; what it sends besides is the test's to say.

    Args:
        reply: To the first request of each connection.
        behind: Comes with that reply.
        before: Comes before the first request of the first connection.
        certificate: Speak TLS.
    """

    def __init__(self, reply, behind=b"", before=b"", certificate=None):
        self._reply, self._behind, self._before = reply, behind, before
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(self._context)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        self.connections = []

    @property
    def url(self):
        scheme = "https" if self._context else "http"
        return f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self):
        with suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                plain.settimeout(10)
                self._threads.append(threading.Thread(target=self._serve, args=(plain,)))
                self._threads[-1].start()

    def _serve(self, plain):
        with suppress(OSError):
            one = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with one:
                if not self.connections:
                    one.sendall(self._before)
                self.connections.append(one)
                answers = 0
                while text := self._asked(one):
                    is_first = len(self.connections) == 1 and not answers
                    answers += 1
                    one.sendall(self._reply(text) + self._behind if is_first else with_length(text))

    def _asked(self, one):
        request = b""
        while not request.endswith(b"}"):
            piece = one.recv(1 << 16)
            if not piece:
                return None
            request += piece
        return orjson.loads(request.partition(b"\r\n\r\n")[2])["inputs"][0]

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        close_sessions()
        for thread in self._threads:
            thread.join(20)


@contextmanager
def serving(*args, **options):
    server = Server(*args, **options)
    try:
        yield server
    finally:
        server.close()


def _run(coroutine):
    return asyncio.run(coroutine)


RUNS = {"threads": ("httpx", None), "tasks": ("httpx", _run), "aiohttp": ("aiohttp", _run)}
if uvloop is not None:
    RUNS |= {f"{name} on uvloop": (RUNS[name][0], uvloop.run) for name in ("tasks", "aiohttp")}


@pytest.fixture(params=RUNS.values(), ids=RUNS.keys())
def ask(request):
    """Both texts one after the other, and what happens in between."""
    transport, run = request.param

    def ask(url, between=int, **settings):
        settings = {"dialect": "hugging_face", "timeout": 10, "max_wait": 20, **settings}
        embeddings = HFEndpointEmbeddings(url=url, transport=transport, **settings)
        if run is None:
            first = embeddings.embed_query(FIRST)
            between()
            return first, embeddings.embed_query(SECOND)

        async def both():
            first = await embeddings.aembed_query(FIRST)
            await asyncio.to_thread(between)
            return first, await embeddings.aembed_query(SECOND)

        return run(both())

    return ask


def is_right(vectors):
    wanted = [expected_vector(text, 16) for text in (FIRST, SECOND)]
    return np.array_equal(np.asarray(vectors, np.float32), wanted)


REPLIES = {
    "length": with_length,
    "chunks": in_chunks,
    "chunks and a trailer": lambda text: in_chunks(text)[:-2] + b"A: b\r\n\r\n",
    "hints before": lambda text: b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n" + with_length(text),
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_without_excess_the_connection_serves_both(ask, reply):
    with serving(reply) as server:
        assert is_right(ask(server.url))
        assert len(server.connections) == 1


@in_pairs(
    ask=RUNS.values(),
    reply=REPLIES,
    excess=[EXCESS, in_chunks(WRONG), b"\r\n", b"HTTP/1.1 200 O"],
    indirect=["ask"],
)
def test_what_stands_behind_a_reply_is_nobodys(ask, reply, excess):
    with serving(REPLIES[reply], excess) as server:
        assert is_right(ask(server.url))
        assert len(server.connections) == 2


@in_pairs(
    ask=RUNS.values(),
    reply=[with_length, in_chunks],
    excess=[EXCESS, EXCESS[:30], b"H", b"\r\n"],
    indirect=["ask"],
)
def test_what_comes_on_an_idle_connection_is_nobodys(ask, reply, excess):
    with serving(reply) as server:
        assert is_right(ask(server.url, lambda: server.connections[0].sendall(excess)))
        assert len(server.connections) == 2


REFUSALS = {
    "429": lambda _text: b"HTTP/1.1 429 No\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno",
    "500": lambda _text: b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
    "503 in chunks": lambda text: in_chunks(text, b"503 No", b"Retry-After: 0\r\n"),
    "503 packed": lambda text: with_length(
        text, b"503 No", b"Retry-After: 0\r\nContent-Encoding: gzip\r\n"
    ),
}


@pytest.mark.parametrize("reply", REFUSALS.values(), ids=REFUSALS.keys())
def test_what_stands_behind_a_refusal_is_nobodys(ask, reply):
    with serving(reply, EXCESS) as server:
        assert is_right(ask(server.url))
        assert len(server.connections) == 2


DOUBTFUL = {
    "both": lambda text: in_chunks(text, more=b"Content-Length: 5\r\n"),
    "two lengths": lambda text: with_length(
        text, more=b"Content-Length: %d\r\n" % len(body_of(text))
    ),
    "HTTP/1.0": lambda text: with_length(text, more=b"Connection: keep-alive\r\n").replace(
        b"1.1", b"1.0", 1
    ),
    "bare line feeds": lambda text: with_length(text).replace(b"\r\n", b"\n"),
    "a folded line": lambda text: with_length(text, more=b"A: b\r\n c: d\r\n"),
}


@in_pairs(ask=RUNS.values(), reply=DOUBTFUL, excess=[EXCESS, b""], indirect=["ask"])
def test_a_reply_whose_end_is_in_doubt_is_the_last_of_its_connection(ask, reply, excess):
    with serving(DOUBTFUL[reply], excess) as server:
        try:
            assert is_right(ask(server.url, max_wait=0.0))
        except TransportError:  # a library may refuse it as a whole
            pass
        else:
            assert len(server.connections) == 2


BUSY = b"HTTP/1.1 503 No Room\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("early", [BUSY, EXCESS[:20]], ids=["no room", "half a reply"])
def test_what_comes_before_the_first_request_may_answer_it_and_no_other(ask, early):
    with serving(with_length, before=early) as server:
        vectors = ask(server.url)
        assert is_right(vectors)
        assert len(server.connections) == 2


@pytest.mark.parametrize("when", ["behind", "idle"])
def test_it_is_the_same_within_tls(ask, when, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    certificate = authority.issue_cert("127.0.0.1")
    excess = EXCESS if when == "behind" else b""
    with serving(with_length, excess, certificate=certificate) as server:

        def between():
            if when == "idle":
                server.connections[0].sendall(EXCESS)

        tls = {"ca_file": str(tmp_path / "authority.pem")}
        assert is_right(ask(server.url, between, tls=tls))
        assert len(server.connections) == 2


# Where a reply ends


ENDS = {
    "length": (with_length(FIRST), b"HTTP/1.1 200 OK\r\n"),
    "chunks": (in_chunks(FIRST), b"0\r\n\r\n"),
    "an extension": (
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b'2;a="b"\r\nab\r\n0;last\r\nA: b\r\nC: d\r\n\r\n'
        ),
        b"\r\n",
    ),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"x"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1"),
    "304": (b"HTTP/1.1 304 \r\nContent-Length: 0\r\n\r\n", b"x"),
    "hints": (b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 100\r\n\r\n" + with_length(FIRST), b"HTTP"),
}


@pytest.mark.parametrize(("reply", "excess"), ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("step", [1, 2, 7, 1 << 20])
def test_the_end_is_found_however_the_bytes_come(reply, excess, step):
    framing, taken = ResponseFraming(), 0
    whole = reply + excess
    for _ in range(2):
        framing.begin()
        taken = 0
        for at in range(0, len(whole), step):
            taken += framing.take(whole[at : at + step])
        assert framing.is_over
        assert taken == len(reply)


HEAD = b"HTTP/1.1 200 OK\r\n"
NEVER = {
    "until it is closed": HEAD + b"\r\nbody",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a list": HEAD + b"Content-Length: 1, 1\r\n\r\nab",
    "signed": HEAD + b"Content-Length: +1\r\n\r\nab",
    "a blank before the colon": HEAD + b"Content-Length : 1\r\n\r\nab",
    "204 with a body": b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello",
    "101": b"HTTP/1.1 101 Switching\r\nContent-Length: 0\r\n\r\n",
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n" + with_length("a"),
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a size in words": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n0\r\n\r\n",
    "a long line": HEAD + b"X: " + b"x" * 200_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a long head": HEAD + b"X: y\r\n" * 30_000 + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("reply", NEVER.values(), ids=NEVER.keys())
def test_where_it_is_in_doubt_it_is_never_found(reply):
    framing = ResponseFraming()
    assert framing.take(reply) == len(reply)
    assert not framing.is_over


def test_finding_the_end_takes_time_in_proportion_to_the_bytes():
    """Ten thousand chunks of a byte, in one piece and a byte at a time."""
    reply = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
    framing = ResponseFraming()
    assert framing.take(reply) == len(reply)
    framing.begin()
    for at in range(len(reply)):
        framing.take(reply[at : at + 1])
    assert framing.is_over
