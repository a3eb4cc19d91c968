"""Who may call, and where callers may make the gateway send requests."""

from __future__ import annotations

import base64
import socket

import httpx
import pytest
from gateway_child import GatewayChild

from langchain_hf_endpoint import InferenceEndpoints, RegistryError, SettingsError
from langchain_hf_endpoint.gateway import create_app, serve
from langchain_hf_endpoint.gateway.config import DEFAULT_ALLOWED_URLS
from langchain_hf_endpoint.gateway.errors import Refusal
from langchain_hf_endpoint.gateway.url_allowlist import UrlAllowlist
from langchain_hf_endpoint.testing import ScriptedEndpoint

KEY = "gateway-key-of-a-test"


@pytest.fixture
def call():
    """One request to an application of its own, without a socket."""

    async def call(method="GET", path="/", *, host="gateway.example", headers=None, **options):
        body = options.pop("json", None)
        with InferenceEndpoints() as endpoints:
            transport = httpx.ASGITransport(create_app(endpoints, **options))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.request(method, path, headers=headers, json=body)

    return call


@pytest.mark.parametrize(
    "authorization",
    [
        f"ApiKey {KEY}",
        f"Bearer {KEY}",
        f"bearer {KEY}",
        "ApiKey " + base64.b64encode(f"any-id:{KEY}".encode()).decode(),
    ],
)
async def test_the_key_is_taken_in_both_schemes_and_elastics_encoding(call, authorization):
    answer = await call(headers={"authorization": authorization}, api_key=KEY)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "authorization", [None, KEY, "ApiKey", "ApiKey wrong-key", f"Basic {KEY}", f"Bearer {KEY}x"]
)
@pytest.mark.parametrize("path", ["/", "/_inference", "/metrics", "/v1/models", "/nowhere"])
async def test_without_the_key_nothing_is_said(call, authorization, path):
    headers = {"authorization": authorization} if authorization else {}
    answer = await call(path=path, headers=headers, api_key=KEY)
    assert answer.status_code == 401
    assert "ApiKey" in answer.headers["www-authenticate"]
    assert "error" in answer.json()
    assert KEY not in answer.text


async def test_health_needs_no_key(call):
    assert (await call(path="/health", api_key=KEY)).status_code == 200


@pytest.mark.parametrize("host", ["localhost:9200", "127.0.0.1:9200", "[::1]:9200"])
async def test_without_a_key_this_machines_names_are_answered(call, host):
    assert (await call(host=host)).status_code == 200


async def test_without_a_key_a_web_page_cannot_call_by_a_name_of_its_own(call):
    assert (await call(host="rebound.example:9200")).status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "gateway.example"])
def test_an_address_that_others_reach_needs_a_key(host):
    with InferenceEndpoints() as endpoints, pytest.raises(SettingsError, match="needs a key"):
        serve(endpoints, host=host, port=0)


@pytest.mark.parametrize("key", ["", "short", "with a blank in it", "line\nbreak-line"])
def test_a_key_that_is_none_is_refused_unseen(key):
    with InferenceEndpoints() as endpoints, pytest.raises(SettingsError) as refused:
        create_app(endpoints, api_key=key)
    assert not key or key not in str(refused.value)


MANAGING = "another-key-of-a-test"
MANAGED = [
    ("PUT", "/_inference/text_embedding/a"),
    ("PUT", "/_inference/a"),
    ("PUT", "/_inference/a/_update"),
    ("DELETE", "/_inference/text_embedding/a"),
    ("DELETE", "/_inference/a?dry_run"),
]
USED = [
    ("GET", "/"),
    ("GET", "/_inference"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("POST", "/_inference/a"),
    ("POST", "/_inference/a/_chunks"),
    ("POST", "/v1/embeddings"),
]


@pytest.mark.parametrize(("method", "path"), [*MANAGED, *USED])
@pytest.mark.parametrize("key", [KEY, MANAGING, "neither-of-the-two"])
async def test_of_two_keys_one_uses_and_the_other_manages_too(call, method, path, key):
    headers = {"authorization": f"ApiKey {key}"}
    body = None if method == "GET" else {}
    answer = await call(method, path, headers=headers, json=body, api_key=KEY, manage_key=MANAGING)
    refused = 401 if key not in (KEY, MANAGING) else 403
    if key != MANAGING and ((method, path) in MANAGED or refused == 401):
        assert answer.status_code == refused
        assert "error" in answer.json()
    else:
        assert answer.status_code in (200, 400, 404)


@pytest.mark.parametrize(("method", "path"), MANAGED)
async def test_one_key_alone_has_both_rights(call, method, path):
    headers = {"authorization": f"ApiKey {KEY}"}
    answer = await call(method, path, headers=headers, json={}, api_key=KEY)
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize(
    ("keys", "field"),
    [
        ({"manage_key": MANAGING}, "api_key"),
        ({"api_key": KEY, "manage_key": KEY}, "manage_key"),
        ({"api_key": KEY, "manage_key": "short"}, "manage_key"),
    ],
)
def test_two_keys_that_make_no_sense_are_refused(keys, field):
    with InferenceEndpoints() as endpoints, pytest.raises(SettingsError) as refused:
        create_app(endpoints, **keys)
    assert refused.value.problems[0][0] == field


@pytest.mark.parametrize(
    "options",
    [
        {"max_waiting_bytes": 1},
        {"request_seconds": 0},
        {"max_queue": 0},
        {"tei_at_root": "tei/mine"},
        {"tei_at_root": "a" * 101},
        {"max_connections": 0},
        {"shutdown_seconds": 0},
    ],
)
def test_bounds_that_leave_no_room_are_refused(options):
    with InferenceEndpoints() as endpoints, pytest.raises(SettingsError) as refused:
        serve(endpoints, port=0, **options)
    assert refused.value.problems[0][0] in options


@pytest.mark.parametrize(
    ("options", "status"),
    [({}, "takes no endpoints there"), ({"allow_urls": ["127.0.0.1"]}, "validation call")],
)
async def test_callers_of_other_machines_do_not_reach_loopback_through_the_gateway(
    call, options, status
):
    config = {"service": "hugging_face", "service_settings": {"url": "http://127.0.0.1:1"}}
    config["service_settings"]["max_wait"] = 0
    headers = {"authorization": f"ApiKey {KEY}"}
    path = "/_inference/text_embedding/mine"
    answer = await call("PUT", path, headers=headers, json=config, api_key=KEY, **options)
    assert status in answer.json()["error"]["reason"]


@pytest.mark.parametrize(
    ("host", "has_loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_a_default_only_where_the_gateway_listens_there(
    host, has_loopback, monkeypatch
):
    seen: list[object] = []

    def note(_endpoints: object, **options: object) -> None:
        seen.append(options["allow_urls"])
        raise KeyboardInterrupt

    monkeypatch.setattr("langchain_hf_endpoint.gateway.server.create_app", note)
    with InferenceEndpoints() as endpoints, pytest.raises(KeyboardInterrupt):
        serve(endpoints, host=host, port=0, api_key=KEY)
    assert ("127.0.0.1" in seen[0]) is has_loopback
    assert "https://*.hf.space" in seen[0]


PUBLIC = "93.184.215.14"


def destinations(*patterns: str, to: str | list[str] = PUBLIC) -> UrlAllowlist:
    addresses = [to] if isinstance(to, str) else to
    return UrlAllowlist(patterns or DEFAULT_ALLOWED_URLS, lambda _host: addresses)


@pytest.mark.parametrize(
    "url",
    [
        "https://abc.us-east-1.aws.endpoints.huggingface.cloud",
        "https://router.huggingface.co/x",
        "https://me.hf.space/embed",
        "https://ME.HF.SPACE./embed",
    ],
)
def test_hugging_faces_hosts_are_allowed(url):
    destinations().check(url)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:1/", "http://[::1]:80/"]
)
def test_this_machine_is_allowed(url):
    destinations(to="127.0.0.1").check(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me.hf.space/embed",
        "https://hf.space.example.com",
        "https://example.com/.hf.space",
        "https://example.com",
        "http://169.254.169.254/latest/meta-data",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1",
        "http://0.0.0.0:80",
        "http://127.1:80",
        "http://[::ffff:169.254.169.254]/",
    ],
)
def test_other_hosts_are_not(url):
    with pytest.raises(Refusal, match="takes no endpoints there"):
        destinations().check(url)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "127.0.0.1", "10.0.0.1", "::1", "fd00:ec2::254", "fe80::1%eth0", "0.0.0.0",
     "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
     "100.100.100.200", "224.0.0.1"],
)  # fmt: skip
def test_an_allowed_name_that_resolves_to_an_inner_address_is_refused(address):
    with pytest.raises(Refusal, match="resolves to an address"):
        destinations(to=[PUBLIC, address]).check("https://me.hf.space/embed")


def test_a_host_that_the_operator_named_may_be_private_but_never_link_local():
    destinations("tei.internal:8080", to="10.0.0.7").check("http://tei.internal:8080/embed")
    with pytest.raises(Refusal, match="resolves to an address"):
        destinations("tei.internal", to="169.254.169.254").check("http://tei.internal/")


def test_a_port_and_a_scheme_of_a_pattern_hold():
    allowed = destinations("https://10.0.0.5:8443")
    allowed.check("https://10.0.0.5:8443/embed")
    for url in ("https://10.0.0.5/embed", "http://10.0.0.5:8443/embed"):
        with pytest.raises(Refusal):
            allowed.check(url)


def test_a_name_that_does_not_resolve_is_refused():
    def fail(_host: str) -> list[str]:
        raise OSError

    with pytest.raises(Refusal, match="please check that the URL is correct"):
        UrlAllowlist(DEFAULT_ALLOWED_URLS, fail).check("https://gone.hf.space")


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL])
def test_without_a_name_server_a_new_host_is_503_and_one_in_use_goes_on(code, monkeypatch):
    answers: list[object] = [[PUBLIC]]

    def resolve(_host: str) -> list[str]:
        if answers:
            return answers.pop()
        raise socket.gaierror(code, "Temporary failure in name resolution")

    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    allowed = UrlAllowlist(DEFAULT_ALLOWED_URLS, resolve)
    allowed.check("https://used.hf.space")
    clock[0] += 3600
    assert not allowed.is_known("https://used.hf.space")
    allowed.check("https://used.hf.space")
    with pytest.raises(Refusal, match="No name server") as refused:
        allowed.check("https://new.hf.space")
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"]


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_name_that_leads_elsewhere_when_it_is_connected_to_gets_nothing(
    call, monkeypatch, tei_double, transport
):
    port = int(tei_double.url.rpartition(":")[2])
    real, asked = socket.getaddrinfo, []

    def rebinding(host, port, *arguments, **options):
        if host != "rebound.example":
            return real(host, port, *arguments, **options)
        asked.append(host)
        address = PUBLIC if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    settings = {"url": f"http://rebound.example:{port}", "transport": transport}
    config = {"service": "hugging_face", "service_settings": settings}
    answer = await call(
        "PUT",
        "/_inference/text_embedding/mine",
        headers={"authorization": f"ApiKey {KEY}"},
        json=config,
        api_key=KEY,
        allow_urls=["http://*.example"],
    )
    assert len(asked) > 1
    assert answer.status_code == 400
    assert "does not send to" in answer.json()["error"]["caused_by"]["reason"]
    assert tei_double.arrivals == []


@pytest.mark.parametrize("pattern", ["", "https://", "ftp://a", "http://a/path", "a:b", "x@y"])
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(SettingsError, match="allow_urls"):
        UrlAllowlist([pattern])


async def test_a_caller_gets_no_key_of_the_environment(call, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_the_operators_own")
    for more in ({}, {"api_key": None, "api_key_env": None}, {"api_key_env": "HF_TOKEN"}):
        config = {
            "service": "hugging_face",
            "service_settings": {"url": "https://callers-own.hf.space", **more},
        }
        path = "/_inference/text_embedding/mine"
        answer = await call("PUT", path, host="localhost", json=config)
        assert answer.status_code == 400
        assert "api_key" in answer.json()["error"]["reason"]


async def test_a_defect_is_a_500_that_tells_nothing(call, monkeypatch, caplog):
    words = "a key of somebody"

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError(words)

    monkeypatch.setattr(InferenceEndpoints, "get", fail)
    for path in ("/_inference", "/v1/models"):
        answer = await call(path=path, host="localhost")
        assert answer.status_code == 500
        assert "error" in answer.json()
        assert words not in answer.text
    assert "RuntimeError in _inference.get" in caplog.text
    assert words not in caplog.text


async def test_a_registry_that_cannot_be_used_is_a_500_without_its_path(call, monkeypatch, caplog):
    def fail(*_arguments: object, **_options: object) -> None:
        raise RegistryError("/secret/place/endpoints.db cannot be used: disk I/O error")

    monkeypatch.setattr(InferenceEndpoints, "get", fail)
    answer = await call(path="/_inference", host="localhost")
    assert answer.status_code == 500
    assert "/secret/place" not in answer.text
    assert "/secret/place" in caplog.text


# A new key for an endpoint


def test_a_new_key_for_an_endpoint_is_taken_where_the_operator_allows_it(tmp_path):
    with (
        ScriptedEndpoint(api_key="hf_the-old-key") as server,
        GatewayChild(tmp_path / "log", allow_key_rotation=True) as gateway,
        httpx.Client(base_url=gateway.url, timeout=30) as client,
    ):
        settings = {"url": server.url, "api_key": "hf_the-old-key", "max_wait": 0.1}
        config = {"service": "hugging_face", "service_settings": settings}
        put = client.put("/_inference/text_embedding/mine", json=config).json()
        update = "/_inference/mine/_update"
        server.configure(api_key="hf_the-new-key")
        wrong = client.put(update, json={"service_settings": {"api_key": "hf_a-wrong-key"}})
        assert wrong.status_code == 400
        assert "hf_a-wrong" not in wrong.text
        both = {"service_settings": {"api_key": "hf_the-new-key", "timeout": 5}}
        assert "by itself" in client.put(update, json=both).text
        right = client.put(update, json={"service_settings": {"api_key": "hf_the-new-key"}})
        assert (right.status_code, right.json()) == (200, put)
        answer = client.post("/_inference/mine", json={"input": "text"})
        assert answer.status_code == 200


def test_a_new_key_is_refused_where_he_does_not(client, put):
    put("mine")
    body = {"service_settings": {"api_key": "hf_the-new-key"}}
    answer = client.put("/_inference/mine/_update", json=body)
    assert answer.status_code == 400
    assert "create it anew" in answer.text
