"""From a host's name to its addresses: in time, never by DNS for this machine, none unchecked."""

import asyncio
import socket
import threading
import time

import numpy as np
import pytest
from driving import DRIVES

from langchain_hf_endpoint import HFEndpointEmbeddings, TransportError
from langchain_hf_endpoint._http.clients import Clients
from langchain_hf_endpoint._http.errors import RefusedAddressError
from langchain_hf_endpoint._messages import Failure, Request, Response
from langchain_hf_endpoint._session.session import session_for
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector

WAYS = {
    "threads": (DRIVES["sync"], "httpx"),
    "tasks": (DRIVES["async"], "httpx"),
    "aiohttp": (DRIVES["async"], "aiohttp"),
}
TEXT = "a question"


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request):
    return request.param


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


@pytest.fixture
def server():
    with ScriptedEndpoint(dimensions=16) as server:
        yield server


def query(way, url, **settings):
    drive, transport = way
    settings = {"dialect": "tei", "timeout": 10, "max_wait": 0.0, **settings}
    return drive.query(HFEndpointEmbeddings(url=url, transport=transport, **settings), TEXT)


def is_right(vector):
    return np.array_equal(np.asarray(vector, np.float32), expected_vector(TEXT, 16))


def test_a_name_server_that_is_slow_does_not_hold_a_request_longer_than_its_time(way, environment):
    answer = threading.Event()

    def getaddrinfo(*_args, **_options):
        answer.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    environment.setattr(socket, "getaddrinfo", getaddrinfo)
    begun = time.monotonic()
    try:
        with pytest.raises(TransportError, match=r"no connection within 0\.3 s"):
            query(way, "http://slow.example", timeout=0.3)
        assert time.monotonic() - begun < 30  # it would be a minute
    finally:
        answer.set()


@pytest.mark.parametrize("name", ["localhost", "a.localhost", "b.c.LocalHost", "localhost."])
def test_names_of_this_machine_are_looked_up_nowhere(way, server, environment, name):
    real = socket.getaddrinfo

    def getaddrinfo(host, *more, **options):
        assert host in ("127.0.0.1", "::1")
        return real(host, *more, **options)

    environment.setattr(socket, "getaddrinfo", getaddrinfo)
    url = server.url.replace("127.0.0.1", name)
    assert is_right(query(way, url, api_key="hf_in-the-clear"))


@pytest.mark.parametrize("failure", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_a_name_that_is_unknown_is_final_and_a_name_server_that_is_away_is_not(
    way, environment, failure
):
    asked = []

    def getaddrinfo(*_args, **_options):
        asked.append(failure)
        raise socket.gaierror(failure, "said the resolver")

    environment.setattr(socket, "getaddrinfo", getaddrinfo)
    words = "the host is unknown" if failure == socket.EAI_NONAME else "said the resolver"
    with pytest.raises(TransportError, match=words):
        query(way, "http://nowhere.example", max_wait=0.2)


@pytest.mark.parametrize("is_allowed", [True, False], ids=["allowed", "refused"])
@pytest.mark.parametrize("name", ["rebound.example", "127.0.0.1"])
@pytest.mark.parametrize("transport", ["threads", "httpx", "aiohttp"])
def test_each_address_is_checked_where_it_is_connected_to(
    server, environment, transport, name, is_allowed
):
    real, seen = socket.getaddrinfo, []

    def getaddrinfo(host, *more, **options):
        return real("127.0.0.1" if host == "rebound.example" else host, *more, **options)

    def check(address):
        seen.append(address)
        if not is_allowed:
            raise RefusedAddressError(f"{address} is not to be reached from here")

    environment.setattr(socket, "getaddrinfo", getaddrinfo)
    url = server.url.replace("127.0.0.1", name)
    kind = "httpx" if transport == "threads" else transport
    service = HFEndpointEmbeddings(url=url, transport=kind).endpoint.service_settings
    clients = Clients(check_address=check)
    request = Request("GET", f"{url}/health")
    if transport == "threads":
        answer = session_for(service).sync_transport(service, clients).send(request, 5.0)
    else:

        async def send():
            way = await session_for(service).async_transport(service, clients)
            return await way.send(request, 5.0)

        answer = asyncio.run(send())
    assert seen == ["127.0.0.1"]
    assert isinstance(answer, Response if is_allowed else Failure)
    if not is_allowed:
        assert answer.text == "127.0.0.1 is not to be reached from here"
        assert not answer.connected
        assert not server.arrivals


def test_no_error_over_any_transport_shows_what_a_url_asks_for(way):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 abc\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/embed?token=SeCrEt"
        with pytest.raises(TransportError) as caught:
            query(way, url, timeout=5)
        thread.join(20)
    assert "SeCrEt" not in str(caught.value) + repr(caught.value)
