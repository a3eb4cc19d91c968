"""The scripted endpoint as a server: what plain HTTP clients and sockets get from it."""

import asyncio
import base64
import contextlib
import gc
import gzip
import http.client
import json
import socket
import ssl
import threading
import time
import tracemalloc
from datetime import datetime, timedelta, timezone

import httpx
import numpy as np
import pytest

from langchain_hf_endpoint.testing import Fault, FaultPlan, Reply, ScriptedEndpoint, faults
from langchain_hf_endpoint.testing import expected_vector as vector

TEXTS = ["a first text", "another", "and a third"]
PLAIN = {"trust_env": False, "timeout": 20, "verify": ssl.create_default_context()}
RIGHT = np.stack([vector(text, 64) for text in TEXTS])


@pytest.fixture
def server():
    with ScriptedEndpoint(dimensions=64) as server:
        yield server


def post(server, path="/embed", **body):
    body = body or {"inputs": TEXTS}
    return httpx.post(server.url + path, json=body, **PLAIN)


def get(server, path):
    return httpx.get(server.url + path, **PLAIN)


def openai(server, **more):
    return post(server, "/v1/embeddings", input=TEXTS, model="any", **more)


def is_right(rows):
    return np.array_equal(np.asarray(rows, np.float32), RIGHT)


def connect(server):
    host, _, port = server.url.rpartition("//")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def asked(body=b'{"inputs":["a"]}', path="/embed"):
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def read_all(connection):
    """All that comes, and whether a reset ended it."""
    got = b""
    try:
        while part := connection.recv(65536):
            got += part
    except ConnectionResetError:
        return got, True
    return got, False


# Right answers


@pytest.mark.parametrize("path", ["/embed", "/", "/invocations"])
def test_teis_routes_answer_rows(server, path):
    assert is_right(post(server, path, inputs=TEXTS).json())
    assert is_right([post(server, path, inputs=text).json()[0] for text in TEXTS])


def test_options_are_heeded(server):
    rows = post(server, inputs=TEXTS, dimensions=16, normalize=False).json()
    assert np.array_equal(
        np.asarray(rows, np.float32), [vector(text, 16, normalize=False) for text in TEXTS]
    )
    assert post(server, inputs=TEXTS, dimensions=65).status_code == 422
    assert "but no prompts were found" in post(server, inputs=TEXTS, prompt_name="x").text


def test_openais_route_answers_numbers_or_base64(server):
    items = openai(server).json()["data"]
    assert is_right([item["embedding"] for item in items])
    items = openai(server, encoding_format="base64").json()["data"]
    assert [item["index"] for item in items] == [0, 1, 2]
    assert is_right([np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in items])


def test_other_servers_say_embeddings_and_have_neither_embed_nor_info():
    with ScriptedEndpoint(dimensions=64, shape="embeddings") as server:
        assert is_right(post(server, "/").json()["embeddings"])
        assert post(server, "/embed").status_code == 404
        assert get(server, "/info").status_code == 404


def test_info_and_health(server):
    info = get(server, "/info").json()
    assert (info["version"], info["max_client_batch_size"]) == ("1.9.3", 32)
    assert get(server, "/health").content == b""
    assert get(server, "/elsewhere").status_code == 404


def test_two_texts_of_a_thousand_never_share_a_vector():
    vectors = {vector(f"text {number}", 32).tobytes() for number in range(1000)}
    assert len(vectors) == 1000


def test_a_key_is_asked_for():
    with ScriptedEndpoint(api_key="the key") as server:
        assert post(server).status_code == 401
        right = {"Authorization": "Bearer the key"}
        reply = httpx.post(f"{server.url}/", json={"inputs": "a"}, headers=right, **PLAIN)
        assert reply.status_code == 200


# Limits, in every version's wording


@pytest.mark.parametrize(("version", "status"), [("1.2.3", 413), ("1.8.3", 413), ("1.9.0", 422)])
def test_a_batch_that_is_too_large(version, status):
    with ScriptedEndpoint(version=version, max_client_batch_size=2) as server:
        reply = post(server)
        assert reply.status_code == status
        words = "batch size 3 > maximum allowed batch size 2"
        assert reply.json() == {"error": words, "error_type": "Validation"}
        assert openai(server).json() == {"message": words, "code": status, "type": "Validation"}


@pytest.mark.parametrize(("version", "status"), [("1.8.2", 413), ("1.8.3", 400), ("1.9.3", 400)])
def test_an_empty_text(version, status):
    with ScriptedEndpoint(version=version) as server:
        reply = post(server, inputs=["a", ""])
        assert reply.status_code == status
        assert "`inputs` cannot be empty" in reply.json()["error"]


@pytest.mark.parametrize(("version", "status"), [("1.8.3", 413), ("1.9.0", 422)])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.batch_too_large(2), "batch size 3 > maximum allowed batch size 2"),
        (faults.input_too_long(512), "must have less than 512 tokens. Given: 513"),
    ],
)
def test_refusals_on_demand_speak_the_same_words(version, status, fault, words):
    with ScriptedEndpoint(version=version) as server:
        server.script(fault)
        reply = post(server)
        assert (reply.status_code, words in reply.json()["error"]) == (status, True)


def test_more_bytes_than_the_limit_and_what_is_no_json():
    with ScriptedEndpoint(payload_limit=100) as server:
        reply = post(server, inputs="a" * 200)
        assert (reply.status_code, reply.text) == (
            413,
            "Failed to buffer the request body: length limit exceeded",
        )
        assert httpx.post(server.url, content=b"{", **PLAIN).status_code == 400
        assert post(server, other=1).status_code == 422


def test_a_rejected_text_takes_its_batch_with_it():
    with ScriptedEndpoint(rejects="bad") as server:
        assert post(server, inputs=["good", "a bad one"]).status_code == 422
        assert post(server, inputs=["good"]).status_code == 200


async def test_permits_count_texts_and_are_refused_from_1_9_on_and_waited_for_before():
    for version, statuses in (("1.9.0", {200, 429}), ("1.8.3", {200})):
        traits = {"max_concurrent_requests": 4, "seconds_per_request": 0.05}
        async with (
            ScriptedEndpoint(version=version, **traits) as server,
            httpx.AsyncClient(**PLAIN) as client,
        ):
            ask = [client.post(f"{server.url}/embed", json={"inputs": TEXTS}) for _ in range(6)]
            replies = await asyncio.gather(*ask)
            assert {reply.status_code for reply in replies} == statuses
            assert max(arrival.texts_in_flight for arrival in server.arrivals) > 4


# Faults on the wire


def test_the_script_is_followed_and_then_all_is_well(server):
    server.script(faults.server_error(503), None, faults.rate_limited(7))
    assert server.unused_faults == 3
    assert [post(server).status_code for _ in range(5)] == [503, 200, 429, 200, 200]
    assert [arrival.fault for arrival in server.arrivals] == [
        *("server_error", "", "rate_limited", "", "")
    ]
    assert server.unused_faults == 0


def test_a_script_may_be_for_one_path(server):
    server.script(faults.server_error(500), path="/info")
    assert post(server).status_code == 200
    assert get(server, "/info").status_code == 500


@pytest.mark.parametrize(
    ("given", "header"),
    [(None, None), (2, "2"), (0.5, "0.5"), ("soon", "soon"), (10**12, "1e+12"), ("-1", "-1")],
)
def test_retry_after_says_what_it_is_told(server, given, header):
    server.script(faults.rate_limited(given))
    reply = post(server)
    assert (reply.status_code, reply.headers.get("retry-after")) == (429, header)
    assert reply.json() == {"error": "Model is overloaded", "error_type": "Overloaded"}


def test_retry_after_may_be_a_date(server):
    when = datetime(2031, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    server.script(faults.rate_limited(when))
    assert post(server).headers["retry-after"] == "Mon, 03 Feb 2031 02:05:06 GMT"


@pytest.mark.parametrize(
    ("fault", "rows"),
    [
        (faults.wrong_count(-1), RIGHT[:-1].tolist()),
        (faults.wrong_count(1), [*RIGHT.tolist(), RIGHT[0].tolist()]),
        (faults.no_vectors(), []),
        (faults.narrower(), RIGHT[:, :-1].tolist()),
        (faults.ragged(), [*RIGHT[:-1].tolist(), RIGHT[-1, :-1].tolist()]),
        (faults.duplicates(), [row for row in RIGHT.tolist() for _ in range(2)]),
    ],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_wrong_rows(server, fault, rows):
    server.script(fault, fault)
    got = [np.asarray(row, np.float32).tolist() for row in post(server).json()]
    assert got == rows
    items = openai(server, encoding_format="base64").json()["data"]
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in items]
    assert [row.tolist() for row in decoded] == rows


@pytest.mark.parametrize(
    ("fault", "word"),
    [(faults.null(), "[null,"), (faults.not_a_number(), "NaN"), (faults.infinite(), "Infinity")],
    ids=lambda one: getattr(one, "kind", ""),
)
def test_values_that_are_no_numbers(server, fault, word):
    server.script(fault)
    assert word in post(server).text


def test_permuted_items_keep_their_index(server):
    server.script(faults.permuted(), faults.repeated_index())
    items = openai(server).json()["data"]
    indexes = [item["index"] for item in items]
    assert sorted(indexes) == [0, 1, 2] != indexes
    assert is_right([item["embedding"] for item in sorted(items, key=lambda item: item["index"])])
    assert [item["index"] for item in openai(server).json()["data"]] == [0, 0, 0]


def test_a_refused_request_meets_no_change(server):
    server.script(faults.null())
    assert post(server, inputs=["a", ""]).status_code == 400
    assert server.arrivals[0].fault == ""


def test_gzip_that_nobody_asked_for(server):
    server.script(faults.compressed(declared=True), faults.compressed(declared=False))
    assert is_right(post(server).json())
    assert is_right(json.loads(gzip.decompress(post(server).content)))


def test_other_content_types_and_pages(server):
    server.script(faults.wrong_content_type("text/html"), faults.web_page(), faults.malformed())
    reply = post(server)
    assert (reply.headers["content-type"], is_right(reply.json())) == ("text/html", True)
    page = post(server)
    assert (page.status_code, page.text.startswith("<html>")) == (200, True)
    with pytest.raises(json.JSONDecodeError):
        post(server).json()


def test_any_answer_and_any_fault(server):
    server.script(
        faults.answer(418, {"I am": "a teapot"}, {"X-Short": "and stout"}),
        Fault("mine", answer=Reply(299, b"[]", headers={"X-It": "is"})),
        Fault("late and null", change="null_value", delay=0.01),
    )
    reply = post(server)
    assert (reply.status_code, reply.json()) == (418, {"I am": "a teapot"})
    assert reply.headers["x-short"] == "and stout"
    assert post(server).headers["x-it"] == "is"
    assert post(server).json()[0][0] is None
    with pytest.raises(ValueError, match=r"must be one of null_value, .*; not 'nul_value'"):
        Fault("wrong", change="nul_value")
    assert repr(faults.hang("body")) == "<Fault hang, cut='body', then='hang'>"


@pytest.mark.parametrize("where", ["before", "head", "body", "after"])
def test_a_reset_is_a_reset(server, where):
    server.script(faults.reset(where))
    with connect(server) as connection:
        connection.sendall(asked())
        got, was_reset = read_all(connection)
    assert was_reset
    head, _, body = got.partition(b"\r\n\r\n")
    if where == "before":
        assert got == b""
    elif where == "head":
        assert got.startswith(b"HTTP/1.1 2")
        assert not body
    elif where == "body":
        assert body.startswith(b"[[")
        assert not body.endswith(b"]]")
    else:
        assert json.loads(body)
        assert b"200 OK" in head


def test_a_truncated_body_is_shorter_than_it_says(server):
    server.script(faults.truncated())
    host = server.url.rpartition("//")[2]
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", "/embed", b'{"inputs":["a"]}')
    with pytest.raises(http.client.IncompleteRead):
        connection.getresponse().read()
    connection.close()


def test_a_slow_answer_drips_and_is_right(server):
    server.script(faults.slow(0.2, pieces=10))
    with connect(server) as connection:
        connection.sendall(asked(path="/embed"))
        sizes = []
        while sum(sizes) < 400:
            sizes.append(len(connection.recv(65536)))
    assert len(sizes) > 3
    server.script(faults.slow(0.05))
    assert is_right(post(server).json())


def test_one_that_hangs_says_nothing_until_the_client_leaves(server):
    server.script(faults.hang(), faults.hang("body"))
    for _ in range(2):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(server.url, json={"inputs": "a"}, **{**PLAIN, "timeout": 0.2})
    assert is_right(post(server).json())
    first, second, _ = server.requests
    assert (first.status, first.finished, second.finished) == (0, 0.0, 0.0)


def test_a_huge_answer_is_made_as_it_is_sent(server):
    server.script(faults.huge(100_000_000), faults.huge(1003))
    tracemalloc.start()
    try:
        with connect(server) as connection:
            connection.sendall(asked()[:-1] + b"}")
            received = 0
            buffer = bytearray(1 << 20)
            while received < 100_000_000:
                received += connection.recv_into(buffer)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    reply = post(server)
    assert len(reply.content) == 1003
    assert reply.json()[0][0][0] == 0.5


def test_a_redirect_leads_where_it_is_told(server):
    with ScriptedEndpoint() as other:
        server.script(faults.redirect(f"{other.url}/embed"))
        reply = post(server)
        assert (reply.status_code, reply.headers["location"]) == (307, f"{other.url}/embed")
        assert not other.arrivals


def test_what_is_paused_stays_so_until_it_is_resumed(server):
    server.script(None, faults.paused())
    assert [post(server).status_code for _ in range(4)] == [200, 400, 400, 400]
    assert "endpoint is paused" in post(server).json()["error"]
    server.resume()
    assert post(server).status_code == 200


def test_a_cold_start_lasts_its_time(server):
    server.script(faults.cold_start(0.3))
    assert post(server).json()["code"] == "SERVICE_UNAVAILABLE"
    deadline = time.monotonic() + 20
    while post(server).status_code == 503:
        assert time.monotonic() < deadline


def test_stopping_loses_no_socket_of_those_that_are_just_connecting():
    # A socket that is lost warns as it is collected, and a warning is an error here.
    for _time in range(5):
        server = ScriptedEndpoint().start()
        connected = []
        begun = threading.Event()

        def knock(server=server, connected=connected, begun=begun):
            with contextlib.suppress(OSError):
                for _connection in range(50):
                    connected.append(connect(server))
                    begun.set()

        knocking = threading.Thread(target=knock)
        knocking.start()
        begun.wait(10)
        server.stop()
        knocking.join()
        for connection in connected:
            connection.close()
        gc.collect()


def test_a_certificate_for_another_name_is_refused_and_one_for_this_is_not(tmp_path):
    for name, fits in (("elsewhere.example", False), ("127.0.0.1", True)):
        with ScriptedEndpoint(certificate_for=name, dimensions=64) as server:
            server.write_authority(tmp_path / "authority.pem")
            context = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
            with httpx.Client(**{**PLAIN, "verify": context}) as client:
                ask = {"url": f"{server.url}/embed", "json": {"inputs": TEXTS}}
                if fits:
                    assert is_right(client.post(**ask).json())
                    continue
                with pytest.raises(httpx.ConnectError, match=r"not valid for '127\.0\.0\.1'"):
                    client.post(**ask)
            assert not server.arrivals


# By a seed


def kinds(server):
    return {arrival.texts: arrival.fault for arrival in server.requests}


def test_a_plan_gives_the_same_faults_to_the_same_texts_in_whichever_order_they_come():
    chances = {faults.rate_limited(): 0.4, faults.server_error(): 0.3}
    texts = [f"text {number}" for number in range(40)]
    met = []
    for order in (texts, texts[::-1]):
        with ScriptedEndpoint(plan=FaultPlan(5, chances)) as server:
            for text in order:
                post(server, inputs=[text])
            met.append(kinds(server))
    assert met[0] == met[1]
    assert set(met[0].values()) == {"rate_limited", "server_error", ""}


def test_a_plan_has_mercy_after_so_many_faults_in_a_row():
    with ScriptedEndpoint(plan=FaultPlan(1, {faults.server_error(): 1.0})) as server:
        assert [post(server).status_code for _ in range(8)] == [502, 502, 502, 200] * 2


def test_a_plan_whose_chances_make_no_sense_is_refused():
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="together at most 1"):
            FaultPlan(1, {faults.hang(): share})


def test_a_plan_may_be_any_function():
    def plan(asked):
        return faults.null() if "another" in asked.texts else None

    with ScriptedEndpoint(plan=plan, dimensions=64) as server:
        assert post(server).json()[0][0] is None
        assert post(server, inputs=["a first text"]).json()[0][0] is not None


# The log


def test_the_log_has_time_texts_and_headers_and_shows_no_key(server):
    before = time.time()
    headers = {"Authorization": "Bearer hf_secret", "X-Mine": "1"}
    httpx.post(f"{server.url}/embed?a=b", json={"inputs": TEXTS}, headers=headers, **PLAIN)
    [arrival] = server.arrivals
    assert before <= arrival.time <= time.time()
    assert arrival.monotonic <= arrival.finished <= time.monotonic()
    assert (arrival.method, arrival.path, arrival.status) == ("POST", "/embed?a=b", 200)
    assert arrival.texts == tuple(TEXTS)
    assert (
        arrival.headers["authorization"] == arrival.headers["Authorization"] == "Bearer hf_secret"
    )
    assert "X-MINE" in arrival.headers
    assert "hf_secret" not in repr(arrival) + repr(arrival.headers) + repr(server)
    server.forget()
    assert server.arrivals == []


def test_requests_can_be_waited_for(server):
    asking = threading.Thread(target=post, args=(server,))
    asking.start()
    assert server.wait_for(1)[0].texts == tuple(TEXTS)
    asking.join()
    with pytest.raises(TimeoutError, match=r"1 of 2 requests within 0\.01 s"):
        server.wait_for(2, timeout=0.01)


# Its life


def test_it_can_be_stopped_and_started_again_at_the_same_place():
    server = ScriptedEndpoint()
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = server.url
    with server:
        url = server.url
        assert post(server).status_code == 200
        server.start()
    server.stop()
    with pytest.raises(httpx.ConnectError):
        post(server)
    with server:
        assert server.url == url
        assert post(server).status_code == 200
        assert len(server.arrivals) == 2


def test_stopping_ends_what_hangs_and_leaves_nothing():
    before = threading.active_count()
    with ScriptedEndpoint() as server:
        server.script(faults.hang())
        connection = connect(server)
        connection.sendall(asked())
        server.wait_for(1)
        assert server.open_connections == 1
    with connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert threading.active_count() == before


def test_what_is_no_http_ends_the_connection(server):
    with connect(server) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(100) == b""
    assert post(server).status_code == 200


async def test_it_serves_the_loop_that_it_was_made_on():
    async with ScriptedEndpoint(dimensions=64) as server, httpx.AsyncClient(**PLAIN) as client:
        reply = await client.post(f"{server.url}/embed", json={"inputs": TEXTS})
        assert is_right(reply.json())
