"""The user's own clients over real sockets: their proxies, certificates, hooks and connections."""

import asyncio
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from forwarding_proxy import ForwardingProxy

from langchain_hf_endpoint import HFEndpointEmbeddings, TransportError
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRy"
TEXTS = [f"text {number}" for number in range(100)]
NAME = "embed.example.org"  # no machine: only the proxy knows where it is


try:
    import httpx2
except ImportError:  # the fork of httpx that langsmith brings along where Python is new enough
    LIBRARIES = [httpx]
else:
    LIBRARIES = [httpx, httpx2]


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library(request):
    return request.param


@pytest.fixture(params=["sync", "async"])
def embed(request, library):
    """Embed `TEXTS` over a client with these options, and look at it before it is closed."""

    def sync(url, seen=id, **options):
        with library.Client(**options) as client:
            embeddings = HFEndpointEmbeddings(url=url, api_key=KEY, max_wait=5, http_client=client)
            vectors = embeddings.embed_documents(TEXTS)
            seen(client)
            return vectors

    async def tasks(url, seen, options):
        async with library.AsyncClient(**options) as client:
            embeddings = HFEndpointEmbeddings(
                url=url, api_key=KEY, max_wait=5, http_async_client=client
            )
            vectors = await embeddings.aembed_documents(TEXTS)
            seen(client)
            return vectors

    def asynchronous(url, seen=id, **options):
        return asyncio.run(tasks(url, seen, options))

    return sync if request.param == "sync" else asynchronous


def right(vectors):
    wanted = [expected_vector(text) for text in TEXTS]
    return np.array_equal(np.asarray(vectors, np.float32), wanted)


def port_of(server):
    return urlsplit(server.url).port


def test_the_connections_are_the_clients_and_stay_open_after_the_call(embed):
    with ScriptedEndpoint(api_key=KEY) as server:
        open_then = []
        assert right(embed(server.url, lambda _client: open_then.append(server.open_connections)))
        assert open_then[0] >= 1


def test_a_clients_only_connection_serves_every_request(embed, library):
    with ScriptedEndpoint(api_key=KEY) as server:
        limits = library.Limits(max_connections=1)
        open_then = []
        vectors = embed(
            server.url, lambda _client: open_then.append(server.open_connections), limits=limits
        )
        assert right(vectors)
        assert open_then == [1]


def test_the_clients_authority_is_trusted_and_another_is_not(embed, tmp_path):
    with ScriptedEndpoint(api_key=KEY, certificate_for="127.0.0.1") as server:
        server.write_authority(tmp_path / "authority.pem")
        context = httpx.create_ssl_context()
        with pytest.raises(TransportError, match="certificate is not accepted"):
            embed(server.url, verify=context)
        context.load_verify_locations(tmp_path / "authority.pem")
        assert right(embed(server.url, verify=context))


def test_the_clients_proxy_is_used_and_sees_the_key_of_no_tunnel(embed, tmp_path):
    with (
        ScriptedEndpoint(api_key=KEY, certificate_for=NAME) as server,
        ForwardingProxy(port_of(server)) as proxy,
    ):
        server.write_authority(tmp_path / "authority.pem")
        context = httpx.create_ssl_context()
        context.load_verify_locations(tmp_path / "authority.pem")
        assert right(embed(f"https://{NAME}", verify=context, proxy=proxy.url))
        assert {(one.method, one.target) for one in proxy.passed} == {("CONNECT", f"{NAME}:443")}
        assert not any(KEY in str(one.headers) for one in proxy.passed)
        assert {one.headers["authorization"] for one in server.requests} == {f"Bearer {KEY}"}


def test_failures_are_tried_again_over_the_client(embed):
    with ScriptedEndpoint(api_key=KEY) as server:
        server.script(None, faults.reset("body"), faults.rate_limited(0), faults.truncated())
        assert right(embed(server.url))
        assert not server.unused_faults


def test_the_clients_hooks_see_every_request(embed):
    requests, answers = [], []

    def sent(request):
        requests.append(request.method)

    async def asent(request):
        requests.append(request.method)

    def answered(response):
        answers.append(response.status_code)

    async def aanswered(response):
        answers.append(response.status_code)

    with ScriptedEndpoint(api_key=KEY) as server:
        is_async = "asynchronous" in embed.__qualname__
        hooks = {
            "request": [asent if is_async else sent],
            "response": [aanswered if is_async else answered],
        }
        assert right(embed(server.url, event_hooks=hooks))
        assert len(requests) == len(answers) == len(server.arrivals)


@pytest.mark.parametrize("fault", [faults.hang(), faults.hang("body")], ids=["hang", "body"])
def test_a_time_out_of_a_client_is_said_like_any_other(library, fault):
    with ScriptedEndpoint() as server, library.Client() as client:
        server.script(*[fault] * 2)
        embeddings = HFEndpointEmbeddings(
            url=server.url, dialect="tei", timeout=0.3, max_wait=0.0, http_client=client
        )
        with pytest.raises(TransportError, match=r"no complete reply within 0\.3 s"):
            embeddings.embed_query("a question")


def test_a_transport_of_a_client_may_answer_by_itself(library):
    body = [expected_vector("a question", 16).tolist()]
    transport = library.MockTransport(lambda _request: library.Response(200, json=body))
    with library.Client(transport=transport) as client:
        embeddings = HFEndpointEmbeddings(
            url="http://mocked.example", dialect="hugging_face", http_client=client
        )
        assert embeddings.embed_query("a question") == body[0]
