"""What is wrong with a request is said in Elastic's shape with its status; nothing breaks."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import zlib

import pytest

GOOD = {"service": "hugging_face", "service_settings": {"url": "http://127.0.0.1:1/embed"}}
JSON = {"content-type": "application/json"}


def with_settings(**more: object) -> dict[str, object]:
    return {**GOOD, "service_settings": {**GOOD["service_settings"], **more}}


def check_shape(answer, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    body = answer.json()
    assert body["status"] == status
    error = body["error"]
    assert error["root_cause"][0] == {"type": error["type"], "reason": error["reason"]}
    return error


@pytest.fixture(autouse=True)
def _still_up(client):
    yield
    assert client.get("/health").json() == {"status": "ok"}


BAD_PUTS = {
    "unknown service": ("text_embedding/a", {**GOOD, "service": "openai"}, "Unknown service"),
    "no service": ("text_embedding/a", {"service_settings": {}}, "missing the [service]"),
    "service is a number": ("text_embedding/a", {**GOOD, "service": 7}, "Unknown service"),
    "no settings": ("text_embedding/a", {"service": "hugging_face"}, "url"),
    "settings are a list": (
        "text_embedding/a",
        {**GOOD, "service_settings": []},
        "service_settings",
    ),
    "unknown field": ("text_embedding/a", {**GOOD, "extra": 1}, "[extra]"),
    "unknown setting": ("text_embedding/a", with_settings(quality="x"), "quality"),
    "unknown task type": ("nonsense/a", GOOD, "Unknown task_type [nonsense]"),
    "other task type": ("completion/a", GOOD, "does not support task type [completion]"),
    "two task types": (
        "text_embedding/a",
        {**GOOD, "task_type": "rerank"},
        "conflicting task_type",
    ),
    "no task type": ("a", GOOD, "task_type"),
    "task type is a list": ("a", {**GOOD, "task_type": []}, "[task_type] must be a string"),
    "capital letters": ("text_embedding/Abc", GOOD, "inference_id"),
    "ends in a dash": ("text_embedding/a-", GOOD, "inference_id"),
    "a leading dot": ("text_embedding/.a", GOOD, "inference_id"),
    "101 letters": ("text_embedding/" + "a" * 101, GOOD, "inference_id"),
    "a reserved name": ("text_embedding/_services", GOOD, "reserved"),
    "_all": ("text_embedding/_all", GOOD, "reserved"),
    "two dots": ("text_embedding/%2e%2e", GOOD, "inference_id"),
    "a line break": ("text_embedding/a%0ab", GOOD, "inference_id"),
    "no rate": (
        "text_embedding/a",
        with_settings(rate_limit={"requests_per_minute": 0}),
        "requests_per_minute",
    ),
    "chunks too small": (
        "text_embedding/a",
        {**GOOD, "chunking_settings": {"max_chunk_size": 5}},
        "20 to 300",
    ),
    "another host": (
        "text_embedding/a",
        with_settings(url="https://example.com/"),
        "takes no endpoints there",
    ),
    "the cloud's metadata": (
        "text_embedding/a",
        with_settings(url="http://169.254.169.254/latest"),
        "takes no endpoints there",
    ),
    "loopback in disguise": (
        "text_embedding/a",
        with_settings(url="http://2130706433/"),
        "takes no endpoints there",
    ),
    "a user in the URL": (
        "text_embedding/a",
        with_settings(url="http://127.0.0.1@example.com/"),
        "takes no endpoints there",
    ),
    "no URL": ("text_embedding/a", with_settings(url="ftp://127.0.0.1/"), "url"),
    "a key of the environment": (
        "text_embedding/a",
        with_settings(api_key_env="PATH"),
        "no caller a key of its environment",
    ),
    "a file of the gateway's machine": (
        "text_embedding/a",
        with_settings(tls={"certificate_file": "/etc/ssl/private/gateway.pem"}),
        "names files of the gateway's own machine",
    ),
    "a tokenizer of the gateway's machine": (
        "text_embedding/a",
        {**GOOD, "chunking_settings": {"max_chunk_tokens": 50, "tokenizer": "/etc/passwd"}},
        "[chunking_settings.tokenizer] names files of the gateway's own machine",
    ),
    "tls that is no object": (
        "text_embedding/a",
        with_settings(tls="/etc/passwd"),
        "which no caller may",
    ),
    "no check of certificates": (
        "text_embedding/a",
        with_settings(verify=False),
        "[service_settings.verify]",
    ),
    "no key for Hugging Face": (
        "text_embedding/a",
        with_settings(url="https://abc.endpoints.huggingface.cloud"),
        "is required for a host of Hugging Face",
    ),
}


@pytest.mark.parametrize("case", BAD_PUTS)
def test_a_wrong_put_says_what_is_wrong(client, case):
    path, body, words = BAD_PUTS[case]
    error = check_shape(client.put(f"/_inference/{path}", json=body), 400)
    assert words in error["reason"]


def test_all_problems_are_named_at_once_and_numbered(client):
    body = with_settings(rate_limit={"requests_per_minute": 0}, timeout=-1)
    error = check_shape(client.put("/_inference/text_embedding/a", json=body), 400)
    assert "1: [" in error["reason"]
    assert "2: [" in error["reason"]


MANY = {f"field_{number}": number for number in range(60_000)}
OVERSIZED = {
    "fields of the body": {**GOOD, **MANY},
    "fields of a section": with_settings(**MANY),
    "fields of another section": {**GOOD, "chunking_settings": MANY},
    "a list for a number": with_settings(timeout=[1] * 200_000),
    "a long text for a number": with_settings(timeout="1" * 1_400_000),
    "a long name": with_settings(**{"n" * 1_400_000: 1}),
    "a hundred levels": with_settings(timeout=json.loads("[" * 100 + "]" * 100)),
    "an endless URL": with_settings(url="http://127.0.0.1/" + "a" * 1_400_000),
    "a long task type": {**GOOD, "task_type": "t" * 1_400_000},
}


@pytest.mark.parametrize("update", ["", "/_update"])
@pytest.mark.parametrize("case", OVERSIZED)
def test_settings_of_any_size_get_a_short_answer(client, put, case, update):
    path = put("there") if update else "/_inference/text_embedding/another"
    answer = client.put(f"{path}{update}", json=OVERSIZED[case])
    check_shape(answer, 400)
    assert len(answer.content) < 30_000
    body = {"input": "a", "task_settings": OVERSIZED[case].get("service_settings")}
    if update:
        answer = client.post(path, json=body)
        assert answer.status_code == 400
        assert len(answer.content) < 30_000


def test_the_number_of_fields_is_said_and_they_are_not_listed(client):
    error = check_shape(client.put("/_inference/text_embedding/a", json=with_settings(**MANY)), 400)
    assert "at most 1000 are allowed" in error["reason"]
    assert "field_7" not in error["reason"]


def test_of_many_wrong_fields_the_first_are_named_and_the_others_counted(client):
    few = {f"field_{number}": number for number in range(300)}
    error = check_shape(client.put("/_inference/text_embedding/a", json=with_settings(**few)), 400)
    assert "field_7]" in error["reason"]
    assert "more fields are wrong" in error["reason"]
    assert "field_299" not in error["reason"]


BAD_BODIES = {
    "no JSON": b"{",
    "an array": b"[]",
    "a string": b'"input"',
    "nothing": b"",
    "half of a surrogate pair": b'{"input": "\\ud800"}',
    "no UTF-8": b'{"input": "\xff"}',
    "ten thousand brackets": b'{"input": ' + b"[" * 10_000,
    "NaN": b'{"input": NaN}',
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_body_that_is_no_json_object_is_refused(client, put, case):
    error = check_shape(client.post(put(), content=BAD_BODIES[case], headers=JSON), 400)
    assert error["type"] == "x_content_parse_exception"


BAD_INPUTS = {
    "none": ({}, "Field [input] cannot be null"),
    "null": ({"input": None}, "Field [input] cannot be null"),
    "an empty array": ({"input": []}, "Field [input] cannot be an empty array"),
    "a number": ({"input": 1}, "must be a string or an array of strings"),
    "numbers": ({"input": [1, 2]}, "must be a string or an array of strings"),
    "an empty text": ({"input": ""}, "text 0: is empty or blank"),
    "a blank text": ({"input": ["a", " \n"]}, "text 1: is empty or blank"),
    "100,000 texts": ({"input": ["a"] * 100_000}, "at most 2048"),
    "an unknown field": ({"input": "a", "inputs": "b"}, "[inputs]"),
    "a query": ({"input": "a", "query": "b"}, "Field [query] cannot be specified"),
    "an internal type": ({"input": "a", "input_type": "internal_search"}, "[input_type]"),
    "a wrong setting": ({"input": "a", "task_settings": {"dimensions": 0}}, "dimensions"),
    "settings are a list": ({"input": "a", "task_settings": [1]}, "must be an object"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_an_input_that_cannot_be_embedded_is_refused_unsent(client, put, tei_double, case):
    body, words = BAD_INPUTS[case]
    path = put()
    tei_double.forget()
    assert words in check_shape(client.post(path, json=body), 400)["reason"]
    assert tei_double.arrivals == []


@pytest.mark.parametrize("case", ["none", "a blank text", "100,000 texts", "an unknown field"])
def test_chunks_of_it_are_refused_likewise(client, put, case):
    body, words = BAD_INPUTS[case]
    assert words in check_shape(client.post(f"{put()}/_chunks", json=body), 400)["reason"]


def in_gzip(body: bytes) -> dict[str, object]:
    return {"content": gzip.compress(body), "headers": {**JSON, "content-encoding": "gzip"}}


def test_a_gzip_body_is_unpacked(client, put):
    answer = client.post(put(), **in_gzip(b'{"input": ["one", "two"]}'))
    assert len(answer.json()["text_embedding"]) == 2


BAD_CODINGS = {
    "brotli": ({"content-encoding": "br"}, b'{"input": "a"}', 415),
    "deflate": ({"content-encoding": "deflate"}, zlib.compress(b'{"input": "a"}'), 415),
    "gzip twice": (
        {"content-encoding": "gzip, gzip"},
        gzip.compress(gzip.compress(b'{"input": "a"}')),
        415,
    ),
    "no gzip": ({"content-encoding": "gzip"}, b'{"input": "a"}', 400),
    "half of it": ({"content-encoding": "gzip"}, gzip.compress(b'{"input": "a"}')[:-4], 400),
    "more than it": ({"content-encoding": "gzip"}, gzip.compress(b'{"input": "a"}') + b"!", 400),
    "nothing": ({"content-encoding": "gzip"}, b"", 400),
    "a bomb": ({"content-encoding": "gzip"}, 300_000_000, 413),
    "just too much": ({"content-encoding": "gzip"}, 20_000_001, 413),
}


@pytest.mark.parametrize("case", BAD_CODINGS)
def test_a_body_in_another_coding_is_refused_and_packed_bytes_count_unpacked(client, put, case):
    headers, body, status = BAD_CODINGS[case]
    if isinstance(body, int):  # so many blanks: not every process that lists the tests packs them
        body = gzip.compress(b" " * body, 1)
    check_shape(client.post(put(), content=body, headers={**JSON, **headers}), status)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/vnd.elasticsearch+json;compatible-with=7",
    ],
)
def test_another_content_type_is_406(client, put, content_type):
    headers = {"content-type": content_type} if content_type else {}
    check_shape(client.post(put(), content=b'{"input": "a"}', headers=headers), 406)


def test_a_body_of_100_megabytes_is_413(client, put):
    body = b'{"input": "' + b"a" * 100_000_000 + b'"}'
    check_shape(client.post(put(), content=body, headers=JSON), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/_inference/a", 405),
        ("DELETE", "/_inference", 405),
        ("POST", "/_inference/text_embedding/a/_update", 405),
        ("GET", "/nothing/here", 400),
        ("GET", "/_inference/a/b/c/d", 400),
        ("GET", "/_inference/text_embedding/../../etc/passwd", 400),
        ("GET", "/_inference/%2e%2e%2f%2e%2e%2fetc", 400),
        ("GET", "/_inference/nobody", 404),
        ("DELETE", "/_inference/nobody", 404),
        ("POST", "/_inference/nobody", 404),
        ("PUT", "/_inference/nobody/_update", 404),
        ("POST", "/_inference/text_embedding/nobody/_chunks", 404),
        ("GET", "/_inference/nonsense/a", 400),
    ],
)
def test_a_wrong_path_or_method_has_its_status(gateway, method, path, status):
    # Not by httpx, which would resolve the dots.
    host = gateway.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, path, body='{"input": "a"}', headers=JSON)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert (answer.status, body["status"]) == (status, status)
    assert body["error"]["root_cause"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "GET"])
def test_another_task_type_than_the_endpoints_is_refused(client, put, method):
    put("mine")
    answer = client.request(method, "/_inference/rerank/mine", json={"input": "a"})
    assert "rerank" in check_shape(answer, 400)["reason"]


@pytest.mark.parametrize(
    "query",
    [
        "timeout=fast",
        "timeout=10",
        "nonsense=1",
        "filter_path=" + ",".join("abcdefghijk" * 5),
        "filter_path=" + ".".join("abcdefghijk" * 5),
    ],
)
def test_parameters_that_mean_nothing_are_refused(client, put, query):
    check_shape(client.post(f"{put()}?{query}", json={"input": "a"}), 400)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"service_settings": {}},
        {"service_settings": {"api_key": "hf_another"}},
        {"service_settings": {"url": "http://127.0.0.1:2"}},
        {"chunking_settings": {"strategy": "none"}},
        {"service_settings": {"rate_limit": {"requests_per_minute": "many"}}},
    ],
)
def test_what_cannot_be_updated_is_refused_and_nothing_changes(client, put, change):
    path = put()
    before = client.get(path).json()
    answer = client.put(f"{path}/_update", json=change)
    check_shape(answer, 400)
    assert "hf_another" not in answer.text
    assert client.get(path).json() == before


def test_a_request_of_two_lengths_is_the_last_on_its_connection(gateway):
    host, port = gateway.url.removeprefix("http://").split(":")
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as plug:
        plug.sendall(head + both + head + b"\r\n")
        answers = b""
        while part := plug.recv(1000):
            answers += part
    assert answers.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answers


def test_bytes_that_are_no_http_do_no_harm(gateway, client):
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plug:
        plug.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert b"400" in plug.recv(1000)
