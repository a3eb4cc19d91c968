"""The transports behave alike: threads over httpx, tasks over httpx or aiohttp.

Each test runs over all of them, on real sockets, and expects the same of each.
"""

import asyncio
import gzip
import socket
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest
from driving import DRIVES
from forwarding_proxy import ForwardingProxy
from thoroughness import in_pairs

from langchain_hf_endpoint import (
    AuthenticationError,
    EndpointNotFoundError,
    HFEndpointEmbeddings,
    HFEndpointError,
    InputError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from langchain_hf_endpoint._http import aiohttp_transport, httpx_transport, network
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRy"
TEXT = "a question"
TEXTS = [f"text {number}" for number in range(12)]
NAME = "embed.example.org"


@dataclass(frozen=True)
class Way:
    """How requests are made: from threads or tasks, over which library."""

    name: str
    transport: str

    @property
    def drive(self):
        return DRIVES[self.name]

    def embeddings(self, url, **settings):
        settings = {"dialect": "tei", "timeout": 10, "max_wait": 0.0, **settings}
        return HFEndpointEmbeddings(url=url, transport=self.transport, **settings)

    def ask(self, embeddings, *texts, between=time.time):
        """One query after another, from one loop."""
        if self.name == "sync":
            vectors = []
            for text in texts:
                vectors.append(embeddings.embed_query(text))
                between()
            return vectors

        async def ask():
            vectors = []
            for text in texts:
                vectors.append(await embeddings.aembed_query(text))
                await asyncio.to_thread(between)
            return vectors

        return asyncio.run(ask())


WAYS = [Way("sync", "httpx"), Way("async", "httpx"), Way("async", "aiohttp")]


@pytest.fixture(params=WAYS, ids=["threads", "tasks", "aiohttp"])
def way(request):
    return request.param


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def server():
    with ScriptedEndpoint(dimensions=16, api_key=KEY) as server:
        yield server


def is_right(vectors, texts):
    wanted = [expected_vector(text, 16) for text in texts]
    return np.array_equal(np.asarray(vectors, np.float32), wanted)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.01)


# Replies


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset("before"),
        faults.reset("head"),
        faults.reset("body"),
        faults.reset("after"),
        faults.truncated(),
        faults.closed(),
        faults.late(0.05),
        faults.slow(0.05),
        faults.rate_limited(0),
        faults.server_error(503),
    ],
    ids=lambda fault: fault.kind,
)
def test_what_passes_is_got_over(way, server, fault):
    server.script(fault)
    embeddings = way.embeddings(server.url, api_key=KEY, max_wait=20, max_batch_size=4)
    assert is_right(way.drive.documents(embeddings, TEXTS), TEXTS)
    assert server.requests[0].fault == fault.kind
    assert 3 <= len(server.requests) <= 4


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (faults.reset("before"), TransportError, "no reply"),
        (faults.reset("head"), TransportError, "no reply"),
        (faults.reset("body"), TransportError, "no reply"),
        (faults.truncated(), TransportError, "no reply"),
        (faults.compressed(declared=False), ProtocolError, "compressed with gzip"),
        (faults.compressed(), ProtocolError, r"compressed \(gzip\), which was not asked for"),
        (faults.answer(204), ProtocolError, "empty body"),
        (faults.answer(301, b"", {"Location": "/elsewhere"}), EndpointNotFoundError, "redirects"),
        (faults.answer(402), PaymentRequiredError, "credit"),
        (faults.unauthorized(), AuthenticationError, "does not accept the key"),
        (faults.answer(404), EndpointNotFoundError, "nothing at this URL"),
        (faults.input_rejected(), InputError, "Tokenizer|rejects"),
        (faults.rate_limited(1), RateLimitedError, "rate limit"),
        (faults.server_error(500), ServerError, "the server failed"),
        (faults.server_error(504), ServerError, "the server failed"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_what_does_not_pass_is_the_same_error(way, server, fault, error, words):
    server.script(fault)
    with pytest.raises(error, match=words) as caught:
        way.ask(way.embeddings(server.url, api_key=KEY), TEXT)
    assert len(server.requests) == 1
    assert caught.value.attempts == 1
    assert KEY not in str(caught.value)


def test_requests_look_the_same_but_for_who_sent_them(server):
    for way in WAYS:
        way.ask(way.embeddings(server.url, api_key=KEY), TEXT)
    sent = [dict(arrival.headers) for arrival in server.requests]
    agents = [headers.pop("user-agent").split(" ") for headers in sent]
    assert [agent[1].partition("/")[0] for agent in agents] == ["httpx", "httpx", "aiohttp"]
    assert len({agent[0] for agent in agents}) == 1
    for headers in sent:
        headers.pop("connection", None)  # of HTTP/1.1, keep-alive is what is meant without it
    assert sent[0] == sent[1] == sent[2]
    assert sent[0]["authorization"] == f"Bearer {KEY}"


@contextmanager
def answering(*parts, then_close=True):
    """A server that answers every request with these bytes, whatever it asks."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.1)
    over = threading.Event()

    def serve():
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5)
                asked = b""
                while not asked.endswith(b"}"):
                    asked += connection.recv(65536)
                with suppress(OSError):  # the client has had enough
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(0.01)
                if not then_close:
                    over.wait(5)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        over.set()
        thread.join(10)
        listening.close()


BODY = orjson.dumps([expected_vector(TEXT, 16).tolist()])
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def chunked(body, size):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


@pytest.mark.parametrize(
    "parts",
    [
        (OK, b"Content-Length: %d\r\n\r\n" % len(BODY), BODY[:20], BODY[20:]),
        (
            OK,
            b"Content-Length: %d\r\n\r\n" % len(BODY),
            *[bytes([one]) for one in BODY[:9]],
            BODY[9:],
        ),
        (OK, b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY + b"HTTP/1.1 500 more than said"),
        (OK, b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY),
        (OK, CHUNKED, chunked(BODY, 7), b"0\r\n\r\n"),
        (OK, CHUNKED, chunked(BODY[:100], 1), chunked(BODY[100:], 999), b"0\r\nA: b\r\n\r\n"),
        (OK, CHUNKED.replace(b"T", b"t"), b"%X;name=value\r\n" % len(BODY), BODY, b"\r\n0\r\n\r\n"),
        (OK, b"Content-Encoding: identity\r\n", CHUNKED, chunked(BODY, 50), b"0\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK, b"\r\n", BODY),
        (b"HTTP/1.1 100 Continue\r\n\r\n", OK, b"Connection: close\r\n\r\n", BODY),
        (b"HTTP/1.0 200 OK\r\n\r\n", BODY),
        (b"HTTP/1.1 200 \r\ncontent-length: %d\r\n\r\n" % len(BODY), BODY),
        (OK, *[b"X-%d: %s\r\n" % (number, b"x" * 4000) for number in range(8)], b"\r\n", BODY),
    ],
    ids=[
        *("length", "octets", "more", "close", "chunks", "trailer", "extension", "identity"),
        *("early_hints", "continue", "http_1_0", "no_reason", "long_head"),
    ],
)
def test_every_form_of_a_right_reply_is_read(way, parts):
    with answering(*parts) as url:
        assert is_right(way.ask(way.embeddings(url, dialect="openai"), TEXT), [TEXT])


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"SSH-2.0-OpenSSH_9.6\r\n",),
        (b"HTTP/1.1 abc\r\n\r\n",),
        (OK,),
        (OK, b"Content-Length: 99999\r\n\r\n", BODY),
        (OK, CHUNKED, chunked(BODY, 50)),
        (OK, CHUNKED, b"zz\r\n", BODY),
        (OK, b"Content-Length: minus one\r\n\r\n", BODY),
    ],
    ids=[
        *("nothing", "another_protocol", "no_status", "half_a_head"),
        *("too_short", "no_last_chunk", "no_size", "no_length"),
    ],
)
def test_what_is_no_whole_reply_is_a_transport_error(way, parts):
    with answering(*parts) as url, pytest.raises(TransportError, match="no reply"):
        # aiohttp does not notice every broken size of a chunk before its time is over.
        way.ask(way.embeddings(url, dialect="openai", timeout=1), TEXT)


@pytest.mark.parametrize("length", [b"Content-Length: 3000000\r\n", b""], ids=["said", "unsaid"])
def test_a_reply_that_is_too_large_is_not_read_to_its_end(way, environment, length):
    for module in (httpx_transport, aiohttp_transport):
        environment.setattr(module, "LARGEST_RESPONSE", 1_000_000)
    reply = (OK, length, b"\r\n", b"[" * 1_500_000)
    with answering(*reply, then_close=False) as url:
        begun = time.monotonic()
        with pytest.raises(ProtocolError, match="more than"):
            way.ask(way.embeddings(url, dialect="openai", timeout=60), TEXT)
        assert time.monotonic() - begun < 4.5  # the server would hold on for five


PACKED = gzip.compress(BODY)


@in_pairs(
    way=WAYS,
    coding=["gzip", "gzip, gzip", "zstd", "br", "deflate", "GZIP", "x"],
    status=[200, 503],
    indirect=["way"],
)
def test_what_is_packed_although_nobody_asked_is_not_unpacked(
    way, server, environment, coding, status
):
    def explode(*_arguments, **_options):
        raise AssertionError

    environment.setattr(zlib, "decompressobj", explode)
    server.script(faults.answer(status, PACKED, {"Content-Encoding": coding}))
    words = rf"compressed \({coding}\)" if status == 200 else "not ready|failed"
    error = ProtocolError if status == 200 else HFEndpointError
    with pytest.raises(error, match=words):
        way.ask(way.embeddings(server.url, api_key=KEY), TEXT)
    assert {one.headers["accept-encoding"] for one in server.arrivals} == {"identity"}


# Time


@pytest.mark.parametrize(
    "fault",
    [faults.hang(), faults.hang("head"), faults.hang("body"), faults.slow(60), faults.late(60)],
    ids=lambda fault: fault.kind + str(fault.cut),
)
def test_an_attempt_ends_after_its_time(way, server, fault):
    server.script(fault)
    with pytest.raises(TransportError, match=r"no complete reply within 0\.3 s"):
        way.ask(way.embeddings(server.url, api_key=KEY, timeout=0.3), TEXT)
    until(lambda: server.open_connections == 0)


@pytest.fixture
def silent():
    """An address at which nobody is let in: its queue is full."""
    held = [socket.create_server(("127.0.0.1", 0), backlog=0)]
    for _ in range(4):
        held.append(socket.socket())
        held[-1].settimeout(0)
        held[-1].connect_ex(held[0].getsockname())
    yield held[0].getsockname()[1]
    for one in held:
        one.close()


def test_a_connection_that_does_not_come_about_is_said_to_be_none(way, silent):
    with pytest.raises(TransportError, match=r"no connection within 0\.3 s"):
        way.ask(way.embeddings(f"http://127.0.0.1:{silent}", timeout=0.3), TEXT)


# Connections


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_nobody_there_is_a_transport_error(way, host):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening
        url = f"http://{host}:{held.getsockname()[1]}"
        with pytest.raises(
            TransportError, match="the connection is refused: nothing listens there"
        ):
            way.ask(way.embeddings(url), TEXT)


def test_a_name_with_two_addresses_of_which_one_refuses_is_reached(way, server, environment):
    real = socket.getaddrinfo

    def both(host, port, *more, **options):
        if host != "localhost":
            return real(host, port, *more, **options)
        there = real("127.0.0.1", port, *more, **options)
        return [(*one[:4], ("127.0.0.9", one[4][1])) for one in there] + there

    environment.setattr(socket, "getaddrinfo", both)
    url = server.url.replace("127.0.0.1", "localhost")
    assert is_right(way.ask(way.embeddings(url, api_key=KEY), TEXT), [TEXT])


def test_one_connection_serves_one_request_after_another(way, server):
    way.ask(way.embeddings(server.url, api_key=KEY), *TEXTS)
    assert len({arrival.connection for arrival in server.arrivals}) == 1


@pytest.mark.parametrize("fault", [faults.closed(), faults.reset("after")], ids=["closed", "reset"])
def test_a_connection_that_went_stale_is_not_used_again(way, server, fault):
    server.script(fault)
    gone = lambda: until(lambda: server.open_connections == 0 or len(server.requests) > 1)  # noqa: E731
    embeddings = way.embeddings(server.url, api_key=KEY)
    assert is_right(way.ask(embeddings, "before", "after", between=gone), ["before", "after"])
    assert len({arrival.connection for arrival in server.requests}) == 2


def test_no_connection_is_left_when_a_loop_ends(server):
    for way in WAYS[1:]:
        way.drive.documents(way.embeddings(server.url, api_key=KEY, max_batch_size=1), TEXTS)
        until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_connections_that_nobody_needs_any_more_are_closed(server, transport, environment):
    environment.setattr(network, "KEPT_ALIVE_SECONDS", 0.1)
    environment.setattr(aiohttp_transport, "KEPT_ALIVE_SECONDS", 0.1)
    server.script(*[faults.late(0.2)] * len(TEXTS))
    embeddings = Way("async", transport).embeddings(
        server.url, api_key=KEY, max_concurrent_requests=len(TEXTS)
    )
    await asyncio.gather(*[embeddings.aembed_query(text) for text in TEXTS])
    assert len({arrival.connection for arrival in server.requests}) > 1
    await asyncio.to_thread(until, lambda: server.open_connections == 0)
    assert is_right([await embeddings.aembed_query(TEXT)], [TEXT])


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_cancelled_call_leaves_no_connection_and_no_task(server, transport):
    server.script(*[faults.hang()] * 4)
    embeddings = Way("async", transport).embeddings(
        server.url, api_key=KEY, max_batch_size=1, max_concurrent_requests=4
    )
    call = asyncio.create_task(embeddings.aembed_documents(TEXTS))
    await asyncio.to_thread(server.wait_for, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await asyncio.to_thread(until, lambda: server.open_connections == 0)


# Other origins


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_takes_nothing_there(way, server, status):
    with ScriptedEndpoint() as other:
        server.script(faults.redirect(f"{other.url}/embed", status))
        with pytest.raises(EndpointNotFoundError, match="redirects to"):
            way.ask(way.embeddings(server.url, api_key=KEY), TEXT)
        assert not other.arrivals


def test_a_cookie_is_not_sent_back(way, server):
    body = orjson.dumps([expected_vector(TEXT, 16).tolist()])
    server.script(faults.answer(200, body, {"Set-Cookie": "who=me; Path=/"}))
    way.ask(way.embeddings(server.url, api_key=KEY), TEXT, "another")
    assert all("cookie" not in arrival.headers for arrival in server.arrivals)


# Proxies of the environment


def port_of(server):
    return urlsplit(server.url).port


def test_a_plain_request_goes_to_the_proxy(way, server, environment):
    with ForwardingProxy(port_of(server)) as proxy:
        environment.setenv("HTTP_PROXY", proxy.url)
        embeddings = way.embeddings(f"http://{NAME}/embed", api_key=KEY, allow_insecure_http=True)
        assert is_right(way.ask(embeddings, TEXT), [TEXT])
        assert ("POST", f"http://{NAME}/embed") in {
            (one.method, one.target) for one in proxy.passed
        }


def test_a_tunnel_hides_the_key_from_the_proxy(way, environment, tmp_path):
    with (
        ScriptedEndpoint(dimensions=16, api_key=KEY, certificate_for=NAME) as server,
        ForwardingProxy(port_of(server)) as proxy,
    ):
        server.write_authority(tmp_path / "authority.pem")
        environment.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:password@"))
        embeddings = way.embeddings(
            f"https://{NAME}", api_key=KEY, tls={"ca_file": str(tmp_path / "authority.pem")}
        )
        assert is_right(way.ask(embeddings, TEXT), [TEXT])
        assert {(one.method, one.target) for one in proxy.passed} == {("CONNECT", f"{NAME}:443")}
        assert all(one.headers["proxy-authorization"] for one in proxy.passed)
        assert not any(KEY in str(one) for one in proxy.passed)
        assert not any("proxy-authorization" in one.headers for one in server.arrivals)


def test_a_proxy_that_refuses_is_an_error_without_its_password(way, environment):
    with ForwardingProxy(1, "407 Proxy Authentication Required") as proxy:
        environment.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:password@"))
        with pytest.raises(TransportError, match="no reply") as caught:
            way.ask(way.embeddings(f"https://{NAME}", api_key=KEY), TEXT)
        assert "through the proxy of HTTPS_PROXY: " in str(caught.value)
        assert "407" in str(caught.value)
        assert "password" not in str(caught.value)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_not_there_is_named_in_error_and_log(way, environment, scheme, caplog):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    environment.setenv("ALL_PROXY", f"http://user:password@127.0.0.1:{port}")
    with pytest.raises(
        TransportError, match=r"through the proxy of ALL_PROXY: .* refused"
    ) as caught:
        way.ask(way.embeddings(f"{scheme}://{NAME}", max_wait=0.1), TEXT)
    assert "nothing listens at the proxy of ALL_PROXY; trying again" in caplog.text
    assert "password" not in str(caught.value) + caplog.text


def test_a_proxy_of_an_unknown_host_is_named(way, environment):
    def getaddrinfo(host, *more, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    environment.setattr(socket, "getaddrinfo", getaddrinfo)
    environment.setenv("HTTPS_PROXY", "http://user:password@proxy.example.org:3128")
    with pytest.raises(TransportError, match="proxy of HTTPS_PROXY: the host is unknown") as caught:
        way.ask(way.embeddings(f"https://{NAME}"), TEXT)
    assert "password" not in str(caught.value)


@pytest.fixture
def known_name(environment):
    """The name has an address: this machine's."""
    real = socket.getaddrinfo

    def getaddrinfo(host, *more, **options):
        host = "127.0.0.1" if host in (NAME, NAME.encode()) else host
        return real(host, *more, **options)

    environment.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize("exception", [NAME, "example.org", ".example.org", "*"])
def test_a_host_of_no_proxy_is_reached_directly(way, server, environment, known_name, exception):
    with ForwardingProxy(1) as proxy:
        environment.setenv("ALL_PROXY", proxy.url)
        environment.setenv("HTTP_PROXY", proxy.url)
        environment.setenv("NO_PROXY", f"other.org,{exception}")
        url = f"http://{NAME}:{port_of(server)}/embed"
        embeddings = way.embeddings(url, api_key=KEY, allow_insecure_http=True)
        assert is_right(way.ask(embeddings, TEXT), [TEXT])
        assert not proxy.passed


def test_this_machine_is_never_reached_through_a_proxy(way, server, environment):
    with ForwardingProxy(1) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            environment.setenv(name, proxy.url)
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            assert is_right(way.ask(way.embeddings(url, api_key=KEY), TEXT), [TEXT])
        assert not proxy.passed
